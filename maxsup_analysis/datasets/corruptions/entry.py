"""A kind of corruption: what it does to one image, and how strongly at each severity."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from maxsup_analysis.datasets.seeds import seed_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.table import Table

Strengths = tuple[tuple[float | int, ...], ...]
Picture = Float64[np.ndarray, "H W C"]
SEVERITIES = range(1, 6)
# From this length of the shorter side on, strengths are those of ImageNet-C.
LARGE = 128


@dataclass(frozen=True)
class Corruption:
    """One of the 15 kinds of Hendrycks & Dietterich 2019 (arXiv:1903.12261).

    small, large: the arguments of `change` at severity 1 to 5, as the authors made CIFAR-10-C and ImageNet-C.
    summary: what it does. deviation: how that differs from what they did; empty where it does not.
    """

    name: str
    summary: str
    small: Strengths
    large: Strengths
    change: Callable[..., Picture]
    deviation: str

    def __call__(self, picture: Picture, severity: int, *, seed: int, number: int) -> Picture:
        """The picture, of values from 0 to 1 and 1 or 3 channels, corrupted.

        What is random in it depends on the severity, the seed and the number only.
        Raises InputError for a severity outside 1 to 5.
        """
        strengths = self.large if min(picture.shape[:2]) >= LARGE else self.small
        random = np.random.default_rng(seed_of("corruption", seed, number, self.name, severity))
        strength = strengths[require_severity(self.name, severity) - 1]
        return np.clip(self.change(picture, random, *strength), 0, 1)


CORRUPTIONS: Table[Corruption] = Table("corruption")


def corruption(
    *,
    small: Strengths,
    large: Strengths,
    deviation: str = "",
) -> Callable[[Callable[..., Picture]], Callable[..., Picture]]:
    """Enter a function of a picture, random numbers and strengths under its name; its docstring is the summary."""

    def entered(change: Callable[..., Picture]) -> Callable[..., Picture]:
        summary = " ".join((change.__doc__ or "").split("\n\n")[0].split())
        name = change.__name__
        CORRUPTIONS.add(name, Corruption(name, summary, small, large, change, deviation))
        return change

    return entered


def require_severity(kind: str, severity: int) -> int:
    """The severity; InputError where it is not one."""
    if severity not in SEVERITIES:
        raise InputError(f"expected a severity of {kind} from 1 to 5, got {severity}")
    return severity
