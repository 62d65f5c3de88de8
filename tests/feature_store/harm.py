"""Kinds of harm that come to a store of three shards, each as a function of its folder and of a stranger's."""

import json
import os
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from maxsup_analysis.feature_store import SHARD
from maxsup_analysis.feature_store.seals import SEAL, sealed
from tests.feature_store.stores import rows_of, store_at

TOTAL = 2 * SHARD + 50
FIRST, SECOND, LAST = (f"rows-0000{number}.safetensors" for number in range(3))
Harm = Callable[[Path, Path], object]


def make(folder: Path) -> tuple[Path, Path]:
    """A store, and a stranger's of the same sizes."""
    whole = store_at(folder / "s", rows_of(TOTAL)).path
    return whole, store_at(folder / "foreign", rows_of(torch.arange(TOTAL) + 1), weights="ef").path


def twin(folder: Path) -> Path:
    """A store of another classifier on the same samples, to compare the first with."""
    rows = rows_of(TOTAL)
    assert rows.logits is not None
    return store_at(
        folder / "twin", replace(rows, features=rows.features.roll(1, 1), logits=rows.logits.roll(1, 1))
    ).path


def resealed(folder: Path, change: Callable[[dict], object]) -> None:
    """The manifest changed, with a seal that is right for it."""
    document = json.loads((folder / "manifest.json").read_text())
    document.pop(SEAL)
    change(document)
    (folder / "manifest.json").write_bytes(sealed(document))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def flipped(name: str, place: int) -> Harm:
    return lambda store, _: flip(store / name, place)


def instead(name: str, put: Callable[[Path], object]) -> Harm:
    """Something else under the name of a file."""

    def harm(store: Path, _: Path) -> None:
        (store / name).unlink()
        put(store / name)

    return harm


def elsewhere(name: str) -> Harm:
    """A link to the file itself, which was moved out of the store."""

    def harm(store: Path, _: Path) -> None:
        shutil.move(store / name, store.parent / name)
        (store / name).symlink_to(store.parent / name)

    return harm


def manifest(change: Callable[[dict], object]) -> Harm:
    return lambda store, _: resealed(store, change)


def swap(store: Path, _: Path) -> None:
    (store / FIRST).rename(store / "x")
    (store / SECOND).rename(store / FIRST)
    (store / "x").rename(store / SECOND)


def reorder(store: Path, _: Path) -> None:
    """The rows of features in another order, under the header as it is."""
    content = (store / LAST).read_bytes()
    end = 8 + int.from_bytes(content[:8], "little") + 50 * 16
    rows = content[end : end + 50 * 16]
    (store / LAST).write_bytes(content[:end] + rows[16:] + rows[:16] + content[end + 50 * 16 :])


def blank(store: Path, _: Path) -> None:
    with (store / FIRST).open("r+b") as file:
        file.seek(70_000)
        file.write(bytes(4096))


def listen(path: Path) -> None:
    # A name of a socket is short: it is made where it is.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def twice(document: dict) -> None:
    document["shards"][1] = document["shards"][0]


def moved(document: dict) -> None:
    document["shards"][0]["rows"] -= 1
    document["shards"][1]["rows"] += 1


def doubled(document: dict) -> None:
    document["shards"].append(document["shards"][0])
    document["rows"] += document["shards"][0]["rows"]


HARMS: Mapping[str, Harm] = {
    "a bit of features": flipped(SECOND, 80_000),
    "a bit of logits": flipped(LAST, -3),
    "a bit of ids": flipped(FIRST, 1000),
    "a bit of labels": flipped(FIRST, 40_000),
    "a bit of a header": flipped(FIRST, 400),
    "rows in another order": reorder,
    "a page of zeros": blank,
    "a foreign shard": lambda store, foreign: shutil.copy(foreign / SECOND, store),
    "a shard in two places": lambda store, _: shutil.copy(store / FIRST, store / SECOND),
    "shards that changed places": swap,
    "a missing shard": lambda store, _: (store / SECOND).unlink(),
    "a shard cut short": lambda store, _: os.truncate(store / SECOND, 5000),
    "a shard with more at its end": lambda store, _: os.truncate(store / SECOND, (store / SECOND).stat().st_size + 1),
    "an empty shard": lambda store, _: (store / SECOND).write_bytes(b""),
    "a link for a shard": elsewhere(SECOND),
    "a link for the manifest": elsewhere("manifest.json"),
    "a link for the head": elsewhere("head.safetensors"),
    "a pipe for a shard": instead(LAST, os.mkfifo),
    "a pipe for the head": instead("head.safetensors", os.mkfifo),
    "a pipe for the manifest": instead("manifest.json", os.mkfifo),
    "a socket for a shard": instead(LAST, listen),
    "a device for a shard": instead(LAST, lambda path: path.symlink_to("/dev/zero")),
    "a folder for a shard": instead(LAST, os.mkdir),
    "a folder for the head": instead("head.safetensors", os.mkdir),
    "a bit of the head": flipped("head.safetensors", -5),
    "a foreign head": lambda store, _: (store / "head.safetensors").write_bytes(b"\2" + bytes(7) + b"{}"),
    "a missing head": lambda store, _: (store / "head.safetensors").unlink(),
    "a foreign manifest": lambda store, foreign: shutil.copy(foreign / "manifest.json", store),
    "a bit of the manifest": flipped("manifest.json", 60),
    "a shard listed twice": manifest(twice),
    "a shard listed once more": manifest(doubled),
    "a shard left out": manifest(lambda document: document["shards"].pop()),
    "a file outside": manifest(lambda document: document["shards"][0].update(file="../foreign/" + FIRST)),
    "a file at the root": manifest(lambda document: document["shards"][0].update(file="/etc/passwd")),
    "a head outside": manifest(lambda document: document["head"].update(file="../foreign/head.safetensors")),
    "other rows": manifest(lambda document: document.update(rows=TOTAL + 1)),
    "rows moved between shards": manifest(moved),
    "other dimensions": manifest(lambda document: document.update(dimensions=5)),
    "other columns": manifest(lambda document: document["columns"].pop("logits")),
    "other types": manifest(lambda document: document["columns"].update(features="float16")),
    "fewer classes": manifest(lambda document: document["classes"].pop()),
    "another version": manifest(
        lambda document: document.update(format="maxsup-analysis feature store, version 3")
    ),
    "another key": manifest(lambda document: document["key"]["ingredients"].update(resize=1)),
}  # fmt: skip
