"""Tests for corruptions by blur, against plain loops over pixels."""

from math import ceil, cos, hypot, radians, sin

import numpy as np
import pytest
from scipy import stats

from maxsup_analysis.datasets import CORRUPTIONS
from maxsup_analysis.datasets.corruptions.warps import dragged, zoomed

RANDOM = np.random.default_rng(7)


def mirrored(place: int, length: int) -> int:
    """A place beyond the edge, as in a mirror whose surface is the last pixel."""
    while not 0 <= place < length:
        place = -place if place < 0 else 2 * (length - 1) - place
    return place


def softened_disk(radius: float, softness: float) -> np.ndarray:
    reach, soft = (8, 1) if radius <= 8 else (int(radius), 2)
    side = 2 * reach + 1
    disk = np.zeros((side, side))
    for y in range(side):
        for x in range(side):
            disk[y, x] = (y - reach) ** 2 + (x - reach) ** 2 <= radius**2
    weights = np.array([np.exp(-(i**2) / (2 * softness**2)) for i in range(-soft, soft + 1)])
    weights /= weights.sum()
    found = np.zeros_like(disk)
    for y in range(side):
        for x in range(side):
            for i in range(-soft, soft + 1):
                for j in range(-soft, soft + 1):
                    value = disk[mirrored(y + i, side), mirrored(x + j, side)] / disk.sum()
                    found[y, x] += weights[i + soft] * weights[j + soft] * value
    return found


@pytest.mark.parametrize(
    ("shape", "severity", "radius", "softness"),
    [
        ((12, 20, 3), 1, 0.3, 0.4),
        ((12, 20, 1), 3, 0.5, 0.6),
        ((12, 20, 3), 5, 1.5, 0.1),
        ((140, 128, 1), 5, 10, 0.5),
    ],
)
def test_defocus(shape: tuple, severity: int, radius: float, softness: float):
    picture = RANDOM.random(shape)
    found = CORRUPTIONS["defocus_blur"](picture, severity, seed=0, number=0)
    kernel = softened_disk(radius, softness)
    reach = len(kernel) // 2
    for y, x in [(0, 0), (5, 6), (shape[0] - 1, shape[1] - 1), (2, shape[1] - 2)]:
        expected = sum(
            kernel[i + reach, j + reach] * picture[mirrored(y + i, shape[0]), mirrored(x + j, shape[1])]
            for i in range(-reach, reach + 1)
            for j in range(-reach, reach + 1)
        )
        assert np.allclose(found[y, x], expected, atol=1e-12)


def test_glass_takes_pixels_from_nearby():
    """At severity 1 the normal curve is so narrow that it changes nothing: pixels are only moved, by 0 or -1."""
    side = 30
    picture = np.arange(side * side).reshape(side, side, 1) / (side * side)
    counts = {}
    for number in range(3):
        found = CORRUPTIONS["glass_blur"](picture, 1, seed=0, number=number)
        for y in range(side):
            for x in range(side):
                y_from, x_from = divmod(round(found[y, x, 0] * side * side), side)
                step = (y_from - y, x_from - x)
                inside = 2 <= y <= side - 1 and 2 <= x <= side - 1
                assert inside or step == (0, 0)
                if inside:
                    counts[step] = counts.get(step, 0) + 1
    assert set(counts) == {(0, 0), (0, -1), (-1, 0), (-1, -1)}
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_glass_reaches_as_far_as_its_rounds():
    side = 30
    picture = np.zeros((side, side, 3))
    picture[15, 15] = 1
    spread = np.zeros((side, side))
    for number in range(40):
        spread += CORRUPTIONS["glass_blur"](picture, 4, seed=0, number=number).max(2)
    rows, columns = np.nonzero(spread > 0.3)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 17, 15, 17)


@pytest.mark.parametrize("angle", [0.0, 30.0, -44.0, -135.5, 90.0, 400.0])
@pytest.mark.parametrize("shape", [(9, 14, 3), (3, 2, 1), (1, 1, 1)])
def test_dragging_is_that_of_imagemagick(angle: float, shape: tuple):
    """kernel[i] = exp(-i^2 / (2 sigma^2)), normalised; offset ceil(i p / |p| - 0.5) along p = width (sin, cos)."""
    radius, sigma = 4, 1.7
    width = 2 * radius + 1
    kernel = [np.exp(-(i**2) / (2 * sigma**2)) for i in range(width)]
    point = (width * sin(radians(angle)), width * cos(radians(angle)))
    picture = RANDOM.random(shape)
    found = dragged(picture, radius, sigma, angle)
    for y in range(shape[0]):
        for x in range(shape[1]):
            expected = np.zeros(shape[2])
            for i, weight in enumerate(kernel):
                down, right = (ceil(i * part / hypot(*point) - 0.5 - 1e-12) for part in point)
                row, column = min(max(y + down, 0), shape[0] - 1), min(max(x + right, 0), shape[1] - 1)
                expected += weight / sum(kernel) * picture[row, column]
            assert np.allclose(found[y, x], expected, atol=1e-12)


def test_motion_blur_draws_its_angle():
    """A vertical edge is dragged sideways: never more than its weights, at most 45 degrees off."""
    picture = np.zeros((32, 32, 1))
    picture[16, 16] = 1
    angles = []
    for number in range(300):
        found = CORRUPTIONS["motion_blur"](picture, 4, seed=0, number=number)[..., 0]
        assert np.isclose(found.sum(), 1)
        rows, columns = np.nonzero(found)
        far = columns.argmin()
        angles.append(np.degrees(np.arctan2(16 - rows[far], 16 - columns[far])))
    assert max(angles) <= 46 and min(angles) >= -46
    assert stats.kstest(np.array(angles), stats.uniform(-45, 90).cdf).statistic < 0.12


def magnified(picture: np.ndarray, factor: float) -> np.ndarray:
    """The middle ceil(length / factor) pixels on round(that x factor) places, ends on ends, cut to the old size."""
    for axis in (0, 1):
        length = picture.shape[axis]
        few = ceil(length / factor)
        many = round(few * factor)
        lines = np.moveaxis(picture, axis, 0)[(length - few) // 2 :][:few]
        found = []
        for i in range(many):
            place = i * (few - 1) / (many - 1) if many > 1 else 0
            low = min(int(place), few - 1)
            high = min(low + 1, few - 1)
            found.append(lines[low] * (1 - (place - low)) + lines[high] * (place - low))
        start = (many - length) // 2
        picture = np.moveaxis(np.array(found[start : start + length]), 0, axis)
    return picture


@pytest.mark.parametrize("shape", [(12, 20, 3), (8, 8, 1), (31, 5, 1), (1, 1, 1), (2, 1, 3)])
def test_zoom_by_loops(shape: tuple):
    picture = RANDOM.random(shape)
    for factor in (1.0, 1.07, 1.25, 2.25, 4.5):
        assert np.allclose(zoomed(picture, factor), magnified(picture, factor), atol=1e-9)
    # 1 to 1.06 in hundredths, which NumPy's arange counts as seven factors, and the picture itself.
    expected = (picture + sum(magnified(picture, 1 + i / 100) for i in range(7))) / 8
    found = CORRUPTIONS["zoom_blur"](picture, 1, seed=0, number=0)
    assert np.allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("kind", ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur"])
def test_what_is_even_stays_even(kind: str):
    for severity in range(1, 6):
        picture = np.full((20, 17, 3), 0.3)
        assert np.allclose(CORRUPTIONS[kind](picture, severity, seed=1, number=2), 0.3)
