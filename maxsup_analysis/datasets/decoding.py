"""From a file to an RGB image, or the reason why not; no image is ever replaced by another.

The policy is that of torchvision's and timm's loaders, which the models were trained with, where those do not guess.
"""

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from maxsup_analysis.labels import clean_label

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
# Where Pillow begins to warn of a decompression bomb.
MOST_PIXELS = 89_478_485
BITS_PER_SAMPLE = 258  # the tag of TIFF
REASON_LIMIT = 160


class UnreadableImage(ValueError):
    """What is there is not an image that can be read; the message says why in a few words."""


def opened(file: Path | str | BytesIO) -> Image.Image:
    """The image in a file, its header read and its pixels not yet; UnreadableImage where it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=IMAGE_FORMATS)
    except Exception as reason:  # Damaged files raise whatever the decoder stumbles over.
        raise UnreadableImage(_in_few_words(reason, file)) from None
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise UnreadableImage(f"{image.width} x {image.height} pixels, more than {MOST_PIXELS:,}")
    return image


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


def require_room(image: Image.Image, resize: int | None) -> None:
    """UnreadableImage where an image is so narrow that resizing its shorter side makes it too large."""
    short, long = sorted(image.size)
    if resize is not None and resize * resize * long > MOST_PIXELS * short:
        raise UnreadableImage(f"{image.width} x {image.height} pixels, too narrow to resize to {resize}")


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
