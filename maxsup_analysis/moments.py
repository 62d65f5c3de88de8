"""Moments of the features of each class: values that add.

Batches, shards, ranks and resumed runs combine with `+` (Chan, Golub & LeVeque 1979: the scatter grows by the
gap between the two means). A mean is kept as a float64 and what rounding it left over, so that a common
offset of the features, however large, costs no digits.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import reduce
from itertools import islice
from operator import add
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

RUN = 16
LEVELS = 8  # enough for 16^8 parts
T = TypeVar("T")


@runtime_checkable
class Adds(Protocol):
    """A value that adds."""

    def __add__(self: T, other: T, /) -> T: ...


Sum = TypeVar("Sum", bound=Adds)


@dataclass(frozen=True)
class ClusterMoments:
    """Count, mean and sum of squared deviations of the points of each class.

    The mean of class k is `means[k] + residuals[k]`, an unevaluated sum: `residuals` holds what does not fit
    in the float64 `means`. A class without points has count 0 and zeros.
    """

    counts: Float64[Tensor, " K"]
    means: Float64[Tensor, "K D"]
    residuals: Float64[Tensor, "K D"]
    spreads: Float64[Tensor, " K"]

    def __add__(self, other: "ClusterMoments") -> "ClusterMoments":
        counts = self.counts + other.counts
        share = other.counts / counts.clamp(min=1)
        gaps = gaps_between(self, other)
        means, residuals = two_sum(self.means, self.residuals + gaps * share[:, None])
        # A class that one side lacks is taken from the other as it is: no rounding.
        only_other, only_self = (self.counts == 0)[:, None], (other.counts == 0)[:, None]
        return ClusterMoments(
            counts=counts,
            means=torch.where(only_self, self.means, torch.where(only_other, other.means, means)),
            residuals=torch.where(
                only_self, self.residuals, torch.where(only_other, other.residuals, residuals)
            ),
            spreads=self.spreads + other.spreads + gaps.square().sum(1) * self.counts * share,
        )

    @property
    def occupied(self) -> "ClusterMoments":
        """The classes that have points; the others are left out."""
        return self.select(self.counts > 0)

    def select(self, chosen: Tensor) -> "ClusterMoments":
        """The classes that a mask or an index names."""
        return ClusterMoments(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def centred_means(self) -> Float64[Tensor, "K D"]:
        """Class means minus their average, classes weighing equally; exact under a common offset."""
        relative = self.relative_means(self.means[0].detach())
        return relative - relative.mean(0)

    def relative_means(self, origin: Float64[Tensor, " D"]) -> Float64[Tensor, "K D"]:
        """Class means as seen from `origin`."""
        return (self.means - origin) + self.residuals

    def deviations(
        self, points: Float64[Tensor, "B D"], labels: Int64[Tensor, " B"]
    ) -> Float64[Tensor, "B D"]:
        """Each point minus the mean of its class."""
        return (points - self.means[labels]) - self.residuals[labels]


@dataclass(frozen=True)
class ClassMoments:
    """What the geometry of N labelled features needs: K * D + D * D numbers, whatever N.

    features: count, mean and spread of each class.
    directions: the same of the features scaled to length one; zero vectors have no direction and are left
        out, so `features.counts - directions.counts` says how many there are.
    scatter: pooled over classes, sum_i (h_i - mean of its class)(h_i - mean of its class)^T.
    """

    features: ClusterMoments
    directions: ClusterMoments
    scatter: Float64[Tensor, "D D"]

    def __add__(self, other: "ClassMoments") -> "ClassMoments":
        mine, theirs = self.features, other.features
        weights = mine.counts * theirs.counts / (mine.counts + theirs.counts).clamp(min=1)
        gaps = gaps_between(mine, theirs) * weights.sqrt()[:, None]
        return ClassMoments(
            features=mine + theirs,
            directions=self.directions + other.directions,
            scatter=self.scatter + other.scatter + gaps.T @ gaps,
        )


def summarize(features: Float[Tensor, "B D"], labels: Int64[Tensor, " B"], *, classes: int) -> ClassMoments:
    """The moments of one batch, in float64 whatever the dtype of the features.

    Example:
        >>> import torch
        >>> first, second = torch.randn(5, 3), torch.randn(4, 3)
        >>> labels = torch.tensor([0, 1, 0, 1, 1])
        >>> both = summarize(first, labels, classes=2) + summarize(second, labels[:4], classes=2)
        >>> both.features.counts
        tensor([4., 5.], dtype=torch.float64)
    """
    points = features.double()
    cluster, deviations = _cluster(points, labels, classes)
    units, nonzero = directions_of(points)
    direction_cluster, _ = _cluster(units[nonzero], labels[nonzero], classes)
    return ClassMoments(features=cluster, directions=direction_cluster, scatter=deviations.T @ deviations)


def added(parts: Iterable[Sum]) -> Sum | None:
    """The sum of values that add; None where there are none.

    They are added in runs of 16, the sums of runs again in runs of 16, and so on. So the order depends on
    their number only, and a cluster, whose workers add a run each, comes to the same bits.

    Example:
        >>> added(range(100))
        4950
    """
    values = iter(parts)
    for _ in range(LEVELS):
        values = _sums_of_runs(values)
    return next(values, None)


def _sums_of_runs(parts: Iterator[Sum]) -> Iterator[Sum]:
    """One sum at a time, each in order: no more than a run's sum and the next part are in memory."""
    return (reduce(add, islice(parts, RUN - 1), first) for first in parts)


def directions_of(
    points: Float64[Tensor, "B D"],
) -> tuple[Float64[Tensor, "B D"], Tensor]:
    """Points scaled to length one, and which of them have a length; the others stay zero."""
    largest = points.abs().amax(1, keepdim=True)
    nonzero = largest[:, 0] > 0
    # Scaled by the largest entry first, so that the squares neither overflow nor vanish.
    scaled = points / torch.where(largest > 0, largest, 1)
    lengths = scaled.norm(dim=1, keepdim=True)
    return scaled / torch.where(lengths > 0, lengths, 1), nonzero


def two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """A + b rounded, and exactly what the rounding lost (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def gaps_between(first: ClusterMoments, second: ClusterMoments) -> Float64[Tensor, "K D"]:
    """Mean of `second` minus mean of `first`, class by class; zero where either has none."""
    gaps = (second.means - first.means) + (second.residuals - first.residuals)
    both = (first.counts > 0) & (second.counts > 0)
    return torch.where(both[:, None], gaps, 0)


def _cluster(
    points: Float64[Tensor, "B D"], labels: Int64[Tensor, " B"], classes: int
) -> tuple[ClusterMoments, Float64[Tensor, "B D"]]:
    """Moments of one batch, and each point's deviation from the mean of its class."""
    counts = torch.bincount(labels, minlength=classes).to(points)
    means = _class_sums(points, labels, classes) / counts.clamp(min=1)[:, None]
    # The second pass measures how far the rounded mean is from the true one.
    rounded = points - means[labels]
    residuals = _class_sums(rounded, labels, classes) / counts.clamp(min=1)[:, None]
    deviations = rounded - residuals[labels]
    squares = deviations.square().sum(1)
    spreads = torch.zeros_like(counts).index_add_(0, labels, squares)
    return ClusterMoments(counts, means, residuals, spreads), deviations


def _class_sums(
    points: Float64[Tensor, "B D"], labels: Int64[Tensor, " B"], classes: int
) -> Float64[Tensor, "K D"]:
    return points.new_zeros(classes, points.shape[1]).index_add_(0, labels, points)
