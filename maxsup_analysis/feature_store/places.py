"""What a shard has to be for its place in a store, by the manifest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from maxsup_analysis.feature_store.headers import Header, Skipped
from maxsup_analysis.feature_store.manifest import ShardEntry


@dataclass(frozen=True)
class Place:
    """The place of one shard. classes: K. ids: those that it and what it skipped have, where the key tells."""

    key: str
    number: int
    entry: ShardEntry
    columns: Mapping[str, str]
    dimensions: int
    classes: int
    ids: range | None = None

    def faults(self, header: Header, size: int) -> Iterator[str]:
        """What a header, and the size of its file, have that does not fit."""
        if (header.note.key, header.note.number) != (self.key, self.number):
            yield "it belongs to another store or place"
        elif not size == header.bytes == self.entry.bytes:
            yield f"it has {size:,} bytes, of {self.entry.bytes:,}"
        elif header.rows != self.entry.rows:
            yield f"it does not hold the {self.entry.rows} rows of the manifest"
        elif header.types != self.columns:
            yield "its columns are not those of the manifest"
        elif header.width("features") != self.dimensions:
            yield f"it does not have the {self.dimensions} dimensions of the manifest"
        elif header.width("logits") not in (None, self.classes):
            yield f"it does not have a logit for each of {self.classes} classes"

    def faults_of_ids(self, ids: Int64[Tensor, " B"], skipped: Sequence[Skipped]) -> Iterator[str]:
        """What is wrong where ids are the places of samples in the data, and each shard has its part of them."""
        if self.ids is None:
            return
        left_out = torch.tensor([one.id for one in skipped], dtype=torch.int64)
        own, whole = torch.cat([ids, left_out]), len(self.ids)
        if len(own) != whole or not torch.equal(own.sort().values, torch.arange(whole) + self.ids.start):
            yield f"its samples are not {self.ids.start} to {self.ids.stop - 1}, each once"


def repeated_id(ids: Sequence[Tensor]) -> str | None:
    """A sentence on ids that are there more than once in the shards of a store, if there are any."""
    together = torch.cat(list(ids)) if ids else torch.empty(0, dtype=torch.int64)
    if (together[1:] > together[:-1]).all():
        return None
    found, times = together.unique(return_counts=True)
    repeated = found[times > 1]
    if not len(repeated):
        return None
    others = f" and {len(repeated) - 1:,} others are" if len(repeated) > 1 else " is"
    return f"sample {int(repeated[0])}{others} there more than once"
