"""Tests for where the words of a file end up: nowhere that imports, opens, looks up, runs or builds.

Every word of a container and of the files beside it is a text that is known again, and what acts on a name is replaced
by something that screams at one. Then the file is inspected, built and run.
"""

import builtins
import importlib
import json
import os
import pathlib
import socket
import subprocess
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import torchvision

from maxsup_analysis import inspection
from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.classifiers import ModelChoice, classifier_of
from maxsup_analysis.containers import Contents, Object, StoredTensor
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.preprocessing import Overrides
from tests.checkpoints.naming import CARRIERS, own

MARK = "tainted7f3"


class Tainted(str):
    """A text that came from a file; so are its parts."""

    __slots__ = ()

    def partition(self, separator: str) -> "tuple[Tainted, Tainted, Tainted]":  # type: ignore[override]
        before, between, after = super().partition(separator)
        return Tainted(before), Tainted(between), Tainted(after)

    def removeprefix(self, prefix: str, /) -> "Tainted":
        return Tainted(super().removeprefix(prefix))

    def lower(self) -> "Tainted":
        return Tainted(super().lower())

    def strip(self, *given: str) -> "Tainted":  # type: ignore[override]
        return Tainted(super().strip(*given))


class Scream(BaseException):
    """A word of a file has reached what acts on it; nothing on the way catches this."""


def tainted(node: object) -> object:
    """The same with every text tainted; names of tensors stay as they are, which only ever index tensors."""
    if isinstance(node, str):
        return Tainted(node)
    if isinstance(node, Object):
        named: dict[str, object] = {Tainted(name): tainted(entry) for name, entry in node.attributes.items()}
        return Object(Tainted(node.name), named, tuple(tainted(one) for one in node.arguments))
    if isinstance(node, Mapping):
        return {
            (name if isinstance(entry, StoredTensor) else Tainted(name)): tainted(entry)
            for name, entry in node.items()
        }
    return tuple(tainted(entry) for entry in node) if isinstance(node, tuple) else node


def is_of_the_file(value: object) -> bool:
    text = value if isinstance(value, str) else str(value) if isinstance(value, pathlib.PurePath) else ""
    return isinstance(value, Tainted) or MARK in text


@pytest.fixture
def screaming(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What acts on names screams at those of files, wherever it is called."""

    def guard(home: object, name: str, first: int = 0) -> None:
        act: Callable[..., object] = getattr(home, name)

        def guarded(*given: object, **words: object) -> object:
            if any(is_of_the_file(one) for one in (*given[first:], *words, *words.values())):
                raise Scream(f"{name} of {given[first:]} {words}")
            return act(*given, **words)

        monkeypatch.setattr(home, name, guarded)

    read = inspection.read

    def read_tainted(path: Path) -> Contents:
        held = read(path)
        sidecars = {name: tainted(node) for name, node in held.sidecars.items()}
        return replace(held, tree=tainted(held.tree), sidecars=sidecars)

    monkeypatch.setattr(inspection, "read", read_tainted)
    guard(importlib, "import_module")
    guard(builtins, "__import__")
    guard(builtins, "open")
    for name in ("open", "stat", "listdir", "system", "fspath"):
        guard(os, name)
    for name in ("join", "exists", "abspath", "isfile", "isdir"):
        guard(os.path, name)
    guard(pathlib.PurePath, "__truediv__", 1)
    guard(pathlib.PurePath, "joinpath", 1)
    guard(pathlib.Path, "__new__", 1)
    guard(subprocess, "Popen")
    guard(socket, "create_connection")
    guard(timm, "create_model")
    guard(torchvision.models, "get_model")
    # Last, for it is what finds the others.
    guard(builtins, "getattr", 1)
    yield
    monkeypatch.undo()


def timm_file(folder: Path) -> Path:
    """As timm's train.py writes it."""
    torch.manual_seed(0)
    net = timm.create_model("resnet10t", num_classes=10)
    run = Namespace(
        model="resnet10t", gp=None, crop_pct=0.9, interpolation="bicubic", model_kwargs={"drop_rate": 0.1}
    )
    about = {"arch": "resnet10t", "version": 2, "epoch": 3, "metric": 0.5, "args": run}
    torch.save({"state_dict": net.state_dict(), **about}, folder / "timm.pth.tar")
    return folder / "timm.pth.tar"


def timm_folder(folder: Path) -> Path:
    """As timm's push_to_hub writes it."""
    torch.save(timm.create_model("resnet10t", num_classes=2).state_dict(), folder / "pytorch_model.bin")
    images = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "input_size": [3, 64, 64]}
    named = {"label_names": ["cat", "dog"], "model_args": {"drop_rate": 0.1}}
    config = {"architecture": "resnet10t", "num_classes": 2, "pretrained_cfg": images, **named}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def references(folder: Path) -> Path:
    """As torchvision's references write it."""
    torch.manual_seed(0)
    net = torchvision.models.mobilenet_v3_small(num_classes=10)
    run = Namespace(model="mobilenet_v3_small", label_smoothing=0.1, val_crop_size=64, val_resize_size=72,
                    interpolation="bilinear", data_path="/nowhere", output_dir=".", weights=None)  # fmt: skip
    parts = {"optimizer": {}, "lr_scheduler": {}, "epoch": 1, "args": run}
    torch.save({"model": net.state_dict(), **parts}, folder / "model_1.pth")
    return folder / "model_1.pth"


HONEST = {"timm": timm_file, "timm's folder": timm_folder, "references": references}


def test_an_honest_file_of_this_package_is_run(tmp_path: Path, screaming: None):
    path = own(tmp_path, ("small_cnn", {"channels": 1, "classes": 10, "head": "linear"}))
    open_checkpoint(path).inspection.to_text()
    assert extract_features(path, None, Extraction(workers=0)).size == 600


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_file_is_built(name: str, tmp_path: Path, request: pytest.FixtureRequest):
    path = HONEST[name](tmp_path)
    request.getfixturevalue("screaming")
    checkpoint = open_checkpoint(path)
    checkpoint.inspection.to_text()
    built = classifier_of(checkpoint, ModelChoice(images=Overrides(image_size=64)))
    assert built.num_classes in (2, 10) and "/" in built.name


@pytest.mark.parametrize(
    "library", ["", "timm/", "torchvision/", "hf:", "timm/hf-hub:", "hf-hub:", "file:///"]
)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_names_that_a_file_makes_up_are_only_told(
    carrier: str, library: str, tmp_path: Path, request: pytest.FixtureRequest
):
    path = CARRIERS[carrier].write(tmp_path, (f"{library}{MARK}.py:{MARK}", {f"{MARK}_key": f"{MARK}_value"}))
    request.getfixturevalue("screaming")
    assert MARK in open_checkpoint(path).inspection.to_text() or carrier in (
        "lightning",
        "params.json",
        "config.json",
        "arch",
    )
    with pytest.raises(InputError):
        extract_features(path, tmp_path / "x.features", Extraction(workers=0))


@pytest.mark.parametrize(
    "act",
    [
        lambda word: importlib.import_module(word),
        lambda word: open(word),  # noqa: SIM115
        lambda word: getattr(torch, word),
        lambda word: Path(word),
        lambda word: Path("a") / word,
        lambda word: os.path.join("a", word),
        lambda word: subprocess.Popen(word),
        lambda word: timm.create_model("resnet18", **{word: 1}),  # pyright: ignore[reportArgumentType]
        lambda word: timm.create_model(word),
    ],
)
@pytest.mark.parametrize("word", [Tainted("os"), f"{MARK}.py", Tainted("os:system").partition(":")[0]])
def test_what_acts_on_a_name_screams(act: Callable[[str], object], word: str, screaming: None):
    with pytest.raises(Scream):
        act(word)
