"""Files that are damaged, that are something else, or that ask for far more than they hold.

BROKEN maps a name to a builder: given an empty folder, it returns what to open. Those in MAY_OPEN are legal, or are
harmless to a reader that never builds what they describe; all others must be refused. None may cost time or memory.
"""

import gzip
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from tests.checkpoints.archives import (
    Record,
    npy,
    saved,
    storages_of,
    tarred,
    torch_records,
    torch_zip,
    unzipped,
    zipped,
)
from tests.checkpoints.bombs import BOMBS, bomb, zeros
from tests.checkpoints.headers import HEADERS
from tests.checkpoints.hostile import distributed, distributed_metadata, weights, written
from tests.checkpoints.opcodes import WEIGHTS, mapping, state_dict, storage, stream, tensor, text

TRUNCATIONS = 20
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32 + b"\nsize 46830571\n"
HONEST = stream(mapping(*state_dict()))
NAN = b"\x00\x00\xc0\x7f"


def honest() -> bytes:
    """A small checkpoint."""
    return saved({"state_dict": weights(), "epoch": 3})


def truncated(part: int, folder: Path) -> Path:
    content = honest()
    return written(folder / "cut.pt", content[: len(content) * (part + 1) // (TRUNCATIONS + 1)])


def flipped_record(folder: Path) -> Path:
    """A weight has changed and its check sum has not."""
    content = bytearray(torch_zip(HONEST, WEIGHTS))
    content[content.index(WEIGHTS["0"]) + 5] ^= 0x10
    return written(folder / "model.pt", bytes(content))


def records(folder: Path, *changed: Record) -> Path:
    """An honest torch zip in which some records are replaced or added."""
    names = {record.name for record in changed}
    kept = [record for record in torch_records(HONEST, WEIGHTS) if record.name not in names]
    return written(folder / "model.pt", zipped([*kept, *changed]))


def inflating_record(folder: Path) -> Path:
    """A megabyte that inflates to a gigabyte of weights."""
    packed, crc, size = zeros(2**30)
    document = stream(mapping((text("weight"), tensor(storage("0", size // 4), (size // 4,), (1,)))))
    record = Record("archive/data/0", b"", deflate=True, packed=packed, crc=crc, size=size)
    kept = [each for each in torch_records(document, WEIGHTS) if each.name != record.name]
    return written(folder / "model.pt", zipped([*kept, record]))


def inflating_document(folder: Path) -> Path:
    """data.pkl itself inflates to a gigabyte."""
    packed, crc, size = zeros(2**30)
    return records(folder, Record("archive/data.pkl", b"", deflate=True, packed=packed, crc=crc, size=size))


def inflating_npz(folder: Path) -> Path:
    packed, crc, size = zeros(2**30)
    record = Record("weight.npy", b"", deflate=True, packed=packed, crc=crc, size=size)
    return written(folder / "weights.npz", zipped([record]))


def documented(folder: Path, expression: bytes) -> Path:
    """A torch zip whose document is one entry under "weight"."""
    return written(folder / "model.pt", torch_zip(stream(mapping((text("weight"), expression))), WEIGHTS))


def inside_tar(folder: Path) -> Path:
    return written(folder / "model.tar", tarred({"model.pt": honest()}))


def inside_zip(folder: Path) -> Path:
    return written(folder / "model.zip", zipped([Record("export/model.pt", honest())]))


def sharded(folder: Path, shard: str) -> Path:
    """A folder of shards, one of which lies elsewhere."""
    index = {"metadata": {"total_size": 24}, "weight_map": {"weight": shard}}
    return written(folder / "repo" / "model.safetensors.index.json", json.dumps(index).encode()).parent


def distributed_elsewhere(folder: Path) -> Path:
    item = saved(weights()["weight"])
    written(folder / "x", item)
    metadata = distributed_metadata(len(item), {}, relative_path="../x")
    return distributed(folder, stream(metadata), item)


def distributed_beyond(folder: Path) -> Path:
    """The item is said to be longer than its file."""
    item = saved(weights()["weight"])
    return distributed(folder, stream(distributed_metadata(2**40, {})), item)


def queue(folder: Path) -> Path:
    """A FIFO that nobody writes to."""
    os.mkfifo(folder / "model.pt")
    return folder / "model.pt"


def loop(folder: Path) -> Path:
    (folder / "model.pt").symlink_to(folder / "model.pt")
    return folder / "model.pt"


def empty_folder(folder: Path) -> Path:
    (folder / "model").mkdir()
    return folder / "model"


def linked_shard(folder: Path) -> Path:
    """A shard that is a link out of the folder."""
    path = sharded(folder, "model-00001.safetensors")
    (path / "model-00001.safetensors").symlink_to("/etc/passwd")
    return path


def not_numbers(folder: Path) -> Path:
    """Legal: the weights are NaN."""
    return written(folder / "diverged.pt", torch_zip(HONEST, {"0": 6 * NAN, "1": 2 * NAN}))


def content(name: str, body: bytes) -> Callable[[Path], Path]:
    """A builder of one file with this body."""
    return lambda folder: written(folder / name, body)


OTHER_THINGS = {
    "nothing": ("model.pt", b""),
    "one_byte": ("model.pt", b"\x80"),
    "web_page": (
        "model.pt",
        b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>\n",
    ),
    "json_error": ("model.safetensors", b'{"error": "Repository not found", "status": 404}\n'),
    "lfs_pointer": ("model.bin", LFS_POINTER),
    "plain_text": ("model.pth", b"See https://example.org/weights for the weights.\n" * 20),
    "image": ("model.pt", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(64))),
    "onnx": (
        "model.pt",
        b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xb1\x01\n\x1f\n\x05input\x12\x06output\x1a\x06node_0",
    ),
    "hdf5": ("model.pt", b"\x89HDF\r\n\x1a\n" + bytes(512)),
    "gguf": ("model.pt", b"GGUF\x03\x00\x00\x00" + bytes(512)),
    "seven_zip": ("model.pt", b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(range(128))),
    "xz": ("model.pt", b"\xfd7zXZ\x00" + bytes(range(128))),
    "zstandard": ("model.pt", b"\x28\xb5\x2f\xfd" + bytes(range(128))),
    "matlab": ("model.mat", b"MATLAB 5.0 MAT-file" + bytes(512)),
    "arrow": ("model.pt", b"ARROW1\x00\x00" + bytes(512)),
    "elf": ("model.so", b"\x7fELF\x02\x01\x01" + bytes(512)),
    "zeros": ("model.pt", bytes(4096)),
    "script": ("model.pt", b"#!/bin/sh\n" * 400),
}
BUILDERS: dict[str, Callable[[Path], Path]] = {
    "gzip": lambda folder: written(folder / "model.pt.gz", gzip.compress(honest(), mtime=0)),
    "inside_tar": inside_tar,
    "inside_zip": inside_zip,
    "zip_of_nothing": lambda folder: written(folder / "model.pt", zipped([])),
    "flipped_record": flipped_record,
    "wrong_crc_of_the_document": lambda folder: records(folder, Record("archive/data.pkl", HONEST, crc=1)),
    "two_documents": lambda folder: written(
        folder / "model.pt",
        zipped([*torch_records(HONEST, WEIGHTS), Record("archive/data.pkl", b"\x80\x02}.")]),
    ),
    "two_roots": lambda folder: written(
        folder / "model.pt",
        zipped([*torch_records(HONEST, WEIGHTS), *torch_records(HONEST, {}, root="other")]),
    ),
    "inflating_record": inflating_record,
    "inflating_document": inflating_document,
    "inflating_npz": inflating_npz,
    "local_name_differs": lambda folder: records(
        folder, Record("archive/data.pkl", HONEST, local_name="archive/other.pk")
    ),
    "local_size_differs": lambda folder: records(
        folder, Record("archive/data/0", WEIGHTS["0"], local_size=4)
    ),
    "record_absent": lambda folder: written(folder / "model.pt", torch_zip(HONEST, {"0": WEIGHTS["0"]})),
    "record_too_short": lambda folder: written(
        folder / "model.pt", torch_zip(HONEST, WEIGHTS | {"0": b"\0" * 20})
    ),
    "record_said_to_be_huge": lambda folder: records(
        folder, Record("archive/data/0", WEIGHTS["0"], size=2**31)
    ),
    "tensor_beyond_storage": lambda folder: documented(folder, tensor(storage("0", 6), (3, 3), (3, 1))),
    "offset_beyond_storage": lambda folder: documented(folder, tensor(storage("0", 6), (2, 3), (3, 1), 1)),
    "negative_offset": lambda folder: documented(folder, tensor(storage("0", 6), (2,), (1,), -4)),
    "negative_stride": lambda folder: documented(folder, tensor(storage("0", 6), (2, 3), (-3, 1))),
    "negative_shape": lambda folder: documented(folder, tensor(storage("0", 6), (-2, 3), (3, 1))),
    "shape_and_stride_differ_in_length": lambda folder: documented(
        folder, tensor(storage("0", 6), (2, 3), (1,))
    ),
    "stride_of_zero": lambda folder: documented(folder, tensor(storage("0", 4), (2**20, 2**20), (0, 0))),
    "shape_overflows": lambda folder: documented(
        folder, tensor(storage("0", 6), (2**62, 2**62, 16), (1, 1, 1))
    ),
    "storage_of_negative_length": lambda folder: documented(folder, tensor(storage("0", -6), (2, 3), (3, 1))),
    "storage_elsewhere": lambda folder: documented(folder, tensor(storage("../../x", 6), (2, 3), (3, 1))),
    "storage_of_unknown_kind": lambda folder: documented(
        folder, tensor(storage("0", 6, kind="FancyStorage"), (2, 3), (3, 1))
    ),
    "npy_of_trillions": lambda folder: written(
        folder / "weight.npy",
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }", b"\0" * 16),
    ),
    "npy_of_a_nested_header": lambda folder: written(
        folder / "weight.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 20_000, b"")
    ),
    "npy_of_a_called_header": lambda folder: written(
        folder / "weight.npy",
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (6 ** 9 ** 9,), }", b"\0" * 24),
    ),
    "shard_elsewhere": partial(sharded, shard="../../etc/passwd"),
    "shard_at_an_absolute_path": partial(sharded, shard="/etc/passwd"),
    "shard_absent": partial(sharded, shard="model-00001-of-00002.safetensors"),
    "shard_linked_elsewhere": linked_shard,
    "index_of_a_list": lambda folder: written(folder / "repo" / "model.safetensors.index.json", b"[]").parent,
    "distributed_elsewhere": distributed_elsewhere,
    "distributed_beyond": distributed_beyond,
    "queue": queue,
    "loop": loop,
    "empty_folder": empty_folder,
    "absent": lambda folder: folder / "absent.pt",
    "not_numbers": not_numbers,
    "legacy_cut": lambda folder: written(folder / "old.pth", saved(weights(), legacy=True)[:-9]),
    "legacy_of_huge_storage": lambda folder: written(
        folder / "old.pth",
        saved({"weight": torch.zeros(6)}, legacy=True)[:-32] + (2**40).to_bytes(8, "little") + bytes(24),
    ),
    "torch_zip_without_a_version": lambda folder: written(
        folder / "model.pt",
        zipped(Record(f"archive/{name}", body) for name, body in _without_version().items()),
    ),
}


def _without_version() -> dict[str, bytes]:
    members = unzipped(honest())
    return {"data.pkl": members["data.pkl"]} | {
        f"data/{key}": body for key, body in storages_of(members).items()
    }


BROKEN: dict[str, Callable[[Path], Path]] = (
    {f"cut_{part:02d}": partial(truncated, part) for part in range(TRUNCATIONS)}
    | {name: content(*thing) for name, thing in OTHER_THINGS.items()}
    | BUILDERS
    | {f"bomb_{name}": partial(bomb, name) for name in BOMBS}
    | {f"header_{name}": builder for name, builder in HEADERS.items()}
)
MAY_OPEN = {"not_numbers", "torch_zip_without_a_version"}
MAY_OPEN |= {f"bomb_{name}" for name in BOMBS if BOMBS[name].harmless_if_inert}
MAY_OPEN |= {f"header_{name}" for name in ("strange_names", "infinite_values", "metadata_of_markup", "empty")}
