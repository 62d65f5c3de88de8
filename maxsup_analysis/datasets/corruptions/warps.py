"""Moving pictures: magnified about the middle, and dragged along a line."""

from math import ceil, cos, radians, sin

import numpy as np
from jaxtyping import Float64
from scipy import ndimage

from maxsup_analysis.datasets.corruptions.entry import Picture


def zoomed(picture: Picture, factor: float) -> Picture:
    """The middle, so much larger, in the size of the picture."""
    height, width, _ = picture.shape
    middle = _middle(picture, ceil(height / factor), ceil(width / factor))
    return _middle(np.asarray(ndimage.zoom(middle, (factor, factor, 1), order=1)), height, width)


def dragged(picture: Picture, radius: int, deviation: float, angle: float) -> Picture:
    """The mean over 2 `radius` + 1 places on a line to one side, weighted by a half normal curve.

    As ImageMagick defines motion blur. The angle is in degrees; beyond its edge the picture goes on as it is there.
    """
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * deviation**2))
    down, right = sin(radians(angle)), cos(radians(angle))
    moved = [_moved(picture, ceil(i * down - 0.5), ceil(i * right - 0.5)) for i in steps]
    return np.tensordot(weights / weights.sum(), moved, 1)


def _moved(picture: Picture, down: int, right: int) -> Picture:
    height, width, _ = picture.shape
    rows = np.clip(np.arange(height) + down, 0, height - 1)
    columns = np.clip(np.arange(width) + right, 0, width - 1)
    return picture[rows[:, None], columns]


def _middle(picture: Picture, height: int, width: int) -> Float64[np.ndarray, "h w C"]:
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]
