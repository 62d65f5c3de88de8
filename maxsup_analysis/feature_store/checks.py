"""What is wrong with a feature store, if anything."""

from collections.abc import Iterator

import torch

from maxsup_analysis.feature_store.shards import Batch, DamagedShard, certify, columns
from maxsup_analysis.feature_store.store import FeatureStore, ShardEntry


def faults(store: FeatureStore) -> Iterator[str]:
    """Everything that is wrong with a store, a sentence each; reads every byte of it."""
    seen = []
    for number, shard in enumerate(store.shards):
        if (fault := shard_fault(store, number, shard)) is not None:
            yield f"{shard.file}: {fault}"
        else:
            batch = columns(store.path / shard.file)
            seen.append(batch.ids.clone())
            yield from (f"{shard.file}: {fault}" for fault in _wrong_rows(batch, len(store.class_names)))
    ids, times = torch.cat(seen).unique(return_counts=True) if seen else (torch.empty(0), torch.empty(0))
    if len(repeated := ids[times > 1]):
        others = f", as are {len(repeated) - 1:,} others" if len(repeated) > 1 else ""
        yield f"sample {int(repeated[0])} is there more than once{others}"


def _wrong_rows(batch: Batch, classes: int) -> Iterator[str]:
    outside = (batch.labels < 0) | (batch.labels >= classes)
    if outside.any():
        yield f"the label of sample {int(batch.ids[outside][0])} is not from 0 to {classes - 1}"
    if not batch.finite.all():
        yield f"sample {int(batch.ids[~batch.finite][0])} has NaN or infinity"


def shard_fault(store: FeatureStore, number: int, shard: ShardEntry) -> str | None:
    """What is wrong with the bytes of a shard, if anything."""
    try:
        found = certify(store.path / shard.file)
    except (DamagedShard, OSError) as reason:
        return getattr(reason, "strerror", None) or str(reason)
    if (found.note.key, found.note.number) != (store.key.sha256, number):
        return "it belongs to another store or place"
    return None if found.sha256 == shard.sha256 else "its checksum differs from the manifest's"
