"""One shard of a feature store: a safetensors file that says where it belongs, and certifies itself.

Its metadata name the content key of its store, its number, the samples that were left out, and a SHA-256 over the whole
file with the digits of that SHA-256 taken as zeros. A shard that is there and certifies is right, whoever wrote it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import xxhash
from jaxtyping import Float, Int64
from safetensors import safe_open
from torch import Tensor

from maxsup_analysis.feature_store.headers import (
    METADATA,
    UNSIGNED,
    DamagedShard,
    ShardNote,
    read_header,
)
from maxsup_analysis.feature_store.headers import Skipped as Skipped
from maxsup_analysis.feature_store.headers import shard_name as shard_name
from maxsup_analysis.feature_store.stamps import open_file
from maxsup_analysis.files import path_as_text, write_durably

SHARD = 4096
CHUNK = 2**20
TYPES = {
    torch.int64: "I64", torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
}  # fmt: skip
COLUMNS = ("ids", "labels", "features", "logits")


@dataclass(frozen=True)
class Batch:
    """What a model makes of B samples."""

    ids: Int64[Tensor, " B"]
    labels: Int64[Tensor, " B"]
    features: Float[Tensor, "B D"]
    logits: Float[Tensor, "B K"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def tensors(self) -> dict[str, Tensor]:
        """By name, as in a shard; without the logits where there are none."""
        # Features may be the logits themselves; safetensors wants columns that share no memory.
        same = self.logits is not None and self.logits.data_ptr() == self.features.data_ptr()
        logits = self.logits.clone() if same and self.logits is not None else self.logits
        parts = {"ids": self.ids, "labels": self.labels, "features": self.features, "logits": logits}
        return {name: part.contiguous() for name, part in parts.items() if part is not None}

    def rows(self, chosen: Tensor | slice) -> "Batch":
        """Some of the samples."""
        return Batch(**{name: column[chosen] for name, column in self.tensors().items()})

    def stored_as(self, dtype: torch.dtype, *, logits: bool = True) -> "Batch":
        """The same with features and logits rounded to a type, or without logits."""
        kept = self.logits.to(dtype) if self.logits is not None and logits else None
        return Batch(self.ids, self.labels, self.features.to(dtype), kept)

    @property
    def finite(self) -> Tensor:
        """Which samples have neither NaN nor infinity."""
        finite = self.features.isfinite().all(1)
        return finite if self.logits is None else finite & self.logits.isfinite().all(1)


def joined(batches: Sequence[Batch]) -> Batch:
    """One batch of them all, in their order."""
    if len(batches) == 1:
        return batches[0]
    columns = [batch.tensors() for batch in batches]
    return Batch(**{name: torch.cat([column[name] for column in columns]) for name in columns[0]})


@dataclass(frozen=True)
class Certificate:
    """What a shard was found to be. sha256, xxh3_128: of the file as it is, as other tools compute them."""

    note: ShardNote
    rows: int
    bytes: int
    sha256: str
    xxh3_128: str


def write_shard(path: Path, batch: Batch, note: ShardNote) -> None:
    """Write a shard whole or not at all; the same rows and note give the same bytes."""
    # The format wants wide numbers first, so that all of them are aligned.
    tensors = dict(sorted(batch.tensors().items(), key=lambda column: (-column[1].itemsize, column[0])))
    # Views: nothing is copied, where safetensors' own `save` makes one piece of it all.
    data = [memoryview(column.flatten().view(torch.uint8).numpy()) for column in tensors.values()]  # type: ignore[arg-type]
    header = _header_of(tensors, note)
    digest = hashlib.sha256(header)
    for part in data:
        digest.update(part)
    write_durably(path, header.replace(UNSIGNED, digest.hexdigest().encode(), 1), *data)


def _header_of(tensors: Mapping[str, Tensor], note: ShardNote) -> bytes:
    """The header of a safetensors file: its length, then types, shapes and places of the columns as JSON."""
    described: dict[str, object] = {"__metadata__": {METADATA: note.to_text(UNSIGNED.decode())}}
    start = 0
    for name, column in tensors.items():
        place = [start, start := start + column.nbytes]
        described[name] = {"dtype": TYPES[column.dtype], "shape": list(column.shape), "data_offsets": place}
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def certify(path: Path) -> Certificate:
    """Hold a whole shard against its own checksum; raises DamagedShard, or OSError where it is not there."""
    with open_file(path) as file:
        header = read_header(file)
        unsigned = hashlib.sha256(header.content.replace(header.signature.encode(), UNSIGNED, 1))
        written, quick = hashlib.sha256(header.content), xxhash.xxh3_128(header.content)
        size = len(header.content)
        while chunk := file.read(CHUNK):
            for digest in (unsigned, written, quick):
                digest.update(chunk)
            size += len(chunk)
    if unsigned.hexdigest() != header.signature:
        raise DamagedShard("its checksum differs")
    return Certificate(header.note, header.rows, size, written.hexdigest(), quick.hexdigest())


def columns(path: Path) -> Batch:
    """The rows of a shard as views into the file, which is mapped into memory; nothing is copied.

    Raises OSError, SafetensorError or KeyError where the file is not a shard.
    """
    with path_as_text(path) as place, safe_open(place, "pt") as file:
        there = set(file.keys())
        names = [name for name in COLUMNS if name != "logits" or name in there]
        return Batch(**{name: file.get_tensor(name) for name in names})
