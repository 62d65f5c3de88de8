"""Everything that is wrong with what should be a feature store, also where it cannot be opened."""

from collections.abc import Iterator
from pathlib import Path

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.checks import faults
from maxsup_analysis.feature_store.shards import DamagedShard, certify
from maxsup_analysis.feature_store.store import (
    HEAD,
    MANIFEST,
    FeatureStore,
    described,
    has_head,
    is_store,
    open_store,
)

SHARDS = "rows-*.safetensors"
AGAIN = "run the command that made it again (`features` makes only harmed shards anew)"


def faults_at(path: Path) -> Iterator[str]:
    """A sentence for each thing that is wrong, from the manifest to the last byte; raises InputError where no store is.

    Where the manifest cannot be read, the shards are held against their own checksums.
    """
    if not is_store(path) and not list(path.glob(SHARDS)):
        described(path)
    try:
        described(path)
    except InputError as reason:
        yield getattr(reason, "fault", str(reason))
    try:
        store = described(path, with_head=False)
    except InputError:
        yield from _faults_by_themselves(path)
        return
    yield from faults(store)
    yield from _strangers(store, with_head=has_head(path))


def sound_store(path: Path) -> FeatureStore:
    """An opened store of which every byte was checked; raises InputError with the number of faults and the first."""
    if found := list(faults_at(path)):
        raise InputError(f"{counted(len(found), 'fault')} in {path}: {found[0]}; {AGAIN}")
    return open_store(path)


def counted(number: int, what: str) -> str:
    """How many of something.

    Example:
        >>> counted(1, "fault"), counted(50_000, "row")
        ('1 fault', '50,000 rows')
    """
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _faults_by_themselves(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob(SHARDS)):
        try:
            certify(path)
        except (DamagedShard, OSError) as reason:
            yield f"{path.name}: {getattr(reason, 'strerror', None) or reason}"


def _strangers(store: FeatureStore, *, with_head: bool) -> Iterator[str]:
    own = {MANIFEST, *(shard.file for shard in store.shards), *([HEAD] if with_head else [])}
    for name in sorted(entry.name for entry in store.path.iterdir()):
        if name not in own:
            yield f"{name}: it does not belong to the store"
