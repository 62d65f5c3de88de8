"""The IDX format of MNIST and its kin."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from maxsup_analysis.errors import InputError

# Bytes that a gzipped file may grow to, and the most that one of its bytes may become.
MOST_UNPACKED, MOST_PACKED = 2**31, 1100


def read_idx(path: Path, *, dimensions: int) -> np.ndarray:
    """An array of bytes in the IDX format, gzipped or not.

    Raises InputError where the file is not that, or is shorter or longer than its header says.
    """
    header = 4 + 4 * dimensions
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else open(path, "rb") as file:
            start = file.read(header)
            if start[:4] != bytes((0, 0, 8, dimensions)) or len(start) < header:
                raise InputError(
                    f"expected an IDX file of bytes with {dimensions} dimensions, got something else: {path}"
                )
            shape = tuple(int(size) for size in np.frombuffer(start[4:], ">u4"))
            if 0 in shape:
                raise InputError(f"{path} holds nothing: its shape is {shape}; fetch it again")
            size = math.prod(shape)
            # A file cannot hold more than it has, or than gzip can pack into it.
            possible = (
                min(MOST_UNPACKED, MOST_PACKED * path.stat().st_size) if zipped else path.stat().st_size
            )
            content = file.read(size + 1) if size <= possible else b""
    except (OSError, EOFError, zlib.error) as reason:
        raise InputError(f"{path} is a damaged gzip file ({reason}); fetch it again") from None
    if len(content) != size:
        held = "more" if len(content) > size else "fewer"
        raise InputError(f"{path} should hold {shape} bytes but holds {held}; fetch it again")
    return np.frombuffer(content, np.uint8).reshape(shape)
