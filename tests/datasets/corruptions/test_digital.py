"""Tests for corruptions by what is computed: closed forms, box means, Pillow's own JPEG."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maxsup_analysis.datasets import CORRUPTIONS
from maxsup_analysis.datasets.corruptions.digital import _affine
from tests.datasets.photographs import pixels

RANDOM = np.random.default_rng(11)


@pytest.mark.parametrize(
    ("shape", "factors"),
    [((9, 7, 3), [0.75, 0.5, 0.4, 0.3, 0.15]), ((128, 130, 1), [0.4, 0.3, 0.2, 0.1, 0.05])],
)
def test_contrast_is_a_factor_about_the_mean(shape: tuple, factors: list[float]):
    picture = RANDOM.random(shape)
    for severity, factor in enumerate(factors, 1):
        found = CORRUPTIONS["contrast"](picture, severity, seed=0, number=0)
        for channel in range(shape[2]):
            mean = sum(picture[..., channel].ravel()) / picture[..., channel].size
            assert np.allclose(found[..., channel], mean + factor * (picture[..., channel] - mean))


@pytest.mark.parametrize(("severity", "width"), [(2, 2), (5, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixelate_is_the_mean_of_boxes(severity: int, width: int, channels: int):
    """A half and a quarter of the size, at ImageNet-C's strengths; Pillow rounds to bytes once for each direction."""
    picture = RANDOM.integers(0, 256, (128, 160, channels))
    found = CORRUPTIONS["pixelate"](picture / 255, severity, seed=0, number=0) * 255
    for y in range(0, 128, width):
        for x in range(0, 160, width):
            mean = picture[y : y + width, x : x + width].mean((0, 1))
            assert np.abs(found[y : y + width, x : x + width] - mean).max() <= 1


def test_pixelate_leaves_a_share_of_the_pixels():
    picture = np.arange(32)[:, None, None] * np.ones((32, 32, 1)) / 255
    for severity, share in enumerate([0.95, 0.9, 0.85, 0.75, 0.65], 1):
        found = CORRUPTIONS["pixelate"](picture, severity, seed=0, number=0)
        assert (np.diff(found[:, 0, 0]) != 0).sum() <= int(32 * share) - 1


@pytest.mark.parametrize(("side", "qualities"), [(32, [80, 65, 58, 50, 40]), (160, [25, 18, 15, 10, 7])])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_that_of_pillow(side: int, qualities: list[int], mode: str):
    image = Image.fromarray(pixels(0, side, side)).convert(mode)
    for severity, quality in enumerate(qualities, 1):
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        expected = np.asarray(Image.open(file)).reshape(side, side, -1)
        picture = np.asarray(image).reshape(side, side, -1) / 255
        found = CORRUPTIONS["jpeg_compression"](picture, severity, seed=0, number=0)
        assert np.array_equal(np.rint(found * 255), expected)


@given(moves=st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_an_affine_map_takes_three_points_where_they_shall_go(moves: list[float]):
    """On a picture whose values are its coordinates, each place shows where it comes from."""
    before = np.array([[15.0, 15], [5, 15], [5, 5]])
    after = np.rint(before + np.array(moves).reshape(3, 2))
    rows, columns = np.indices((20, 20)).astype(np.float64)
    if abs(np.linalg.det(np.hstack([after, np.ones((3, 1))]))) < 1:
        return
    found = _affine(np.stack([rows, columns], 2), before, after)
    for (y, x), origin in zip(after.astype(int), before, strict=True):
        assert np.allclose(found[y, x], origin)


def displacements(side: int, severity: int) -> np.ndarray:
    """Where the inner pixels come from, by images of coordinates."""
    rows, columns = np.indices((side, side)) / side
    found = CORRUPTIONS["elastic_transform"](
        np.stack([rows, columns, rows], 2), severity, seed=0, number=severity
    )
    inner = slice(side // 4, -side // 4)
    return np.stack([found[..., 0] - rows, found[..., 1] - columns])[:, inner, inner] * side


def test_elastic_severity_1_of_small_pictures_is_affine():
    """No noise is added, only three points move: displacements are linear in the place."""
    moves = displacements(32, 1)
    assert np.abs(moves).max() > 0.1
    assert np.allclose(np.diff(moves, 2, axis=1), 0, atol=1e-9) and np.allclose(
        np.diff(moves, 2, axis=2), 0, atol=1e-9
    )


def test_elastic_severity_5_bends():
    """Beyond any linear map, the displacements are noise of about what a normal curve leaves of it."""
    rest = []
    y, x = np.indices((16, 16)).reshape(2, -1)
    plane = np.stack([np.ones_like(y), y, x], 1).astype(float)
    for axis in displacements(32, 5):
        flat = axis.reshape(-1)
        rest.append(flat - plane @ np.linalg.lstsq(plane, flat, rcond=None)[0])
    # Uniform noise of variance 1/3, averaged with weights of a normal curve of s: 1/3 / (4 pi s^2).
    expected = 0.1 * 32 * np.sqrt(1 / 3 / (4 * np.pi * (0.03 * 32) ** 2))
    assert 0.6 * expected < np.std(rest) < 1.2 * expected
