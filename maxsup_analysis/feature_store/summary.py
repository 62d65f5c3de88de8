"""What there is to know of a feature store, finished or not, without reading its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maxsup_analysis.feature_store.building import planned
from maxsup_analysis.feature_store.damage import SHARDS
from maxsup_analysis.feature_store.request import partial_of
from maxsup_analysis.feature_store.shards import Skipped
from maxsup_analysis.feature_store.store import PARTIAL, FeatureStore, is_store, open_store

# Samples that were skipped and classes, as many as are named; the manifest has all of them.
NAMED = 5


@dataclass(frozen=True)
class Summary:
    """Facts by name, plain JSON values, in the order in which they are shown."""

    facts: Mapping[str, object]

    def to_plain(self) -> dict[str, object]:
        """As JSON."""
        return dict(self.facts)


def summary_of(path: Path) -> Summary:
    """Of the store at a path, or of the one that is being made for it; raises InputError where there is neither."""
    partial = path if path.name.endswith(PARTIAL) else partial_of(path)
    if not is_store(path) and partial.is_dir():
        return _unfinished(partial)
    return _finished(open_store(path))


def _finished(store: FeatureStore) -> Summary:
    return Summary(
        {
            "store": str(store.path),
            "finished": True,
            "rows": store.size,
            "shards": len(store.shards),
            "bytes": _bytes(store.path),
            "dimensions": store.dimensions,
            "columns": dict(store.columns),
            "classes": len(store.class_names),
            "class names": _first(store.class_names),
            "head": _head(store),
            "skipped": len(store.skipped),
            "skipped samples": _first([_skipped(one) for one in store.skipped]),
            "key": store.key.sha256,
            "ingredients": dict(store.key.ingredients),
            "provenance": dict(store.provenance),
        }
    )


def _unfinished(partial: Path) -> Summary:
    plan = planned(partial)
    return Summary(
        {
            "store": str(partial),
            "finished": False,
            "shards": sum(1 for _ in partial.glob(SHARDS)),
            "shards planned": None if plan is None else plan.shards,
            "samples planned": None if plan is None else plan.samples,
            "bytes": _bytes(partial),
            "ingredients": {} if plan is None else dict(plan.key.ingredients),
        }
    )


def _head(store: FeatureStore) -> dict[str, object] | None:
    if store.head is None:
        return None
    K, D = store.head.weight.shape
    return {"classes": K, "dimensions": D, "bias": store.head.bias is not None}


def _skipped(one: Skipped) -> str:
    return f"{one.id} {one.name} ({one.reason})"


def _first(texts: Sequence[str]) -> list[str]:
    more = [f"and {len(texts) - NAMED:,} more"] if len(texts) > NAMED else []
    return [*texts[:NAMED], *more]


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
