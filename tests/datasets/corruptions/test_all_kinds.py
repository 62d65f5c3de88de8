"""Tests for what every corruption has to do, and for what a maintained package makes of the same pictures."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from maxsup_analysis.datasets import CORRUPTIONS
from maxsup_analysis.datasets.corruptions import frost_pictures
from maxsup_analysis.errors import InputError

PUBLISHED = {
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
}  # fmt: skip
# The authors' elastic skews less as it bends more, their glass is about as blurred at neighbouring severities, and
# their thickest fog lights and dims about as much.
ORDERED = {"elastic_transform": (), "glass_blur": (1, 5), "fog": (1, 2, 3)}
# Whose parameters at ImageNet's size are the package's, and where nothing is random.
FIXED = ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression")
RANDOM = ("gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow")


@pytest.fixture(autouse=True)
def panes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frost from structured panes, whether or not the photographs are installed."""
    rows, columns = np.mgrid[:700, :800]
    pane = np.stack([rows % 251, columns % 241, (rows * columns) % 239], -1).astype(np.uint8)
    monkeypatch.setattr(frost_pictures, "_pane", lambda name: pane)


def photograph(side: int, channels: int = 3) -> np.ndarray:
    """Shapes with edges, on values from 0 to 1."""
    y, x = np.mgrid[:side, :side] / side
    disk = ((x - 0.4) ** 2 + (y - 0.6) ** 2 < 0.05).astype(float)
    stripes = 0.5 + 0.4 * np.sin(12 * x + 5 * y)
    picture = np.stack([0.7 * disk + 0.2, stripes, 0.8 * y + 0.1], -1)
    return np.rint(picture[..., :channels] * 255) / 255


def change(kind: str, picture: np.ndarray, severity: int, numbers: int) -> float:
    """The mean absolute change of a value."""
    made = (CORRUPTIONS[kind](picture, severity, seed=0, number=number) for number in range(numbers))
    return float(np.mean([np.abs(one - picture).mean() for one in made]))


def test_the_table_is_that_of_the_paper():
    assert set(CORRUPTIONS) == PUBLISHED
    for name, one in CORRUPTIONS.items():
        assert one.name == name and one.summary.endswith(".") and len(one.small) == len(one.large) == 5
    with pytest.raises(InputError, match="no corruption is called 'foggy'; did you mean 'fog'"):
        CORRUPTIONS["foggy"]


@pytest.mark.parametrize("kind", sorted(PUBLISHED))
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 5), (2, 3), (3, 2), (8, 8), (28, 28), (64, 48), (127, 128), (128, 129)]
)
def test_any_size_grey_or_not(kind: str, size: tuple[int, int]):
    for channels in (1, 3):
        picture = np.random.default_rng(0).random((*size, channels))
        before = picture.copy()
        for severity in (1, 5) if max(size) > 60 else range(1, 6):
            found = CORRUPTIONS[kind](picture, severity, seed=0, number=3)
            assert found.shape == picture.shape and found.dtype == np.float64
            assert found.min() >= 0 and found.max() <= 1
        assert np.array_equal(picture, before)


@pytest.mark.parametrize("kind", sorted(PUBLISHED))
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white(kind: str, value: float):
    for severity in (1, 5):
        found = CORRUPTIONS[kind](np.full((16, 16, 3), value), severity, seed=0, number=0)
        assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


@pytest.mark.parametrize("kind", sorted(PUBLISHED))
@pytest.mark.parametrize(("side", "numbers"), [(32, 30), (160, 3)])
def test_a_higher_severity_changes_more(kind: str, side: int, numbers: int):
    picture = photograph(side)
    severities = ORDERED.get(kind, (1, 2, 3, 4, 5))
    changes = [change(kind, picture, severity, numbers) for severity in severities]
    # What chance or the authors' choice of several strengths leaves between neighbours.
    assert all(less < 1.1 * more for less, more in pairwise(changes))
    assert not changes or (changes[0] > 0.001 and changes[0] < 0.95 * changes[-1] < 0.5)


@pytest.mark.parametrize("kind", sorted(PUBLISHED))
def test_seed_number_and_severity_decide(kind: str):
    picture = photograph(24)
    first = CORRUPTIONS[kind](picture, 3, seed=0, number=5)
    np.random.seed(0)
    assert np.array_equal(first, CORRUPTIONS[kind](picture, 3, seed=0, number=5))
    drawn = np.random.random()
    np.random.seed(0)
    assert drawn == np.random.random()
    others = [
        CORRUPTIONS[kind](picture, 3, seed=1, number=5),
        CORRUPTIONS[kind](picture, 3, seed=0, number=6),
    ]
    assert all(np.array_equal(first, other) == (kind in FIXED) for other in others)
    assert not np.array_equal(first, CORRUPTIONS[kind](picture, 4, seed=0, number=5))


@pytest.mark.parametrize("severity", [0, 6, -1])
def test_a_severity_that_there_is_not(severity: int):
    with pytest.raises(InputError, match=f"expected a severity of fog from 1 to 5, got {severity}"):
        CORRUPTIONS["fog"](photograph(8), severity, seed=0, number=0)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("kind", FIXED)
def test_the_package_makes_the_same(kind: str, severity: int):
    """imagecorruptions-imaug, which has ImageNet-C's strengths only and takes no picture below 32 pixels."""
    theirs = pytest.importorskip("imagecorruptions.corruptions")
    picture = photograph(224)
    image = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
    expected = np.asarray(getattr(theirs, kind)(image, severity), dtype=np.float64)
    found = CORRUPTIONS[kind](picture, severity, seed=0, number=0) * 255
    assert np.abs(found - expected).max() < 0.01


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("kind", RANDOM)
def test_the_package_changes_as_much(kind: str, severity: int):
    theirs = pytest.importorskip("imagecorruptions.corruptions")
    picture = photograph(160)
    image = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
    np.random.seed(0)
    made = [np.asarray(getattr(theirs, kind)(image, severity), dtype=np.float64) / 255 for _ in range(8)]
    expected = np.mean([np.abs(one - picture).mean() for one in made])
    assert change(kind, picture, severity, 8) == pytest.approx(expected, rel=0.1)
