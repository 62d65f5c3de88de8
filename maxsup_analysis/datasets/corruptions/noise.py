"""Corruptions by noise: values of pixels that chance decides, each by itself."""

import numpy as np
from numpy.random import Generator

from maxsup_analysis.datasets.corruptions.entry import Picture, corruption


@corruption(
    small=((0.04,), (0.06,), (0.08,), (0.09,), (0.10,)),
    large=((0.08,), (0.12,), (0.18,), (0.26,), (0.38,)),
)
def gaussian_noise(picture: Picture, random: Generator, deviation: float) -> Picture:
    """Adds normal noise of a standard deviation to each value."""
    return picture + random.normal(scale=deviation, size=picture.shape)


@corruption(
    small=((500.0,), (250.0,), (100.0,), (75.0,), (50.0,)),
    large=((60.0,), (25.0,), (12.0,), (5.0,), (3.0,)),
)
def shot_noise(picture: Picture, random: Generator, photons: float) -> Picture:
    """Counts photons, Poisson with so many where a value is 1."""
    return random.poisson(picture * photons) / photons


@corruption(
    small=((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),
    large=((0.03,), (0.06,), (0.09,), (0.17,), (0.27,)),
)
def impulse_noise(picture: Picture, random: Generator, share: float) -> Picture:
    """Replaces a share of the values by 0 or 1, either as likely."""
    hit = random.random(picture.shape) < share
    return np.where(hit, random.integers(0, 2, picture.shape), picture)
