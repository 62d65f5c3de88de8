"""A folder of shards: ids, labels, features and logits of every sample, the head, and a manifest.

    manifest.json             what is in here and where it comes from
    head.safetensors          weight K x D, bias K (absent where the features are of another layer)
    rows-00000.safetensors    ids, labels, features, logits of up to 4,096 samples
    ...

Anyone with safetensors and JSON can read it; nothing in it is ever executed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.files import require_absent, whole_folder
from maxsup_analysis.representation import Head, Representation, Rows, head_of, represent

FORMAT = "maxsup-analysis feature store, version 1"
SHARD = 4096
MANIFEST = "manifest.json"
HEAD = "head.safetensors"


@dataclass(frozen=True)
class Batch:
    """What a model makes of B samples, as it is stored."""

    ids: Int64[Tensor, " B"]
    labels: Int64[Tensor, " B"]
    features: Float[Tensor, "B D"]
    logits: Float[Tensor, "B K"]

    def tensors(self) -> dict[str, Tensor]:
        """By name, as in a shard."""
        parts = {"ids": self.ids, "labels": self.labels, "features": self.features, "logits": self.logits}
        return {name: part.contiguous() for name, part in parts.items()}


@dataclass(frozen=True)
class FeatureStore:
    """An opened store; its rows are read from disk, block by block, each time they are asked for."""

    path: Path
    class_names: tuple[str, ...]
    head: Head | None
    shards: tuple[str, ...]
    size: int
    provenance: Mapping[str, object]

    def __iter__(self) -> Iterator[Rows]:
        for shard in self.shards:
            yield _rows(self.path / shard)

    def represent(self) -> Representation:
        """The representation that metrics and figures look at."""
        return represent(self, class_names=self.class_names, head=self.head)


def is_store(path: Path) -> bool:
    """Whether a folder is a feature store."""
    return (path / MANIFEST).is_file()


def write_store(
    path: Path,
    batches: Iterable[Batch],
    *,
    head: Head | None,
    class_names: Sequence[str],
    provenance: Mapping[str, object],
    overwrite: bool = False,
) -> FeatureStore:
    """Write a store whole: where anything fails, nothing is left and what was there stays."""
    require_absent(path, overwrite=overwrite)
    if path.exists() and not is_store(path):
        raise InputError(f"{path} is no feature store and is not overwritten; choose another output with -o")
    with whole_folder(path) as folder:
        rows = [_write_shard(folder, number, shard) for number, shard in enumerate(_shards(batches))]
        if head is not None:
            weights = {"weight": head.weight} | ({} if head.bias is None else {"bias": head.bias})
            save_file({name: part.contiguous() for name, part in weights.items()}, folder / HEAD)
        manifest = {
            "format": FORMAT,
            "rows": sum(rows),
            "head": None if head is None else HEAD,
            "shards": [{"file": _shard_name(number), "rows": count} for number, count in enumerate(rows)],
            "classes": list(class_names),
            "provenance": dict(provenance),
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return open_store(path)


def open_store(path: Path) -> FeatureStore:
    """Raises InputError where the folder is not a store or parts of it are missing."""
    if not is_store(path):
        what = "an empty folder" if path.is_dir() and not any(path.iterdir()) else "none"
        raise InputError(
            f"expected a feature store (a folder with {MANIFEST}) at {path}, found {what}; "
            "make one with `maxsup-analyze features CHECKPOINT`"
        )
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        if manifest["format"] != FORMAT:
            raise InputError(
                f"{path} has the format {manifest['format']!r}, expected {FORMAT!r}; extract it again"
            )
        shards = {entry["file"]: entry["rows"] for entry in manifest["shards"]}
        names, provenance = tuple(manifest["classes"]), manifest["provenance"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise InputError(f"the {MANIFEST} of {path} is damaged; extract the features again") from None
    for shard, count in shards.items():
        if Path(shard).name != shard or _count(path / shard) != count:
            raise InputError(
                f"{path / shard} does not hold the {count} rows of its manifest; extract it again"
            )
    # Features of a layer that the user named have no head; stores of before that could be said have one.
    has_head = manifest.get("head", HEAD) is not None
    return FeatureStore(
        path, names, _head(path) if has_head else None, tuple(shards), sum(shards.values()), provenance
    )


def _shards(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same rows in the same order, SHARD at a time whatever the size of the batches."""
    waiting: list[Batch] = []
    for batch in batches:
        waiting.append(batch)
        while sum(len(part.ids) for part in waiting) >= SHARD:
            together = _joined(waiting)
            yield _part(together, slice(None, SHARD))
            waiting = [_part(together, slice(SHARD, None))]
    if sum(len(part.ids) for part in waiting):
        yield _joined(waiting)


def _joined(batches: Sequence[Batch]) -> Batch:
    columns = [part.tensors() for part in batches]
    return Batch(**{name: torch.cat([column[name] for column in columns]) for name in columns[0]})


def _part(batch: Batch, rows: slice) -> Batch:
    return Batch(**{name: column[rows] for name, column in batch.tensors().items()})


def _head(folder: Path) -> Head | None:
    weights = _safely(folder / HEAD, lambda file: load_file(file))
    return head_of(weights["weight"], weights.get("bias"))


def _write_shard(folder: Path, number: int, shard: Batch) -> int:
    save_file(shard.tensors(), folder / _shard_name(number))
    return len(shard.ids)


def _shard_name(number: int) -> str:
    return f"rows-{number:05d}.safetensors"


def _rows(path: Path) -> Rows:
    columns = _safely(path, lambda file: load_file(file))
    return Rows(
        columns["ids"].numpy(), columns["labels"], columns["features"].double(), columns["logits"].double()
    )


def _count(path: Path) -> int:
    def rows(file: Path) -> int:
        with safe_open(file, "pt") as shard:
            return shard.get_slice("ids").get_shape()[0]

    return _safely(path, rows)


def _safely(path: Path, read):  # noqa: ANN001, ANN202
    try:
        return read(path)
    except (OSError, SafetensorError, KeyError) as reason:
        raise InputError(f"{path} is missing or damaged ({reason}); extract the features again") from None
