"""A feature store as one file, or one folder, that other tools read: NumPy, PyTorch, Parquet."""

import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.damage import sound_store
from maxsup_analysis.feature_store.parquet import write_parquet
from maxsup_analysis.feature_store.store import FeatureStore
from maxsup_analysis.files import refusing_to_write, require_absent, whole_file, whole_folder

# As the last part of a path without an ending: a folder.
FOLDER = ""


def export_store(path: Path, output: Path, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write the rows, the head and the class names of a store in the format of the ending of `output`.

    Without an ending it is a folder of .npy files. Every byte of the store is checked first; there is never more than a
    shard in memory. The answer says, a sentence each, what the format cannot hold. Raises InputError where the ending
    is unknown, or `output` exists.
    """
    if output.suffix not in FORMATS:
        known = ", ".join(ending for ending in FORMATS if ending != FOLDER)
        raise InputError(
            f"expected -o FILE that ends in {known}, or a folder without an ending for .npy files, got {output}; "
            "choose one of these"
        )
    require_absent(output, overwrite=overwrite)
    store = sound_store(path)
    if not store.size:
        raise InputError(f"expected a feature store with rows, got none in {path}; nothing was exported")
    with refusing_to_write(output, "choose another output with -o"):
        FORMATS[output.suffix](store, output)
    return tuple(_losses(store, output.suffix))


def _losses(store: FeatureStore, ending: str) -> Iterator[str]:
    if ending == ".parquet" and store.head is not None:
        yield "Parquet holds rows only; the head is left out"
    if ending != ".pt" and "bfloat16" in store.columns.values():
        yield f"{ending or '.npy'} has no bfloat16; its values are float32 now, unrounded"


@dataclass(frozen=True)
class _Column:
    """An array of a store that is written in parts. shape and dtype: of the whole of it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    parts: Callable[[], Iterator[np.ndarray]]


def _arrays(store: FeatureStore) -> Mapping[str, _Column]:
    """Every array by name, as NumPy has it."""
    names = np.array(store.class_names, dtype=np.str_)
    return {
        **{name: _column(store, name) for name in store.columns},
        **{name: _of_array(part.numpy()) for name, part in _head(store).items()},
        "class_names": _of_array(names),
    }


def _head(store: FeatureStore) -> dict[str, Tensor]:
    parts = {} if store.head is None else {"weight": store.head.weight, "bias": store.head.bias}
    return {name: part for name, part in parts.items() if part is not None}


def _column(store: FeatureStore, name: str) -> _Column:
    def parts() -> Iterator[np.ndarray]:
        return (_as_numpy(batch.tensors()[name]) for batch in store.batches())

    first = next(parts())
    return _Column((store.size, *first.shape[1:]), first.dtype, parts)


def _of_array(array: np.ndarray) -> _Column:
    return _Column(array.shape, array.dtype, lambda: iter([array]))


def _as_numpy(part: Tensor) -> np.ndarray:
    """NumPy has no bfloat16; float32 holds all of its values."""
    return (part.float() if part.dtype == torch.bfloat16 else part).numpy()


def _npy(column: _Column) -> Iterator[bytes]:
    """A .npy file, part by part."""
    descr = np.lib.format.dtype_to_descr(column.dtype)
    header = BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": descr, "fortran_order": False, "shape": column.shape}
    )
    yield header.getvalue()
    yield from (part.tobytes() for part in column.parts())


def _write_npz(store: FeatureStore, output: Path) -> None:
    with whole_file(output) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, column in _arrays(store).items():
            # An entry has a date of its own: 1980, so that the same store gives the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                file.writelines(_npy(column))


def _write_folder(store: FeatureStore, output: Path) -> None:
    arrays = {f"{name}.npy": column for name, column in _arrays(store).items()}
    if output.exists() and {entry.name for entry in output.iterdir()} - set(arrays):
        raise InputError(
            f"{output} holds more than exported arrays and is not overwritten; choose another output with -o"
        )
    with whole_folder(output) as partial:
        for name, column in arrays.items():
            with (partial / name).open("wb") as file:
                file.writelines(_npy(column))


def _write_torch(store: FeatureStore, output: Path) -> None:
    """Tensors by name; those of the rows are gathered in mapped files, not in memory."""
    with whole_file(output) as partial:
        columns = {name: _gathered(store, name, partial.with_name(name)) for name in store.columns}
        # Not to the path: a full disk would be a RuntimeError that does not say so.
        with partial.open("wb") as file:
            torch.save({**columns, **_head(store)}, file)


def _gathered(store: FeatureStore, name: str, place: Path) -> Tensor:
    first = next(store.batches()).tensors()[name]
    shape = (store.size, *first.shape[1:])
    count = int(np.prod(shape))
    _reserve(place, count * first.itemsize)
    whole = torch.from_file(str(place), shared=True, size=count, dtype=first.dtype).view(shape)
    end = 0
    for batch in store.batches():
        start, end = end, end + len(batch)
        whole[start:end] = batch.tensors()[name]
    return whole


def _reserve(place: Path, size: int) -> None:
    """Have the disk set bytes aside: a mapped file for which there is no room would end the process."""
    with place.open("wb") as file:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)


def _write_parquet(store: FeatureStore, output: Path) -> None:
    with whole_file(output) as partial:
        write_parquet(store, partial)


FORMATS: Mapping[str, Callable[[FeatureStore, Path], None]] = {
    ".npz": _write_npz,
    ".pt": _write_torch,
    ".parquet": _write_parquet,
    FOLDER: _write_folder,
}
