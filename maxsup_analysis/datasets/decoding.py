"""From a file to an RGB image, or the reason why not; no image is ever replaced by another.

The policy is that of torchvision's and timm's loaders, which the models were trained with, where those do not guess.
"""

import os
import re
import stat
import warnings
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from maxsup_analysis.labels import clean_label

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
    ".jpe", ".jfif", ".apng", ".pbm", ".pnm", ".avif", ".jp2", ".j2k",
)  # fmt: skip
# How the files of these formats begin, for names without an ending.
BEGINNINGS = re.compile(
    rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|BM.{4}\0{4}|GIF8|II\*\0|MM\0\*|P[1-6]\s|....ftypavi"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    re.DOTALL,
)
# Where Pillow begins to warn of a decompression bomb.
MOST_PIXELS = 89_478_485
# From so many pixels on, an image that has fewer bytes than this share of them is a bomb: photographs have 0.1 or more.
FEW_PIXELS = 2**22
BYTES_PER_PIXEL = 1 / 250
# No format of photographs has longer sides; the weights of resizing take memory in proportion to them.
MOST_SIDE = 1_000_000
BITS_PER_SAMPLE = 258  # the tag of TIFF
REASON_LIMIT = 160


class UnreadableImage(ValueError):
    """What is there is not an image that can be read; the message says why in a few words."""


def opened(file: Path | str | BytesIO) -> Image.Image:
    """The image in a file, its header read and its pixels not yet; UnreadableImage where it is none."""
    try:
        size = _bytes_in(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=_formats())
    except UnreadableImage:
        raise
    except Exception as reason:  # Damaged files raise whatever the decoder stumbles over.
        raise UnreadableImage(_in_few_words(reason, file)) from None
    refusal = _too_large(image.width, image.height, size)
    if refusal:
        image.close()
        raise UnreadableImage(refusal)
    return image


def begins_as_an_image(file: str) -> bool:
    """Whether a regular file begins as an image does, whatever it is called."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            return False
        with open(file, "rb", buffering=0) as handle:
            return BEGINNINGS.match(handle.read(16)) is not None
    except OSError:
        return False


@cache
def _formats() -> tuple[str, ...]:
    """Those that this Pillow was built with."""
    Image.init()
    return tuple(name for name in IMAGE_FORMATS if name in Image.OPEN)


def _bytes_in(file: Path | str | BytesIO) -> int:
    """Only of a regular file: a pipe would keep its reader waiting for ever."""
    if isinstance(file, BytesIO):
        return file.getbuffer().nbytes
    status = os.stat(file)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("Is a directory" if stat.S_ISDIR(status.st_mode) else "no regular file")
    return status.st_size


def _too_large(width: int, height: int, size: int) -> str | None:
    """Why an image of these sides is not decoded."""
    pixels, sides = width * height, f"{width} x {height} pixels"
    if pixels > MOST_PIXELS:
        return f"{sides}, more than {MOST_PIXELS:,}"
    if max(width, height) > MOST_SIDE:
        return f"{sides}, longer than {MOST_SIDE:,}"
    if pixels > FEW_PIXELS and size < pixels * BYTES_PER_PIXEL:
        return f"{sides} in {size:,} bytes, fewer than any photograph"
    return None


def in_rgb(image: Image.Image) -> Image.Image:
    """The pixels as 8 bits of red, green and blue; UnreadableImage where they cannot be decoded.

    The first frame of several. Transparency is dropped. Grey of 16 bits is scaled, where Pillow would cut it off
    at 255; wider pixels have no range that is known.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
            return _scaled(image).convert("RGB")
    except UnreadableImage:
        raise
    except Exception as reason:
        raise UnreadableImage(_in_few_words(reason)) from None


def require_room(image: Image.Image, resize: int | None, width: int) -> None:
    """UnreadableImage where an image is so narrow that resizing makes it too large on the way.

    resize: of its shorter side; None where it is brought to the model's size at once. width: of what the model sees:
    Pillow resizes rows first, so all the rows of the image have it for a moment.
    """
    short, long = sorted(image.size)
    if resize is not None and resize * resize * long > MOST_PIXELS * short:
        raise UnreadableImage(f"{image.width} x {image.height} pixels, too narrow to resize to {resize}")
    if resize is None and width * image.height > MOST_PIXELS:
        raise UnreadableImage(f"{image.width} x {image.height} pixels, too tall to resize to {width}")


def is_rotated(image: Image.Image) -> bool:
    """Whether a loaded image carries an EXIF orientation that would turn or mirror it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return image.getexif().get(Base.Orientation, 1) in range(2, 9)
    except Exception:  # Damaged EXIF data are no reason to refuse an image.
        return False


def _scaled(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as 8: 65,535 becomes 255."""
    if image.mode == "F" or (image.mode == "I" and not _holds_16_bits(image)):
        raise UnreadableImage("32-bit pixels")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if values.min(initial=0) < 0:
        raise UnreadableImage("signed 16-bit pixels")
    whole, rest = np.divmod(values.astype(np.uint16), np.uint16(257))
    return Image.fromarray((whole + (rest > 128)).astype(np.uint8))


def _holds_16_bits(image: Image.Image) -> bool:
    """Whether pixels that Pillow keeps in 32 bits have 16 in the file."""
    tags = getattr(image, "tag_v2", {})
    return image.format in ("PNG", "PPM") or tags.get(BITS_PER_SAMPLE) == (16,)


def _in_few_words(reason: Exception, file: Path | str | BytesIO | None = None) -> str:
    if isinstance(reason, UnidentifiedImageError):
        return "an empty file" if _is_empty(file) else f"not an image ({', '.join(IMAGE_FORMATS)})"
    words = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return clean_label(" ".join(words.split()) or type(reason).__name__, REASON_LIMIT)


def _is_empty(file: Path | str | BytesIO | None) -> bool:
    if isinstance(file, (str, Path)):
        return not Path(file).stat().st_size
    return file is not None and not file.seek(0, 2)
