"""A value and its standard error, for every metric alike."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.influence import (
    OVERFLOW,
    Linearised,
    MomentGradient,
    Samples,
    influences,
    linearise,
)
from maxsup_analysis.metrics import Metric
from maxsup_analysis.representation import Representation

SINGLETON = "a class has one sample, so its sampling variance is unknown"
NORMAL_95 = 1.959963984540054
NOT_ASKED = "standard errors were not asked for"


@dataclass(frozen=True)
class Estimate:
    """A value, its standard error, and the influence of every sample on it.

    reason: why the value, or else the standard error, is NaN; None where both are numbers.
    influence: in the order of the rows; None where there is no standard error.
    """

    value: float
    standard_error: float
    reason: str | None = None
    influence: Float64[Tensor, " N"] | None = field(default=None, compare=False, repr=False)

    @property
    def half_width(self) -> float:
        """From the value to either end of its 95 % interval."""
        return NORMAL_95 * self.standard_error


@dataclass(frozen=True)
class Estimates(Mapping[str, Estimate]):
    """Metric name -> estimate. samples: those that the influences speak of; None where none were asked for."""

    by_name: Mapping[str, Estimate]
    samples: Samples | None = None

    def __getitem__(self, name: str) -> Estimate:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)


def estimate(
    representation: Representation, metrics: Iterable[Metric], *, standard_errors: bool = True
) -> Estimates:
    """Every metric with its standard error, in two sweeps over the rows.

    The standard error is stratified: samples are taken to be drawn within their class, with the number of
    samples a class fixed. SE^2 = sum over classes of n/(n - 1) sum (influence - its class mean)^2.
    """
    entries = linearise(representation, list(metrics))
    estimates = {entry.metric.name: _without_error(entry) for entry in entries}
    if not standard_errors:
        return Estimates(estimates)
    smooth = [entry for entry in entries if entry.gradient is not None]
    found = influences(representation, smooth)
    labels = torch.from_numpy(found.samples.labels)
    for entry, influence in zip(smooth, found.values, strict=True):
        estimates[entry.metric.name] = _with_error(entry, influence, labels, representation)
    return Estimates(estimates, found.samples)


def standard_error(influence: Float64[Tensor, " N"], labels: Int64[Tensor, " N"]) -> float:
    """Root of the summed within-class variances of the influences; see `estimate`.

    Classes with one sample add nothing: check for them first.

    Example:
        >>> import torch
        >>> values = torch.tensor([1.0, 2.0, 4.0, 5.0]).double()
        >>> round(standard_error((values - values.mean()) / 4, torch.zeros(4, dtype=torch.long)), 6)
        0.912871
    """
    counts = torch.bincount(labels).double()
    means = torch.zeros_like(counts).index_add_(0, labels, influence) / counts.clamp(min=1)
    squares = (influence - means[labels]).square()
    within = torch.zeros_like(counts).index_add_(0, labels, squares)
    return float((within * counts / (counts - 1).clamp(min=1)).sum().sqrt())


def _without_error(entry: Linearised) -> Estimate:
    return Estimate(entry.value, math.nan, entry.reason or NOT_ASKED)


def _with_error(
    entry: Linearised, influence: Tensor, labels: Tensor, representation: Representation
) -> Estimate:
    if _leans_on_singletons(entry, representation):
        return Estimate(entry.value, math.nan, SINGLETON)
    error = standard_error(influence, labels)
    if not math.isfinite(error):
        return Estimate(entry.value, math.nan, OVERFLOW)
    return Estimate(entry.value, error, None, influence)


def _leans_on_singletons(entry: Linearised, representation: Representation) -> bool:
    """Whether the metric depends on a class that has one sample, whose spread nobody knows."""
    single = representation.moments.features.counts == 1
    if not isinstance(entry.gradient, MomentGradient):
        return bool(single.any())
    touched = entry.gradient.features.touched | entry.gradient.directions.touched
    if entry.gradient.scatter is not None:
        touched = torch.ones_like(touched)
    return bool((touched & single).any())
