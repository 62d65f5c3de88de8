"""Features of the user's own, made into a feature store: NumPy, PyTorch, safetensors, Parquet."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from maxsup_analysis.array_rows import require_shapes
from maxsup_analysis.arrays import Arrays, arrays_in, require_names
from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.content_key import ContentKey
from maxsup_analysis.feature_store.npy import FEATURES, arrays_beside, digest_of, lines_of
from maxsup_analysis.feature_store.parquet import class_names_in, integers, matrices, parquet_file
from maxsup_analysis.feature_store.shards import SHARD, Batch
from maxsup_analysis.feature_store.store import FeatureStore
from maxsup_analysis.feature_store.writing import StorePlan, write_store
from maxsup_analysis.files import require_absent
from maxsup_analysis.given import class_labels
from maxsup_analysis.identity import canonical_ids
from maxsup_analysis.representation import Head, class_numbers, head_of
from maxsup_analysis.rows import Rows, require_finite, require_labels
from maxsup_analysis.version import __version__

# The layer of a store that was made of logits alone.
LOGITS = "logits"
# Types that are kept; others become float32.
KEPT = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Labels alone may say how many classes there are; beyond this they are no labels.
MOST_CLASSES = 1_000_000

Block = tuple[Tensor, Tensor | None]


def import_store(
    path: Path,
    output: Path,
    *,
    labels: Path | None = None,
    class_names: Path | None = None,
    overwrite: bool = False,
) -> FeatureStore:
    """A feature store of the rows of a file, in their order; without ids they are numbered from 0.

    labels: for .npy, a .npy or a text with an integer a line. class_names: a text with a name a line.
    Where there are logits but no features, the logits are the features too, and the provenance has `logits` as their
    layer. Raises InputError where something is missing or does not fit.
    """
    require_absent(output, overwrite=overwrite)
    names = None if class_names is None else tuple(lines_of(class_names))
    held = _held(path / FEATURES if path.is_dir() else path, labels, names)
    require_names(held.class_names, held.classes, str(path))
    require_names(names, held.classes, str(class_names))
    names = names or held.class_names or class_numbers(held.classes or _class_count(held.labels, path))
    provenance = {
        "imported": {"name": path.name, "sha256": held.sha256, "format": held.format},
        **({"layer": LOGITS} if held.logits_only else {}),
        "package_version": __version__,
    }
    plan = StorePlan(_key(held), names, held.head, provenance)
    return write_store(output, _batches(held, len(names)), plan, overwrite=overwrite)


def remarks(store: FeatureStore) -> tuple[str, ...]:
    """What has to be known of a store that was imported, a sentence each."""
    if store.provenance.get("layer") != LOGITS:
        return ()
    return (
        "there are no features, so the logits stand in for them: measures of geometry speak of the logits",
    )


@dataclass(frozen=True)
class _Held:
    """What was found of N samples.

    blocks: features and logits, some rows at a time; the logits as both where logits_only.
    classes: K where head or logits say it. beside: digests of the other files that were read.
    """

    format: str
    sha256: str
    labels: Int64[Tensor, " N"]
    ids: Int64[Tensor, " N"]
    blocks: Iterable[Block]
    logits_only: bool
    classes: int | None
    head: Head | None = None
    class_names: tuple[str, ...] | None = None
    beside: Mapping[str, str] = field(default_factory=dict)


def _held(path: Path, labels: Path | None, class_names: tuple[str, ...] | None) -> _Held:
    if not path.is_file():
        raise InputError(
            f"expected a file of features and labels at {path}, found none; give .npz, .safetensors, .pt, .parquet "
            f"or .npy, or a folder with {FEATURES}"
        )
    if path.suffix == ".npy":
        arrays, beside = arrays_beside(path, labels, class_names)
        return _of_arrays(arrays, path, beside)
    if labels is not None:
        raise InputError(f"--labels goes with .npy files, got {path}; put the labels into it as `labels`")
    if path.suffix == ".parquet":
        return _of_parquet(path)
    return _of_arrays(arrays_in(path, required=("labels",)), path, {})


def _of_arrays(arrays: Arrays, path: Path, beside: Mapping[str, str]) -> _Held:
    logits_only = arrays.features is None
    if logits_only:
        # A head makes logits from features; it is none of these features.
        arrays = replace(arrays, features=arrays.logits, weight=None, bias=None)
    features, logits = arrays.features, arrays.logits
    if features is None:
        raise InputError(f"expected features, or logits at least, in {path}, got neither; add features")
    labels = class_labels(arrays.labels).numbers
    require_shapes(features, labels, logits, arrays.weight, arrays.bias, arrays.ids)
    return _Held(
        format=path.suffix.removeprefix("."),
        sha256=arrays.sha256,
        labels=labels,
        ids=_numbers(arrays, path),
        blocks=tuple(zip(features.split(SHARD), _split(logits), strict=False)),
        logits_only=logits_only,
        classes=arrays.classes,
        head=head_of(arrays.weight, arrays.bias),
        class_names=arrays.class_names,
        beside=beside,
    )


def _split(logits: Tensor | None) -> Iterable[Tensor | None]:
    return repeat(None) if logits is None else logits.split(SHARD)


def _numbers(arrays: Arrays, path: Path) -> Int64[Tensor, " N"]:
    """The ids as integers; positions where there are none."""
    if arrays.ids is None:
        return torch.arange(len(arrays.labels))
    ids = canonical_ids(arrays.ids)
    if ids.dtype != "int64":
        raise InputError(
            f"expected integers as ids in {path}, got {ids.dtype}; number the samples, or leave out the ids"
        )
    return torch.from_numpy(ids)


def _of_parquet(path: Path) -> _Held:
    file = parquet_file(path)
    labels, ids = integers(file, "labels"), integers(file, "ids")
    assert labels is not None
    ids = torch.arange(len(labels)) if ids is None else ids
    first = next(matrices(file), {})
    # Of the columns that are read whole; the others follow block by block.
    require_shapes(torch.empty(len(labels), 0), labels, None, None, None, ids.numpy())
    return _Held(
        format="parquet",
        sha256=digest_of(path),
        labels=labels,
        ids=ids,
        blocks=(_block(part) for part in matrices(file)),
        logits_only="features" not in first,
        classes=first["logits"].shape[1] if "logits" in first else None,
        class_names=class_names_in(file),
    )


def _block(part: Mapping[str, Tensor]) -> Block:
    features = part["features"] if "features" in part else part["logits"]
    return features, part.get("logits")


def _batches(held: _Held, classes: int) -> Iterator[Batch]:
    """The rows, once they are known to be right."""
    start = 0
    for features, logits in held.blocks:
        rows = slice(start, start + len(features))
        start += len(features)
        # A shard has each column to itself, also where the logits are the features.
        own = features.clone() if held.logits_only else features
        batch = Batch(
            held.ids[rows], held.labels[rows], _kept(own), None if logits is None else _kept(logits)
        )
        _require_right(batch, classes)
        yield batch


def _require_right(batch: Batch, classes: int) -> None:
    if batch.logits is not None and batch.logits.shape[1] != classes:
        raise InputError(
            f"expected {classes} logits a sample, one a class, got {batch.logits.shape[1]}; check the classes"
        )
    rows = Rows(batch.ids.numpy(), batch.labels, batch.features, batch.logits)
    require_labels(rows, classes)
    require_finite(rows)


def _kept(values: Tensor) -> Tensor:
    return values if values.dtype in KEPT else values.float()


def _class_count(labels: Int64[Tensor, " N"], path: Path) -> int:
    """As many as the largest label asks for."""
    if not len(labels):
        raise InputError(
            f"expected at least one sample in {path}, got none; save features and labels of some"
        )
    if (largest := int(labels.max())) >= MOST_CLASSES:
        raise InputError(
            f"expected labels below {MOST_CLASSES:,} in {path}, got {largest}; number the classes from 0, or name them "
            "with --class-names"
        )
    return max(largest, 0) + 1


def _key(held: _Held) -> ContentKey:
    beside = {"beside": dict(held.beside)} if held.beside else {}
    return ContentKey({"imported": held.sha256, "format": held.format, **beside})
