"""Corruptions by blur: what is sharp is spread over its neighbours."""

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from maxsup_analysis.datasets.corruptions.entry import Picture, corruption
from maxsup_analysis.datasets.corruptions.warps import dragged, zoomed


@corruption(
    small=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)),
    large=((3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5)),
)
def defocus_blur(picture: Picture, random: Generator, radius: float, softness: float) -> Picture:
    """Averages over a disk of a radius in pixels, whose rim is softened by a normal curve of a deviation."""
    # Larger disks were softened over 5 x 5 pixels, smaller ones over 3 x 3, on a grid of 17 x 17 at least.
    reach, soft = (8, 1) if radius <= 8 else (int(radius), 2)
    steps = np.arange(-reach, reach + 1)
    disk = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.float64)
    kernel = ndimage.gaussian_filter(disk / disk.sum(), softness, mode="mirror", radius=soft)
    return ndimage.correlate(picture, kernel[:, :, None], mode="mirror")


@corruption(
    small=((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    large=((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    deviation="no rounding to bytes between the steps",
)
def glass_blur(picture: Picture, random: Generator, deviation: float, reach: int, rounds: int) -> Picture:
    """Blurs by a normal curve, replaces each pixel by one near it, round after round, and blurs again.

    The paper speaks of pixels that are shuffled, but the authors' swap copies: both pixels end as the second one, since
    the first is overwritten before it is read. Their images are made so, and so are these.
    """
    height, width, channels = picture.shape
    pixels = _blurred(picture, deviation).reshape(-1, channels)
    rows, columns = np.arange(height - reach, reach, -1), np.arange(width - reach, reach, -1)
    places = (rows[:, None] * width + columns).ravel()
    source = list(range(height * width))
    for _ in range(rounds):
        down, right = random.integers(-reach, reach, (2, len(places)))
        for place, near in zip(places.tolist(), (places + down * width + right).tolist(), strict=True):
            source[place] = source[near]
    return _blurred(pixels[source].reshape(picture.shape), deviation)


@corruption(
    small=((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5)),
    large=((10, 3.0), (15, 5.0), (15, 8.0), (15, 12.0), (20, 15.0)),
    deviation="computed here as ImageMagick defines it, without its rounding",
)
def motion_blur(picture: Picture, random: Generator, radius: int, deviation: float) -> Picture:
    """Drags the picture along a line at an angle between -45 and 45 degrees, with weights of half a normal curve."""
    return dragged(picture, radius, deviation, random.uniform(-45, 45))


@corruption(
    small=((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    large=((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
)
def zoom_blur(picture: Picture, random: Generator, most: float, step: float) -> Picture:
    """Averages the picture with itself magnified about the middle, from 1 to so many times in steps."""
    # As NumPy counts: rounding makes 1.06 one of the factors, where it is meant to be left out.
    factors = np.arange(1, most, step)
    return np.mean([picture, *(zoomed(picture, float(factor)) for factor in factors)], axis=0)


def _blurred(picture: Picture, deviation: float) -> Picture:
    return ndimage.gaussian_filter(picture, (deviation, deviation, 0), mode="nearest", truncate=4)
