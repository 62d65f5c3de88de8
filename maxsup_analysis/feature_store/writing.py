"""Writing a feature store: its manifest, its head, and the whole of one whose rows are at hand."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.content_key import ContentKey
from maxsup_analysis.feature_store.manifest import FORMAT, HEAD, MANIFEST, ShardEntry
from maxsup_analysis.feature_store.seals import sealed
from maxsup_analysis.feature_store.shards import (
    SHARD,
    Batch,
    Certificate,
    ShardNote,
    Skipped,
    certify,
    columns,
    joined,
    shard_name,
    write_shard,
)
from maxsup_analysis.feature_store.store import DamagedStore, FeatureStore, is_store, open_store
from maxsup_analysis.files import require_absent, whole_folder, write_durably
from maxsup_analysis.representation import Head


@dataclass(frozen=True)
class StorePlan:
    """What is known of a store before its first row: what the rows depend on, and what belongs to all of them."""

    key: ContentKey
    class_names: tuple[str, ...]
    head: Head | None
    provenance: Mapping[str, object]


def write_store(
    path: Path,
    batches: Iterable[Batch],
    plan: StorePlan,
    *,
    skipped: Sequence[Skipped] = (),
    overwrite: bool = False,
) -> FeatureStore:
    """Write a store whole: where anything fails, nothing is left and what was there stays.

    The same rows in the same order, SHARD at a time, whatever the size of the batches; the first shard names what
    was skipped.
    """
    require_absent(path, overwrite=overwrite)
    if path.exists() and not is_store(path):
        raise InputError(f"{path} is no feature store and is not overwritten; choose another output with -o")
    with whole_folder(path) as folder:
        shards = {}
        for number, shard in enumerate(_shards(batches)):
            note = ShardNote(plan.key.sha256, number, () if number else tuple(skipped))
            write_shard(folder / shard_name(number), shard, note)
            shards[shard_name(number)] = certify(folder / shard_name(number))
        write_head(folder, plan.head)
        write_manifest(folder, plan, shards)
        _require_store(folder, path)
    return open_store(path)


def _require_store(folder: Path, path: Path) -> None:
    """Raise InputError, before anything is in its place, where what was written is not what can be opened."""
    try:
        open_store(folder)
    except DamagedStore as reason:
        fault = reason.fault.replace(str(folder), str(path))
        raise InputError(f"these rows make no feature store: {fault}; an id numbers one sample") from None


def _shards(batches: Iterable[Batch]) -> Iterator[Batch]:
    waiting: list[Batch] = []
    for batch in batches:
        waiting.append(batch)
        while sum(len(part) for part in waiting) >= SHARD:
            together = joined(waiting)
            yield together.rows(slice(None, SHARD))
            waiting = [together.rows(slice(SHARD, None))]
    if sum(len(part) for part in waiting):
        yield joined(waiting)


def write_head(folder: Path, head: Head | None) -> None:
    """Write the head, where there is one."""
    if head is not None:
        write_durably(folder / HEAD, head_bytes(head))


def head_bytes(head: Head) -> bytes:
    """The head as it is stored."""
    weights = {"weight": head.weight} | ({} if head.bias is None else {"bias": head.bias})
    return save({name: part.contiguous() for name, part in weights.items()})


def write_manifest(folder: Path, plan: StorePlan, shards: Mapping[str, Certificate]) -> None:
    """Write the manifest of shards that are there, which makes the folder a store."""
    first = next((columns(folder / name) for name in shards), None)
    stored = first.tensors() if first is not None else {}
    head = (
        None
        if plan.head is None
        else {"file": HEAD, "sha256": hashlib.sha256(head_bytes(plan.head)).hexdigest()}
    )
    document = {
        "format": FORMAT,
        "rows": sum(shard.rows for shard in shards.values()),
        "dimensions": first.features.shape[1] if first is not None else 0,
        "columns": {name: str(part.dtype).removeprefix("torch.") for name, part in stored.items()},
        "head": head,
        "shards": [
            ShardEntry(name, shard.rows, shard.bytes, shard.sha256, shard.xxh3_128).to_plain()
            for name, shard in shards.items()
        ],
        "skipped": [one.to_plain() for shard in shards.values() for one in shard.note.skipped],
        "classes": list(plan.class_names),
        "key": {"sha256": plan.key.sha256, "ingredients": dict(plan.key.ingredients)},
        "provenance": dict(plan.provenance),
    }
    write_durably(folder / MANIFEST, sealed(document))
