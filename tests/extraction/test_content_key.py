"""Tests for the content key: whatever the rows depend on, changed by itself, misses the store and says what changed."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maxsup_analysis.classifiers import ModelChoice
from maxsup_analysis.errors import InputError
from maxsup_analysis.extraction import Storage
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.forward import Precision
from maxsup_analysis.preprocessing import Overrides

CODE = """
import torch

def net(**arguments):
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.{activation}, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), Own(4, 3)
    )

class Own(torch.nn.Linear):
    def forward(self, features):
        return super().forward(features) * {scale}
"""


class World:
    """A checkpoint with plain and averaged weights, the code of its network, and a folder of images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write_code()
        torch.manual_seed(0)
        self.weights = {
            "0.weight": torch.randn(4, 3, 3, 3), "0.bias": torch.randn(4), "4.weight": torch.randn(3, 4),
            "4.bias": torch.randn(3),
        }  # fmt: skip
        self.write_weights()
        noise = np.random.default_rng(0)
        for label in "abc":
            (folder / "images" / label).mkdir(parents=True)
            for number in range(3):
                pixels = noise.integers(0, 256, (12, 14, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "images" / label / f"{number}.png")
        (folder / "order.txt").write_text("a\nb\nc\n")
        self.how = Extraction(
            data=str(folder / "images"),
            device="cpu",
            class_map=folder / "order.txt",
            model=ModelChoice(f"{folder / 'code.py'}:net", images=Overrides(image_size=8, resize=9)),
        )

    def write_code(self, activation: str = "ReLU()", scale: str = "1") -> None:
        (self.folder / "code.py").write_text(CODE.format(activation=activation, scale=scale))

    def write_weights(self) -> None:
        average = {name: part * 0.5 for name, part in self.weights.items()}
        torch.save({"state_dict": self.weights, "state_dict_ema": average}, self.folder / "net.pt")

    def set(self, **options: object) -> None:
        self.how = replace(self.how, **options)  # type: ignore[arg-type]

    def set_images(self, **options: object) -> None:
        images = replace(self.how.model.images, **options)  # type: ignore[arg-type]
        self.set(model=replace(self.how.model, images=images))

    def flip_a_bit(self) -> None:
        raw = self.weights["0.weight"].view(torch.uint8).flatten()
        raw[0] ^= 1
        self.write_weights()

    @property
    def image(self) -> Path:
        return self.folder / "images" / "b" / "1.png"

    def touch(self) -> None:
        os.utime(self.image, ns=(1, 1))

    def another(self) -> None:
        (self.folder / "images" / "b" / "9.png").write_bytes(self.image.read_bytes())

    def rename(self) -> None:
        self.image.rename(self.image.with_name("1b.png"))

    def extract(self):
        return extract_features(self.folder / "net.pt", self.folder / "s.features", self.how)


CHANGES: dict[str, tuple[Callable[[World], None], str]] = {
    "one bit of a weight": (World.flip_a_bit, "weights"),
    "averaged weights": (lambda world: world.set(use_ema=True), "weights"),
    "an activation": (lambda world: world.write_code(activation="GELU()"), "modules, code"),
    "code that no module shows": (lambda world: world.write_code(scale="1.0"), "code"),
    "a layer": (
        lambda world: world.set(model=replace(world.how.model, layer="3")),
        "layer (input of 4, now output of 3)",
    ),
    "a file touched": (World.touch, "data"),
    "a file added": (World.another, "data, samples (9, now 10), labels"),
    "a file removed": (lambda world: world.image.unlink(), "data, samples (9, now 8), labels"),
    "a file renamed": (World.rename, "data"),
    "another order of classes": (
        lambda world: (world.folder / "order.txt").write_text("b\na\nc\n"),  # type: ignore[arg-type, return-value]
        "labels, classes",
    ),
    "resize": (lambda world: world.set_images(resize=10), "resize (9, now 10)"),
    "crop": (lambda world: world.set_images(image_size=7, resize=9), "size ([3, 8, 8], now [3, 7, 7])"),
    "interpolation": (
        lambda world: world.set_images(interpolation="bicubic"),
        "interpolation (bilinear, now bicubic)",
    ),
    "mean": (
        lambda world: world.set_images(mean=(0.5, 0.5, 0.5)),
        "mean ([0.485, 0.456, 0.406], now [0.5, 0.5, 0.5])",
    ),
    "std": (
        lambda world: world.set_images(std=(0.5, 0.5, 0.5)),
        "std ([0.229, 0.224, 0.225], now [0.5, 0.5, 0.5])",
    ),
    "the stored type": (
        lambda world: world.set(storage=Storage("bfloat16")),
        "dtype (float32, now bfloat16)",
    ),
    "no logits": (lambda world: world.set(storage=Storage(logits=False)), "logits (on, now off)"),
    "autocast": (lambda world: world.set(precision=Precision(amp="bf16")), "amp (none, now bf16)"),
    "TF32": (lambda world: world.set(precision=Precision(tf32=True)), "tf32 (off, now on)"),
    "deterministic": (
        lambda world: world.set(precision=Precision(deterministic=True)),
        "deterministic (off, now on)",
    ),
    "how data are told apart": (
        lambda world: world.set(hash_data=True),
        "data, data checked by (names, sizes and times, now contents)",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_misses_the_store_and_is_named(tmp_path: Path, change: str):
    world = World(tmp_path)
    assert world.extract() is not None
    do, named = CHANGES[change]
    do(world)
    with pytest.raises(InputError) as refusal:
        world.extract()
    assert f"s.features exists already and differs in: {named}; choose" in str(refusal.value)


def test_a_schema_that_changes_misses_the_store(tmp_path: Path, monkeypatch):
    world = World(tmp_path)
    world.extract()
    monkeypatch.setattr("maxsup_analysis.ingredients.SCHEMA", 3)
    with pytest.raises(InputError, match=r"differs in: schema \(2, now 3\)"):
        world.extract()


def test_one_byte_of_an_image_is_noticed_when_contents_are_hashed(tmp_path: Path):
    world = World(tmp_path)
    world.set(hash_data=True)
    world.extract()
    before, content = world.image.stat(), bytearray(world.image.read_bytes())
    content[-20] ^= 1
    world.image.write_bytes(content)
    os.utime(world.image, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InputError, match="differs in: data; choose"):
        world.extract()


def test_what_changes_no_row_misses_nothing(tmp_path: Path, capsys):
    world = World(tmp_path)
    world.extract()
    for options in ({"batch_size": 2}, {"batch_size": None}, {"workers": 2}, {"workers": 0, "rank": "0/1"}):
        world.set(**options)
        assert world.extract() is not None
        assert "nothing has changed" in capsys.readouterr().err


def test_data_and_checkpoint_may_move(tmp_path: Path, capsys):
    world = World(tmp_path)
    world.extract()
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    (tmp_path / "net.pt").rename(tmp_path / "renamed.pt")
    world.set(data=str(tmp_path / "elsewhere"))
    assert extract_features(tmp_path / "renamed.pt", tmp_path / "s.features", world.how) is not None
    assert "nothing has changed" in capsys.readouterr().err


def test_other_versions_of_the_libraries_are_said(tmp_path: Path, capsys, monkeypatch):
    world = World(tmp_path)
    world.extract()
    monkeypatch.setattr("maxsup_analysis.provenance.library_versions", lambda: {"torch": "99.0"})
    assert world.extract() is not None
    assert (
        f"note: they were extracted with torch {torch.__version__.partition('+')[0]}"
        in capsys.readouterr().err
    )
