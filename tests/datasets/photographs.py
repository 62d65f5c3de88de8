"""Small images with known pixels, and the folders that data sets are made of."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from maxsup_analysis.preprocessing import Preprocessing

# What the model of the tests sees: small, and of another size than the files.
SMALL = Preprocessing((3, 8, 8), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), resize=10)


def pixels(seed: int, height: int = 12, width: int = 16) -> np.ndarray:
    """Smooth colours, so that JPEG keeps them about as they are."""
    y, x = np.mgrid[:height, :width]
    planes = [seed * 40 % 200 + 2 * x, 30 + 3 * y, 200 - 4 * x - seed % 50]
    return np.stack(planes, -1).clip(0, 255).astype(np.uint8)


def encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    file = BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


def class_folders(root: Path, counts: dict[str, int]) -> Path:
    """PNG images `CLASS/NUMBER.png`, all different."""
    seed = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number}.png").write_bytes(encoded(pixels(seed)))
            seed += 1
    return root


def flat_png(side: int) -> bytes:
    """A white PNG of one bit a pixel: a few kilobytes, however large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * -(-side // 8)
    data = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
