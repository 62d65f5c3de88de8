"""Files that lie within files, read by their place."""

import os
from io import BytesIO
from pathlib import Path

from PIL import Image

from maxsup_analysis.datasets.decoding import UnreadableImage, opened

MOST_BYTES = 2**29


def piece_of(file: Path, start: int, size: int) -> bytes:
    """So many bytes from a place on.

    The file is opened for each: processes share no position, and nothing open has to travel to a worker.
    """
    if size > MOST_BYTES:
        raise UnreadableImage(f"{size:,} bytes, more than {MOST_BYTES:,}")
    try:
        with open(file, "rb", buffering=0) as handle:
            # Asked before, so that no room is made for what is not there.
            missing = start + size - os.fstat(handle.fileno()).st_size
            if start < 0 or size < 0 or missing > 0:
                raise UnreadableImage(f"the archive ends {min(missing, size)} bytes early")
            handle.seek(start)
            return handle.read(size)
    except OSError as reason:
        raise UnreadableImage(reason.strerror or type(reason).__name__) from None


def image_in(content: bytes) -> Image.Image:
    """The image in the bytes of a file."""
    return opened(BytesIO(content))
