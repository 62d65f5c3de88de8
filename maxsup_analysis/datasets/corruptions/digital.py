"""Corruptions by what is computed: less contrast, a warp, coarser pixels, compression."""

from io import BytesIO

import numpy as np
from jaxtyping import Float64
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from maxsup_analysis.datasets.corruptions.entry import Picture, corruption


@corruption(
    small=((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),
    large=((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
)
def contrast(picture: Picture, random: Generator, factor: float) -> Picture:
    """Multiplies the distance of each value from the mean of its channel by a factor."""
    mean = picture.mean((0, 1), keepdims=True)
    return mean + factor * (picture - mean)


@corruption(
    # Of 32 pixels, and of the 244 that the authors wrote for 224.
    small=((0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    large=tuple(
        (amount * 244 / 224, smoothness * 244 / 224, skew * 244 / 224)
        for amount, smoothness, skew in (
            (2, 0.7, 0.1),
            (2, 0.08, 0.2),
            (0.05, 0.01, 0.02),
            (0.07, 0.01, 0.02),
            (0.12, 0.01, 0.02),
        )
    ),
    deviation="lengths are shares of the shorter side, as the authors' are for 32 and 224 pixels",
)
def elastic_transform(
    picture: Picture, random: Generator, amount: float, smoothness: float, skew: float
) -> Picture:
    """Maps three points to others near them, then moves each pixel by uniform noise that a normal curve smooths."""
    size = picture.shape[:2]
    side = min(size)
    skewed = _affine(picture, *_points(random, size, skew * side))
    moves = random.uniform(-1, 1, (2, *size))
    smooth = [
        ndimage.gaussian_filter(move, smoothness * side, mode="reflect", truncate=3) * amount * side
        for move in moves
    ]
    return _sampled(skewed, np.indices(size) + smooth, mode="reflect")


@corruption(
    small=((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),
    large=((0.6,), (0.5,), (0.4,), (0.3,), (0.25,)),
)
def pixelate(picture: Picture, random: Generator, share: float) -> Picture:
    """Averages over boxes to a share of the size, and enlarges these to the old one."""
    height, width, _ = picture.shape
    small = (max(1, int(width * share)), max(1, int(height * share)))
    box = Image.Resampling.BOX
    return _from_image(_as_image(picture).resize(small, box).resize((width, height), box))


@corruption(
    small=((80,), (65,), (58,), (50,), (40,)),
    large=((25,), (18,), (15,), (10,), (7,)),
)
def jpeg_compression(picture: Picture, random: Generator, quality: int) -> Picture:
    """Compresses as JPEG of a quality, as Pillow does."""
    file = BytesIO()
    _as_image(picture).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return _from_image(image)


def _as_image(picture: Picture) -> Image.Image:
    pixels = np.rint(picture * 255).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if picture.shape[2] == 1 else pixels)


def _from_image(image: Image.Image) -> Picture:
    pixels = np.asarray(image, dtype=np.float64) / 255
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _points(
    random: Generator, size: tuple[int, ...], reach: float
) -> tuple[Float64[np.ndarray, "3 2"], Float64[np.ndarray, "3 2"]]:
    """Three corners of a square about the middle, and where they go."""
    corners = np.array([[1, 1], [-1, 1], [-1, -1]]) * max(min(size) // 3, 1)
    before = np.array(size) // 2 + corners.astype(np.float64)
    return before, before + random.uniform(-reach, reach, before.shape)


def _affine(
    picture: Picture, before: Float64[np.ndarray, "3 2"], after: Float64[np.ndarray, "3 2"]
) -> Picture:
    """The picture moved so that three points come to lie where they shall; it is mirrored beyond its edges."""
    ones = np.ones((3, 1))
    backwards = np.linalg.solve(np.hstack([after, ones]), before)
    places = np.indices(picture.shape[:2])
    return _sampled(
        picture, np.einsum("iyx,ij->jyx", places, backwards[:2]) + backwards[2, :, None, None], mode="mirror"
    )


def _sampled(picture: Picture, places: Float64[np.ndarray, "2 H W"], *, mode: str) -> Picture:
    """The picture at places between its pixels, bilinearly."""
    channels = [
        ndimage.map_coordinates(channel, places, order=1, mode=mode) for channel in np.moveaxis(picture, 2, 0)
    ]
    return np.stack(channels, axis=2)
