"""The rows of a feature store as Parquet, one row group a shard; needs pyarrow."""

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.shards import SHARD
from maxsup_analysis.feature_store.store import FeatureStore

if TYPE_CHECKING:
    import pyarrow.parquet

CLASSES = b"maxsup-analysis class names"
PROVENANCE = b"maxsup-analysis provenance"
MATRICES = ("features", "logits")


def write_parquet(store: FeatureStore, path: Path) -> None:
    """Columns ids, labels, features and logits; class names and provenance are in the metadata of the schema."""
    arrow = _arrow()
    schema = None
    writer = None
    try:
        for batch in store.batches():
            columns = {name: _column(part) for name, part in batch.tensors().items()}
            schema = schema or arrow.schema(
                [(name, column.type) for name, column in columns.items()], metadata=_metadata(store)
            )
            writer = writer or arrow.parquet.ParquetWriter(path, schema)
            writer.write_table(arrow.table(list(columns.values()), schema=schema))
    finally:
        if writer is not None:
            writer.close()


def parquet_file(path: Path) -> "pyarrow.parquet.ParquetFile":
    """An opened file; raises InputError where it is none, or lacks a column that is needed."""
    arrow = _arrow()
    try:
        file = arrow.parquet.ParquetFile(path, memory_map=True)
    except (arrow.ArrowException, OSError) as reason:
        raise InputError(
            f"{path} is no Parquet file, or damaged ({_first_line(reason)}); fetch it again"
        ) from None
    names = file.schema_arrow.names
    if "labels" not in names or not set(MATRICES) & set(names):
        raise InputError(
            f"expected columns features and labels (optionally logits, ids) in {path}, got {', '.join(names)}; "
            "rename them"
        )
    return file


def class_names_in(file: "pyarrow.parquet.ParquetFile") -> tuple[str, ...] | None:
    """Those that `write_parquet` left, where it did."""
    metadata: Mapping[bytes, bytes] = file.schema_arrow.metadata or {}
    try:
        names = json.loads(metadata[CLASSES])
    except (KeyError, ValueError):
        return None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def integers(file: "pyarrow.parquet.ParquetFile", name: str) -> Tensor | None:
    """A whole column of integers, None where there is no such column."""
    if name not in file.schema_arrow.names:
        return None
    with _readable():
        column = file.read([name]).column(name)
    if not _arrow().types.is_integer(column.type) or column.null_count:
        raise InputError(f"expected integers as the column {name}, got {_described(column)}; save integers")
    return torch.from_numpy(column.to_numpy().astype(np.int64))


def matrices(file: "pyarrow.parquet.ParquetFile") -> Generator[dict[str, Tensor], None, None]:
    """Features and logits, those that are there, SHARD rows at a time."""
    names = [name for name in MATRICES if name in file.schema_arrow.names]
    with _readable():
        for batch in file.iter_batches(SHARD, columns=names):
            yield {name: _matrix(name, batch.column(name)) for name in names}


def _matrix(name: str, column: Any) -> Tensor:
    """Rows of equal length, whatever kind of list they are stored as."""
    arrow = _arrow()
    kind = column.type
    lists = (
        arrow.types.is_fixed_size_list(kind) or arrow.types.is_list(kind) or arrow.types.is_large_list(kind)
    )
    if not lists or not arrow.types.is_floating(kind.value_type) or column.null_count:
        raise InputError(
            f"expected lists of floating-point numbers as the column {name}, got {_described(column)}"
        )
    flat = column.flatten()
    widths = set(arrow.compute.list_value_length(column).unique().to_pylist())
    if len(widths) > 1 or flat.null_count:
        raise InputError(
            f"expected lists of one length without gaps as the column {name}, got lengths {sorted(widths)[:5]}; "
            "a row is a sample"
        )
    return torch.from_numpy(flat.to_numpy(zero_copy_only=False).copy()).view(len(column), *widths)


def _column(part: Tensor) -> Any:
    arrow = _arrow()
    if part.ndim == 1:
        return arrow.array(part.numpy())
    # The types that every reader of Parquet knows; float32 holds all values of the two halves.
    values = part if part.dtype in (torch.float32, torch.float64) else part.float()
    return arrow.FixedSizeListArray.from_arrays(arrow.array(values.reshape(-1).numpy()), part.shape[1])


def _metadata(store: FeatureStore) -> dict[bytes, bytes]:
    return {
        CLASSES: json.dumps(list(store.class_names)).encode(),
        PROVENANCE: json.dumps(dict(store.provenance), allow_nan=False).encode(),
    }


@contextmanager
def _readable() -> Iterator[None]:
    # Named before: a reader that is given up passes here too, at a time when imports may fail.
    damages = (_arrow().ArrowException, OSError)
    try:
        yield
    except damages as reason:
        raise InputError(f"the Parquet file is damaged ({_first_line(reason)}); fetch it again") from None


def _described(column: Any) -> str:
    return str(column.type) + (f" with {column.null_count} missing" if column.null_count else "")


def _first_line(reason: Exception) -> str:
    return (str(reason).splitlines() or [type(reason).__name__])[0][:200]


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            "Parquet needs pyarrow, which is not installed; run `pip install 'maxsup-analysis[parquet]'`"
        ) from None
    return pyarrow
