"""Reading the rows of a shard, which has to be the file that was opened, byte for byte what was written."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import xxhash
from safetensors import SafetensorError

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.headers import DamagedShard, read_header
from maxsup_analysis.feature_store.manifest import ShardEntry
from maxsup_analysis.feature_store.shards import Batch, columns
from maxsup_analysis.feature_store.stamps import Stamp, open_file
from maxsup_analysis.rows import Rows


@dataclass(frozen=True)
class ShardReader:
    """Maps the rows of one shard into memory each time it is called; small enough to be sent to another machine.

    entry: what its bytes are held against; None where that was done. advice: what makes a damaged store again.
    """

    path: Path
    stamp: Stamp
    entry: ShardEntry | None
    advice: str

    @property
    def known(self) -> "ShardReader":
        """The same, for bytes that were held against the manifest."""
        return replace(self, entry=None)

    @property
    def elsewhere(self) -> "ShardReader":
        """The same, for another machine that has the same files."""
        return replace(self, stamp=self.stamp.elsewhere)

    def __call__(self) -> Rows:
        """The rows; raises InputError where the file is missing, damaged, or another one than was opened."""
        batch = checked_columns(self.path, self.stamp, self.advice)
        if self.entry is not None and not _is_whole(self.path, batch, self.entry):
            self.require_unchanged()
            raise InputError(
                f"{self.path} is damaged: its checksum differs from the manifest's; {self.advice}"
            )
        # Copies: ids and labels are kept for longer than rows, and would hold the whole file in memory.
        return Rows(batch.ids.numpy().copy(), batch.labels.clone(), batch.features, batch.logits)

    def require_unchanged(self) -> None:
        """Raise InputError where the file is not what it was when the store was opened."""
        _require_unchanged(self.path, self.stamp)


def checked_columns(path: Path, stamp: Stamp, advice: str) -> Batch:
    """The rows of a shard, mapped into memory; raises InputError where it is not the file of the stamp, or damaged."""
    _require_unchanged(path, stamp)
    try:
        batch = columns(path)
    except (OSError, SafetensorError, KeyError, RuntimeError) as reason:
        raise InputError(f"{path} is missing or damaged ({reason}); {advice}") from None
    # Between the first look and the opening another file may have taken its place.
    _require_unchanged(path, stamp)
    return batch


def _require_unchanged(path: Path, stamp: Stamp) -> None:
    if not stamp.is_of(path):
        raise InputError(
            f"{path} changed or went away while it was read; run this again when nothing writes to the store"
        )


def _is_whole(path: Path, batch: Batch, entry: ShardEntry) -> bool:
    """Whether header and mapped columns, which are all of the file, are what the manifest says."""
    digest, expected = (
        (hashlib.sha256(), entry.sha256) if entry.xxh3_128 is None else (xxhash.xxh3_128(), entry.xxh3_128)
    )
    try:
        with open_file(path) as file:
            header = read_header(file)
    except (OSError, DamagedShard):
        return False
    tensors = batch.tensors()
    digest.update(header.content)
    for name in header.columns:
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest() == expected
