"""The IDX format of MNIST and its kin."""

import gzip
from pathlib import Path

import numpy as np

from maxsup_analysis.errors import InputError


def read_idx(path: Path, *, dimensions: int) -> np.ndarray:
    """An array of bytes in the IDX format, gzipped or not.

    Raises InputError where the file is not that, or is shorter or longer than its header says.
    """
    raw = path.read_bytes()
    try:
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError) as reason:
        raise InputError(f"{path} is a damaged gzip file ({reason}); fetch it again") from None
    header = 4 + 4 * dimensions
    if raw[:4] != bytes((0, 0, 8, dimensions)) or len(raw) < header:
        raise InputError(
            f"expected an IDX file of bytes with {dimensions} dimensions, got something else: {path}"
        )
    shape = tuple(int(size) for size in np.frombuffer(raw[4:header], ">u4"))
    if len(raw) - header != int(np.prod(shape, dtype=np.int64)):
        raise InputError(f"{path} should hold {shape} bytes but holds {len(raw) - header}; fetch it again")
    return np.frombuffer(raw[header:], np.uint8).reshape(shape)
