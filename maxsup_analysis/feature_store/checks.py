"""What is wrong with a feature store, if anything."""

from collections.abc import Iterator

from maxsup_analysis.feature_store.headers import DamagedShard, read_header
from maxsup_analysis.feature_store.places import Place, repeated_id
from maxsup_analysis.feature_store.shards import Batch, certify, columns
from maxsup_analysis.feature_store.stamps import open_file, stamp_of
from maxsup_analysis.feature_store.store import FeatureStore


def faults(store: FeatureStore) -> Iterator[str]:
    """Everything that is wrong with a store, a sentence each; reads every byte of it."""
    seen = []
    for place in store.places:
        name = place.entry.file
        if (fault := shard_fault(store, place)) is not None:
            yield f"{name}: {fault}"
        else:
            batch = columns(store.path / name)
            seen.append(batch.ids.clone())
            yield from (f"{name}: {fault}" for fault in _wrong_rows(batch, len(store.class_names)))
    if (fault := repeated_id(seen)) is not None:
        yield fault


def _wrong_rows(batch: Batch, classes: int) -> Iterator[str]:
    outside = (batch.labels < 0) | (batch.labels >= classes)
    if outside.any():
        yield f"the label of sample {int(batch.ids[outside][0])} is not from 0 to {classes - 1}"
    if not batch.finite.all():
        yield f"sample {int(batch.ids[~batch.finite][0])} has NaN or infinity"


def shard_fault(store: FeatureStore, place: Place) -> str | None:
    """What is wrong with the bytes of a shard, if anything."""
    path = store.path / place.entry.file
    try:
        found = certify(path)
        with open_file(path) as file:
            header, size = read_header(file), stamp_of(file).size
    except (DamagedShard, OSError) as reason:
        return getattr(reason, "strerror", None) or str(reason)
    if (fault := next(place.faults(header, size), None)) is not None:
        return fault
    digests = (found.sha256, place.entry.xxh3_128 and found.xxh3_128)
    if digests != (place.entry.sha256, place.entry.xxh3_128):
        return "its checksum differs from the manifest's"
    return next(place.faults_of_ids(columns(path).ids, header.note.skipped), None)
