"""Arrays of NumPy's files; what a file declares is held against what it has before room is made for it."""

import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label

# Arrays that take more are expected to be mapped, not read into memory.
MOST_OF_MEMORY = 0.5
READ_AT_ONCE = 2**24
# Beyond so many bytes an array that was packed to less than this part of them is a bomb.
FEW_BYTES, MOST_PACKED = 2**30, 200
_ERRORS = (
    OSError, ValueError, EOFError, TypeError, ArithmeticError, LookupError, NotImplementedError, SyntaxError,
    RecursionError, MemoryError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def labelled_arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The arrays `images` and `labels` of a `.npz`; InputError where they are not there, or of other lengths."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
            if {"images", "labels"} <= set(members):
                labels = _member(archive, members["labels"], path, None)
                return _member(archive, members["images"], path, len(labels)), labels
            held = clean_label(", ".join(members), 200) or "nothing"
    except InputError:
        raise
    except _ERRORS as reason:
        raise _not_arrays(path, reason) from None
    raise InputError(f"expected the arrays images and labels in {path}, got {held}; save them by these names")


def mapped_array(path: Path) -> np.ndarray:
    """A memory map that copies what is written to, so that torch takes it without a warning."""
    try:
        return np.load(path, allow_pickle=False, mmap_mode="c")
    except _ERRORS as reason:
        raise _not_arrays(path, reason) from None


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, rows: int | None) -> np.ndarray:
    """One array; rows: how many it has to have."""
    with archive.open(member) as file:
        shape, fortran, kind = _header(file)
        if rows is not None and (not shape or shape[0] != rows):
            raise InputError(
                f"expected as many labels as images in {path}, got {rows} and {(*shape, 0)[0]}; check "
                "the files"
            )
        size = math.prod(shape) * kind.itemsize
        if kind.hasobject or not 0 <= size <= member.file_size:
            raise ValueError(f"{kind} of shape {shape} in {member.file_size:,} bytes")
        if size > FEW_BYTES and size > MOST_PACKED * member.compress_size:
            raise ValueError(f"{size:,} bytes packed into {member.compress_size:,}")
        if size > MOST_OF_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
            raise InputError(
                f"{path} takes {size / 1e9:.0f} GB of memory; save its arrays as images.npy and images_labels.npy, "
                "which are read piece by piece"
            )
        array = np.frombuffer(_content(file, size), kind)
    return array.reshape(shape, order="F" if fortran else "C")


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _content(file: Any, size: int) -> bytearray:
    """So many bytes, with room made as they come: what is declared may not be there."""
    content = bytearray()
    while len(content) < size:
        piece = file.read(min(READ_AT_ONCE, size - len(content)))
        if not piece:
            raise EOFError(f"{size - len(content)} bytes are missing")
        content += piece
    return content


def _not_arrays(path: Path, reason: BaseException) -> InputError:
    detail = clean_label(" ".join(str(reason).split()) or type(reason).__name__, 120)
    return InputError(f"expected arrays of numbers in {path}, got something else ({detail}); save it again")
