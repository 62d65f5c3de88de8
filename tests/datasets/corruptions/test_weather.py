"""Tests for corruptions by weather: closed forms on even pictures, and frost from panes of one colour."""

import colorsys
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maxsup_analysis.datasets import CORRUPTIONS, corrupted, load
from maxsup_analysis.datasets.corruptions import frost_pictures
from maxsup_analysis.errors import InputError

RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("shape", "amounts"),
    [((9, 7, 3), [0.05, 0.1, 0.15, 0.2, 0.3]), ((128, 129, 3), [0.1, 0.2, 0.3, 0.4, 0.5])],
)
def test_brightness_is_the_value_in_hsv(shape: tuple, amounts: list[float]):
    picture = RANDOM.random(shape)
    picture[0, 0], picture[0, 1], picture[0, 2] = 0, 1, (0.5, 0, 0)
    for severity, amount in enumerate(amounts, 1):
        found = CORRUPTIONS["brightness"](picture, severity, seed=0, number=0)
        for y, x in [(0, 0), (0, 1), (0, 2), (3, 4), (8, 6), (5, 0)]:
            hue, saturation, value = colorsys.rgb_to_hsv(*picture[y, x])
            expected = colorsys.hsv_to_rgb(hue, saturation, min(value + amount, 1))
            assert np.allclose(found[y, x], expected)


def test_brightness_of_grey_is_a_shift():
    picture = RANDOM.random((8, 8, 1))
    found = CORRUPTIONS["brightness"](picture, 5, seed=0, number=0)
    assert np.allclose(found, np.minimum(picture + 0.3, 1))


@pytest.mark.parametrize(("side", "amounts"), [(32, [0.2, 0.5, 0.75, 1, 1.5]), (128, [1.5, 2, 2.5, 2.5, 3])])
def test_fog_on_an_even_picture(side: int, amounts: list[float]):
    """(v + c d) v / (v + c) with drifts d from 0 to 1: the brightest fog is v, the least v^2 / (v + c)."""
    for severity, amount in enumerate(amounts, 1):
        found = CORRUPTIONS["fog"](np.full((side, side, 3), 0.8), severity, seed=0, number=severity)
        assert np.isclose(found.max(), 0.8) and np.isclose(found.min(), 0.64 / (0.8 + amount))
        assert np.ptp(found, axis=2).max() == 0


def drifts(severity: int, number: int) -> np.ndarray:
    """What lies on an even picture of 1 is (1 + c d) / (1 + c): back to d, from its extremes."""
    found = CORRUPTIONS["fog"](np.ones((32, 32, 1)), severity, seed=0, number=number)[..., 0]
    return (found - found.min()) / np.ptp(found)


def test_drifts_go_on_at_the_other_edge():
    inside = np.mean([np.abs(np.diff(drifts(1, n), axis=0)).mean() for n in range(30)])
    across = np.mean([np.abs(drifts(1, n)[0] - drifts(1, n)[-1]).mean() for n in range(30)])
    assert across < 2 * inside


@pytest.mark.parametrize(("severity", "smoothness"), [(1, 3), (5, 1.75)])
def test_a_square_of_drifts_by_the_algorithm(severity: int, smoothness: float):
    """Each middle is the mean of its four neighbours and a deviation that each halving divides by s^2."""
    coarse, fine = [], []
    for number in range(200):
        d = drifts(severity, number)
        coarse.append(d[16, 16] - d[0, 0])
        for y in range(0, 32, 2):
            for x in range(0, 32, 2):
                around = d[y, x] + d[(y + 2) % 32, x] + d[y, (x + 2) % 32] + d[(y + 2) % 32, (x + 2) % 32]
                fine.append(d[y + 1, x + 1] - around / 4)
    # Four halvings, from 32 to 2; each drift is scaled to its own range, hence the room.
    assert 0.7 < np.std(coarse) / np.std(fine) / smoothness**8 < 1.3


def test_black_is_not_lit_by_fog():
    assert CORRUPTIONS["fog"](np.zeros((8, 8, 1)), 5, seed=0, number=0).max() == 0


def test_snow():
    """Without a flake, c x + (1 - c) max(x, 1.5 grey + 0.5); flakes only add."""
    for severity, clearness in enumerate([0.95, 0.9, 0.9, 0.85, 0.8], 1):
        picture = np.broadcast_to([0.4, 0.1, 0.2], (32, 32, 3))
        grey = 0.299 * 0.4 + 0.587 * 0.1 + 0.114 * 0.2
        ground = clearness * picture + (1 - clearness) * np.maximum(picture, 1.5 * grey + 0.5)
        found = np.array([CORRUPTIONS["snow"](picture, severity, seed=0, number=n) for n in range(5)])
        flakes = found - ground
        assert flakes.min() > -1e-12 and flakes.max() > 0.1
        same = flakes[..., 0][(found < 1).all(-1)] - flakes[..., 1][(found < 1).all(-1)]
        assert np.allclose(same, 0)
        assert np.allclose(flakes[..., 1], flakes[:, ::-1, ::-1, 1])


@pytest.fixture
def panes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, tuple[int, int, int]]]:
    """A package of five panes; every fifth pixel, from the third on, has a colour of its own."""
    folder = tmp_path / "imagecorruptions" / "frost"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise ImportError('it is never run')")
    colours = {number: (10 * number, 20, 30) for number in range(1, 6)}
    for number, colour in colours.items():
        pixels = np.full((160, 180, 3), 255, np.uint8)
        pixels[2::5, 2::5] = colour
        # Losslessly, under the names that it has.
        Image.fromarray(pixels).save(folder / f"frost{number}.{'png' if number < 4 else 'jpg'}", "PNG")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "imagecorruptions", raising=False)
    frost_pictures._pane.cache_clear()
    yield colours
    frost_pictures._pane.cache_clear()


def test_frost_adds_a_pane(panes: dict[int, tuple[int, int, int]]):
    seen = set()
    for severity, (clearness, amount) in enumerate(
        [(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)], 1
    ):
        for number in range(20):
            found = CORRUPTIONS["frost"](np.full((30, 32, 3), 0.5), severity, seed=0, number=number)
            pane = (found - clearness * 0.5) / amount * 255
            assert np.ptp(pane, axis=(0, 1)).max() < 1e-9
            seen.add(tuple(np.rint(pane[0, 0]).astype(int).tolist()))
    assert seen == set(panes.values())


def test_frost_on_grey_and_on_large_pictures(panes: dict[int, tuple[int, int, int]]):
    grey = CORRUPTIONS["frost"](np.zeros((8, 8, 1)), 1, seed=0, number=0) / 0.2 * 255
    lumas = [0.299 * red + 0.587 * green + 0.114 * blue for red, green, blue in panes.values()]
    assert np.ptp(grey) < 1e-9 and np.isclose(lumas, grey[0, 0, 0]).any()
    whole = CORRUPTIONS["frost"](np.zeros((150, 150, 3)), 1, seed=0, number=0) / 0.4 * 255
    assert np.isclose((whole > 254).all(2).mean(), 24 / 25, atol=0.01)
    enlarged = CORRUPTIONS["frost"](np.zeros((300, 200, 3)), 1, seed=0, number=0)
    assert enlarged.shape == (300, 200, 3)


def test_frost_without_its_photographs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frost_pictures, "PACKAGE", "no_such_package")
    with pytest.raises(InputError) as refusal:
        corrupted(load("digits", "test"), "frost", 1)
    assert str(refusal.value) == (
        "expected the package imagecorruptions-imaug, whose photographs frost is made of, got none; "
        "pip install 'maxsup-analysis[corruptions]'"
    )
    monkeypatch.setattr(frost_pictures, "PACKAGE", "json")
    with pytest.raises(InputError, match="whose photographs frost is made of, got none"):
        frost_pictures.require_frost()
