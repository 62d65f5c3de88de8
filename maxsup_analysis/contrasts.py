"""Weighted sums of means over training runs, with two levels of chance: test samples and training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from maxsup_analysis.estimates import ROUNDING, Estimate
from maxsup_analysis.influence import Samples
from maxsup_analysis.sampling import Variance, interval_ends, quantile_95, within_classes
from maxsup_analysis.surroundings import undisturbed

Verdict = Literal["lower", "higher", "equal", "not distinguishable", "undefined"]
# What joins a verdict to the name of what was compared with.
JOINING: dict[Verdict, str] = {
    "lower": "than",
    "higher": "than",
    "equal": "to",
    "not distinguishable": "from",
}


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval.

    sampling_error: standard error from drawing the test samples.
    seed_error: standard error of the mean over training runs; NaN where there is one run only.
    degrees_of_freedom: of Student's t in the interval (Welch-Satterthwaite), of samples and of seeds together.
    rounding: how far the number may be from that of exact arithmetic.
    skewed: whether its interval is that of its logarithm; see `interval_ends`.
    """

    value: float
    sampling_error: float
    seed_error: float
    degrees_of_freedom: float
    reason: str | None = None
    rounding: float = 0.0
    skewed: bool = False

    @property
    def half_width(self) -> float:
        """Student's t times the standard error: from the value to either end, unless it is skewed."""
        error = math.hypot(self.sampling_error, 0.0 if math.isnan(self.seed_error) else self.seed_error)
        return quantile_95(self.degrees_of_freedom) * error

    @property
    def low(self) -> float:
        """Lower end."""
        return interval_ends(self.value, self.half_width, skewed=self.skewed).low

    @property
    def high(self) -> float:
        """Upper end."""
        return interval_ends(self.value, self.half_width, skewed=self.skewed).high

    @property
    def verdict(self) -> Verdict:
        """Of a difference: with zero in its interval none can be told; one that rounding alone could make is none."""
        if abs(self.value) <= self.rounding and not self.half_width > self.rounding:
            return "equal"
        if math.isnan(self.half_width):
            return "undefined"
        if self.high < -self.rounding:
            return "lower"
        return "higher" if self.low > self.rounding else "not distinguishable"


@dataclass(frozen=True)
class Repeated:
    """One metric over the runs that differ by chance alone, all on the same samples."""

    estimates: tuple[Estimate, ...]
    samples: Samples

    @property
    def values(self) -> np.ndarray:
        """One a run."""
        return np.array([item.value for item in self.estimates])

    @property
    def influence(self) -> Tensor | None:
        """On the mean over the runs; None where a run has none."""
        influences = [item.influence for item in self.estimates if item.influence is not None]
        return torch.stack(influences).mean(0) if len(influences) == len(self.estimates) else None

    @property
    def reason(self) -> str | None:
        """Why a number is missing, where one is."""
        return next((item.reason for item in self.estimates if item.reason), None)

    @property
    def rounding(self) -> float:
        """Of the mean over the runs."""
        return float(np.mean([item.rounding for item in self.estimates]))

    @property
    def skewed(self) -> bool:
        """Whether intervals of the metric are those of its logarithm."""
        return all(item.skewed for item in self.estimates)

    @property
    def variance(self) -> float:
        """Of the mean over the runs, from their spread; NaN with one run."""
        R = len(self.estimates)
        return float(self.values.var(ddof=1)) / R if R > 1 else math.nan


@dataclass(frozen=True)
class Term:
    """A part of a contrast."""

    weight: float
    runs: Repeated


@undisturbed()
def contrast(terms: Sequence[Term]) -> Interval:
    """sum_j w_j (mean over the runs of term j), with its interval.

    Sampling error: of the weighted sum of the influences, sample by sample where terms share their samples; sets
    of other samples are independent. Seed error: sum_j w_j^2 s_j^2 / R_j over the terms with several runs, runs of
    different terms taken as independent. NaN with the reason where a run has no standard error.
    """
    value = float(sum(term.weight * term.runs.values.mean() for term in terms))
    reason = next((term.runs.reason for term in terms if term.runs.reason), None)
    rounding = sum(abs(term.weight) * term.runs.rounding for term in terms)
    if any(term.runs.influence is None for term in terms):
        return Interval(value, math.nan, math.nan, math.inf, reason, rounding)
    sampling = Variance(0.0, 0.0)
    for shared in _by_samples(terms):
        sampling += within_classes(_weighted(shared), _labels(shared))
    if reason and value and sampling.error <= ROUNDING * abs(value):
        return Interval(value, math.nan, math.nan, math.inf, reason, rounding)
    known = [
        (term.weight**2 * term.runs.variance, len(term.runs.estimates) - 1)
        for term in terms
        if len(term.runs.estimates) > 1
    ]
    seeds = sum(variance for variance, _ in known)
    spread = sum(variance**2 / freedom for variance, freedom in known)
    spread += sampling.value**2 / sampling.degrees_of_freedom
    freedom = (sampling.value + seeds) ** 2 / spread if spread > 0 else math.inf
    # A sum of positive numbers is skewed as they are; a difference is not.
    skewed = all(term.weight > 0 and term.runs.skewed for term in terms)
    seed_error = math.sqrt(seeds) if known else math.nan
    return Interval(value, sampling.error, seed_error, freedom, None, rounding, skewed)


def _by_samples(terms: Sequence[Term]) -> list[list[Term]]:
    """The terms, those on the same samples together."""
    sets: list[list[Term]] = []
    for term in terms:
        for shared in sets:
            if same_samples(shared[0].runs.samples, term.runs.samples):
                shared.append(term)
                break
        else:
            sets.append([term])
    return sets


def same_samples(one: Samples, other: Samples) -> bool:
    """Whether influences on the one and on the other speak of the same draw."""
    if one is other:
        return True
    return np.array_equal(one.ids, other.ids) and np.array_equal(one.labels, other.labels)


def _weighted(terms: Sequence[Term]) -> Tensor:
    influences = [term.weight * term.runs.influence for term in terms if term.runs.influence is not None]
    return torch.stack(influences).sum(0)


def _labels(terms: Sequence[Term]) -> Tensor:
    return torch.from_numpy(terms[0].runs.samples.labels)
