"""Moments of the features of each class, from sums that add.

Sums are taken of points as seen from an origin that is one of them, and spreads of points as seen from the
mean of their class: a common offset of the features, however large, costs no digits.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from operator import add, iadd
from typing import TypeVar

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from maxsup_analysis.lazy import lazy
from maxsup_analysis.pairs import Pairs
from maxsup_analysis.span import Span, span_of

Kind = TypeVar("Kind", bound="ClusterMeans")
# Beyond these lengths squares overflow or vanish, and directions are computed with care.
LONGEST, SHORTEST = 1e150, 1e-150
# The least variance in a class, as a share of the mean square of its points, whose difference from the square of
# the mean has lost no more than four of sixteen digits; means in float32 leave deviations five digits then.
LOOSE = 1e-4
# Variances whose squares float32 holds, and mean squares of points such that it holds those of their deviations.
LEAST, MOST = 1e-20, 1e20


@dataclass(frozen=True)
class ClusterSums:
    """Count of the points of each class, and the sum of what they are as seen from an origin."""

    counts: Float64[Tensor, " K"]
    sums: Float64[Tensor, "K D"]

    def __add__(self, other: "ClusterSums") -> "ClusterSums":
        return ClusterSums(self.counts + other.counts, self.sums + other.sums)

    def __iadd__(self, other: "ClusterSums") -> "ClusterSums":
        return ClusterSums(self.counts.add_(other.counts), self.sums.add_(other.sums))

    def __sub__(self, part: "ClusterSums") -> "ClusterSums":
        """What is left without a part of the points."""
        counts = self.counts - part.counts
        # Where nothing is left, no rounding is either.
        return ClusterSums(counts, (self.sums - part.sums) * (counts > 0)[:, None])

    def means(self, origin: Float64[Tensor, " D"]) -> "ClusterMeans":
        """The mean of each class; zeros, which count 0 says not to look at, where it has no point."""
        return ClusterMeans(origin, self.counts, self.sums / self.counts.clamp(min=1)[:, None])


@dataclass(frozen=True)
class ClassSums:
    """The sums of the features of each class, of their squared lengths, and of their directions."""

    features: ClusterSums
    squares: Float64[Tensor, " K"]
    directions: ClusterSums

    def __add__(self, other: "ClassSums") -> "ClassSums":
        return self._sum(other, add)

    def __iadd__(self, other: "ClassSums") -> "ClassSums":
        return self._sum(other, iadd)

    def _sum(self, other: "ClassSums", plus: Callable) -> "ClassSums":
        return ClassSums(
            *(plus(getattr(self, part.name), getattr(other, part.name)) for part in fields(self))
        )

    def __sub__(self, part: "ClassSums") -> "ClassSums":
        """What is left without a part of the samples."""
        features = self.features - part.features
        squares = (self.squares - part.squares) * (features.counts > 0)
        return ClassSums(features, squares, self.directions - part.directions)

    def means(self, origin: Float64[Tensor, " D"]) -> "ClassMeans":
        """The means of features, which were seen from the origin, and of directions."""
        directions = self.directions.means(torch.zeros_like(origin))
        return ClassMeans(self.features.means(origin), self.squares, directions)


@dataclass(frozen=True)
class ClusterMeans:
    """Count and mean of the points of each class; the mean of class k is `origin + offsets[k]`."""

    origin: Float64[Tensor, " D"]
    counts: Float64[Tensor, " K"]
    offsets: Float64[Tensor, "K D"]

    @lazy
    def means(self) -> Float64[Tensor, "K D"]:
        """Class means; `offsets` and `centred_means` are exact under a common offset, these are rounded."""
        return self.origin + self.offsets

    @lazy
    def single(self) -> Float[Tensor, "K D"]:
        """The class means in float32."""
        return self.means.float()

    @lazy
    def lengths(self) -> Float64[Tensor, " K"]:
        """Euclidean lengths of the class means."""
        return torch.linalg.vector_norm(self.means, dim=1)

    @lazy
    def average(self) -> Float64[Tensor, " D"]:
        """The average of the class means, classes weighing equally, as seen from the origin."""
        return self.offsets.mean(0)

    @lazy
    def centred_means(self) -> Float64[Tensor, "K D"]:
        """Class means minus their average; exact under a common offset."""
        return self.offsets - self.average

    @lazy
    def halves(self) -> Float64[Tensor, " K"]:
        """Half the squared length of each centred mean."""
        return self.centred_means.square().sum(1) / 2

    @lazy
    def single_centred(self) -> Float[Tensor, "K D"]:
        """The centred means in float32."""
        return self.centred_means.float()

    @property
    def sums(self) -> ClusterSums:
        """What these are the means of."""
        return ClusterSums(self.counts, self.offsets * self.counts[:, None])

    @lazy
    def pairs(self) -> Pairs:
        """The pairs of centred means."""
        return Pairs(self.centred_means)

    @lazy
    def span(self) -> Span:
        """The span of the centred means of the classes that have points."""
        return span_of(self.occupied.centred_means)

    @property
    def sample_mean(self) -> Float64[Tensor, " D"]:
        """Mean of all points, samples weighing equally, as seen from the origin."""
        return self.counts @ self.offsets / self.counts.sum()

    @property
    def occupied(self: Kind) -> Kind:
        """The classes that have points; the others are left out."""
        return self.select(self.counts > 0)

    def select(self: Kind, chosen: Tensor) -> Kind:
        """The classes that a mask or an index names."""
        if chosen.dtype == torch.bool and chosen.all():
            return self
        parts = {
            field.name: value[chosen]
            for field in fields(self)
            if field.name not in ("origin", "span_scatter")
            and (value := getattr(self, field.name)) is not None
        }
        return replace(self, **parts)

    def deviations(self, points: Float[Tensor, "B D"], labels: Int64[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Each point minus the mean of its class, in the type of the points: float64 or float32."""
        means = (self.means if points.dtype == torch.float64 else self.single).index_select(0, labels)
        return torch.sub(points, means, out=means)


@dataclass(frozen=True)
class ClassMeans:
    """The means of the features of each class, and of their directions.

    squares: the sums of the squared lengths of the features.
    """

    features: ClusterMeans
    squares: Float64[Tensor, " K"]
    directions: ClusterMeans

    @property
    def sums(self) -> ClassSums:
        """What these are the means of."""
        return ClassSums(self.features.sums, self.squares, self.directions.sums)

    @lazy
    def fit_single(self) -> bool:
        """Whether float32 holds squares of the features and of what it resolves of their deviations."""
        return LEAST < float(self.squares.sum() / self.features.counts.sum()) < MOST

    def precision(self, of_rows: torch.dtype) -> torch.dtype:
        """Of products with deviations: that of the rows, where it holds squares."""
        return of_rows if self.fit_single else torch.float64

    @lazy
    def spreads(self) -> Float64[Tensor, " K"]:
        """The sum of squared deviations of the features of each class, where features are loose."""
        return _spreads(self.squares, self.features.counts, self.features.means)

    @lazy
    def features_are_loose(self) -> bool:
        """Whether features vary so much within each class that their spreads follow from the lengths of their means.

        Then deviations may also be computed in float32: of a class they sum to zero, so that what rounding shifts
        all of them by adds its square alone to sums of their products.
        """
        return _are_loose(self.spreads, self.squares, self.features.counts)

    @lazy
    def directions_are_loose(self) -> bool:
        """The same of directions."""
        counts = self.directions.counts
        return _are_loose(_spreads(counts, counts, self.directions.means), counts, counts)


@dataclass(frozen=True)
class SpanScatter:
    """The part of the within-class scatter that lies in the span of the centred class means.

    inside: sum over samples of the squared length of their deviation's projection on the span.
    distance: sum over samples of d^T S_B^+ d, with d the deviation from the mean of its class.
    inside_slope, distance_slope: the derivatives with respect to the centred class means; None where no
        standard errors are wanted.
    """

    inside: Float64[Tensor, ""]
    distance: Float64[Tensor, ""]
    inside_slope: Float64[Tensor, "M D"] | None = None
    distance_slope: Float64[Tensor, "M D"] | None = None


@dataclass(frozen=True)
class ClusterMoments(ClusterMeans):
    """Count, mean and sum of squared deviations of the points of each class.

    A class without points has count 0 and zeros.

    summed_spreads: the sums of squared deviations; None where points have length one and vary enough for these to
        follow from count and mean.
    """

    summed_spreads: Float64[Tensor, " K"] | None
    span_scatter: SpanScatter | None = None

    @lazy
    def spreads(self) -> Float64[Tensor, " K"]:
        """Sum of squared deviations in each class."""
        if self.summed_spreads is not None:
            return self.summed_spreads
        # The squares of n points of length one sum to n.
        return _spreads(self.counts, self.counts, self.means)

    @property
    def inside_span(self) -> Float64[Tensor, ""]:
        """`SpanScatter.inside`, differentiable in the means too."""
        scatter = self._known_span_scatter
        return scatter.inside + self._along(scatter.inside_slope)

    @property
    def distance_in_span(self) -> Float64[Tensor, ""]:
        """`SpanScatter.distance`, differentiable in the means too."""
        scatter = self._known_span_scatter
        return scatter.distance + self._along(scatter.distance_slope)

    @property
    def _known_span_scatter(self) -> SpanScatter:
        assert self.span_scatter is not None, "a metric that looks at the span says so in `needs`"
        return self.span_scatter

    def _along(self, slope: Tensor | None) -> Tensor | float:
        """Zero, with the slope as its derivative."""
        means = self.centred_means
        return 0.0 if slope is None else (slope * (means - means.detach())).sum()


@dataclass(frozen=True)
class ClassMoments:
    """What the geometry of N labelled features needs, whatever N.

    features: count, mean and spread of each class.
    directions: the same of the features scaled to length one; zero vectors have no direction and are left
        out, so `features.counts - directions.counts` says how many there are.
    scatter: pooled over classes, sum_i (h_i - mean of its class)(h_i - mean of its class)^T; None where no
        metric wants it.
    forms: where derivatives are wanted, the vectors that the scatter was looked at along, and for each a zero whose
        derivative is that with respect to what was seen.
    """

    features: ClusterMoments
    directions: ClusterMoments
    scatter: Float64[Tensor, "D D"] | None = None
    forms: list[tuple[Float64[Tensor, "R D"], Float64[Tensor, " R"]]] | None = None

    def scatter_along(self, vectors: Float64[Tensor, "R D"]) -> Float64[Tensor, " R"]:
        """The sum over samples of (v d_i)^2 for each vector v, with d_i the deviation from the mean of the class.

        Its share of standard errors takes R products a sample, where that of a function of the scatter takes D.
        """
        assert self.scatter is not None, "a metric that looks at the scatter says so in `needs`"
        values = ((vectors @ self.scatter.detach()) * vectors).sum(1)
        if self.forms is None:
            return values
        zeros = torch.zeros_like(values).requires_grad_()
        self.forms.append((vectors.detach(), zeros))
        return values + zeros


def _spreads(
    squares: Float64[Tensor, " K"], counts: Float64[Tensor, " K"], means: Float64[Tensor, "K D"]
) -> Float64[Tensor, " K"]:
    """Sums of squared deviations of n points, of whose squares these are the sums: squares - n |mean|^2."""
    spreads = squares - counts * means.square().sum(1)
    # One point has no spread, but what is left of it by rounding.
    return spreads - torch.where(counts == 1, spreads.detach(), 0)


def _are_loose(
    spreads: Float64[Tensor, " K"], squares: Float64[Tensor, " K"], counts: Float64[Tensor, " K"]
) -> bool:
    several = counts > 1
    variances, squares = spreads[several] / counts[several], squares[several] / counts[several]
    return bool(((variances > LOOSE * squares) & (variances > LEAST) & (variances < MOST)).all())


def lengths_of(points: Float64[Tensor, "B D"]) -> Float64[Tensor, " B"]:
    """Euclidean lengths, of numbers however large or small."""
    lengths = torch.linalg.vector_norm(points, dim=1)
    if are_ordinary(lengths):
        return lengths
    largest, scaled = _scaled(points)
    return largest[:, 0] * torch.linalg.vector_norm(scaled, dim=1)


def directions_of(
    points: Float64[Tensor, "B D"],
    lengths: Float64[Tensor, " B"],
    out: Float64[Tensor, "B D"] | None = None,
) -> Float64[Tensor, "B D"]:
    """Points scaled to length one, given their lengths; zero vectors stay zero. out: memory that may be used."""
    if are_ordinary(lengths):
        return torch.mul(points, lengths.reciprocal()[:, None], out=out)
    _, scaled = _scaled(points)
    lengths = torch.linalg.vector_norm(scaled, dim=1)
    return scaled * torch.where(lengths > 0, lengths, 1).reciprocal()[:, None]


def _scaled(points: Float64[Tensor, "B D"]) -> tuple[Float64[Tensor, "B 1"], Float64[Tensor, "B D"]]:
    """The largest entry of each point, and the point divided by it, whose squares neither overflow nor vanish."""
    largest = points.abs().amax(1, keepdim=True) if points.shape[1] else points.new_zeros(len(points), 1)
    return largest, points / torch.where(largest > 0, largest, 1)


def are_ordinary(lengths: Float64[Tensor, " B"], above: float = SHORTEST, below: float = LONGEST) -> bool:
    """Whether squares of such lengths neither overflow nor vanish."""
    if len(lengths) == 0:
        return False
    shortest, longest = lengths.detach().aminmax()
    return float(shortest) > above and float(longest) < below
