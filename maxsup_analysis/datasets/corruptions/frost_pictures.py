"""Photographs of frozen panes, which an optional package brings along."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy.random import Generator
from PIL import Image

from maxsup_analysis.errors import InputError

PACKAGE = "imagecorruptions"
# The authors list a sixth, which their draw never takes.
PANES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")


def frost_crop(random: Generator, size: tuple[int, int], every: int) -> Float64[np.ndarray, "H W 3"]:
    """A piece of this size of one of the photographs, of which every so many pixels are taken in both directions.

    One that is too small is enlarged. Raises InputError where the photographs are not installed.
    """
    pane = _at_least(
        _pane(PANES[random.integers(len(PANES))])[every // 2 :: every, every // 2 :: every], size
    )
    top, left = (int(random.integers(pane.shape[axis] - size[axis] + 1)) for axis in (0, 1))
    return pane[top : top + size[0], left : left + size[1]] / 255


def require_frost() -> Path:
    """The folder of the photographs; InputError where it is not installed."""
    spec = find_spec(PACKAGE)
    for place in (spec.submodule_search_locations if spec else None) or ():
        if all((folder := Path(place, "frost")).joinpath(pane).is_file() for pane in PANES):
            return folder
    raise InputError(
        "expected the package imagecorruptions-imaug, whose photographs frost is made of, got none; "
        "pip install 'maxsup-analysis[corruptions]'"
    )


@cache
def _pane(name: str) -> np.ndarray:
    with Image.open(require_frost() / name) as photograph:
        return np.asarray(photograph.convert("RGB"))


def _at_least(pane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    factor = max(wanted / there for wanted, there in zip(size, pane.shape[:2], strict=True))
    if factor <= 1:
        return pane
    height, width = (
        max(wanted, round(there * factor)) for wanted, there in zip(size, pane.shape[:2], strict=True)
    )
    return np.asarray(Image.fromarray(pane).resize((width, height), Image.Resampling.BICUBIC))
