"""Corruptions by weather: what falls, drifts, freezes or shines in front of the picture."""

import numpy as np
from jaxtyping import Float64
from numpy.random import Generator

from maxsup_analysis.datasets.corruptions.entry import Picture, corruption
from maxsup_analysis.datasets.corruptions.frost_pictures import frost_crop
from maxsup_analysis.datasets.corruptions.warps import dragged, zoomed

LUMA = np.array([0.299, 0.587, 0.114])


@corruption(
    small=(
        (0.1, 0.2, 1.0, 0.6, 8, 3.0, 0.95),
        (0.1, 0.2, 1.0, 0.5, 10, 4.0, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4.0, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6.0, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12.0, 0.8),
    ),
    large=(
        (0.1, 0.3, 3.0, 0.5, 10, 4.0, 0.8),
        (0.2, 0.3, 2.0, 0.5, 12, 4.0, 0.7),
        (0.55, 0.3, 4.0, 0.9, 12, 8.0, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8.0, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12.0, 0.55),
    ),
    deviation="flakes are dragged as in motion_blur, without rounding to bytes between the steps",
)
def snow(
    picture: Picture,
    random: Generator,
    mean: float,
    deviation: float,
    size: float,
    threshold: float,
    radius: int,
    drag: float,
    clearness: float,
) -> Picture:
    """Adds flakes, magnified normal noise above a threshold, dragged downwards, and whitens what is behind them."""
    flakes = zoomed(random.normal(mean, deviation, (*picture.shape[:2], 1)), size)
    flakes = np.clip(np.where(flakes < threshold, 0, flakes), 0, 1)
    falling = dragged(flakes, radius, drag, random.uniform(-135, -45))
    whitened = np.maximum(picture, 1.5 * grey(picture) + 0.5)
    # The layer once more, turned by 180 degrees: twice the flakes.
    return clearness * picture + (1 - clearness) * whitened + falling + falling[::-1, ::-1]


@corruption(
    small=((1.0, 0.2, 5), (1.0, 0.3, 5), (0.9, 0.4, 5), (0.85, 0.4, 5), (0.75, 0.45, 5)),
    large=((1.0, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
    deviation="the authors' photographs, from the package imagecorruptions-imaug",
)
def frost(picture: Picture, random: Generator, clearness: float, amount: float, every: int) -> Picture:
    """Adds a piece of a photograph of a frozen pane, of which every so many pixels are taken, to the dimmed picture."""
    pane = frost_crop(random, picture.shape[:2], every)
    return clearness * picture + amount * (pane if picture.shape[2] == 3 else grey(pane))


@corruption(
    small=((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)),
    large=((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
    deviation="drifts of the next power of two of the longer side, as the authors' 32 and 256 are for 32 and 224",
)
def fog(picture: Picture, random: Generator, amount: float, smoothness: float) -> Picture:
    """Adds drifts from the diamond-square algorithm, and dims so that the brightest value there was could stay."""
    height, width, _ = picture.shape
    drifts = _drifts(random, max(2, 1 << (max(height, width) - 1).bit_length()), smoothness)
    brightest = picture.max()
    return (picture + amount * drifts[:height, :width, None]) * brightest / (brightest + amount)


@corruption(
    small=((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),
    large=((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
)
def brightness(picture: Picture, random: Generator, amount: float) -> Picture:
    """Raises the value in HSV, the largest channel, by an amount up to 1; hue and saturation stay."""
    value = picture.max(2, keepdims=True)
    raised = np.minimum(value + amount, 1)
    # Hue and saturation stay where all channels grow by one factor; black has none and becomes grey.
    return np.where(value > 0, picture * (raised / np.where(value > 0, value, 1)), raised)


def grey(picture: Picture) -> Float64[np.ndarray, "H W 1"]:
    """One channel: the luma of three."""
    return picture if picture.shape[2] == 1 else (picture @ LUMA)[:, :, None]


def _drifts(random: Generator, side: int, smoothness: float) -> Float64[np.ndarray, "S S"]:
    """A landscape from 0 to 1 that repeats at its edges (Fournier, Fussell & Carpenter 1982).

    From corners to centres and from both to the middles of edges, each the mean of its four neighbours and a deviation
    that falls by the square of the smoothness with every halving of the distance.
    """
    heights, step, spread = np.zeros((side, side)), side, 1.0
    while step > 1:
        half, corners = step // 2, heights[::step, ::step]
        right, below = np.roll(corners, -1, 1), np.roll(corners, -1, 0)
        centres = _jittered(random, spread, corners, right, below, np.roll(right, -1, 0))
        heights[half::step, half::step] = centres
        heights[::step, half::step] = _jittered(
            random, spread, corners, right, centres, np.roll(centres, 1, 0)
        )
        heights[half::step, ::step] = _jittered(
            random, spread, corners, below, centres, np.roll(centres, 1, 1)
        )
        step, spread = half, spread / smoothness**2
    return (heights - heights.min()) / np.ptp(heights)


def _jittered(random: Generator, spread: float, *neighbours: np.ndarray) -> np.ndarray:
    mean = np.mean(neighbours, axis=0)
    return mean + random.uniform(-spread, spread, mean.shape)
