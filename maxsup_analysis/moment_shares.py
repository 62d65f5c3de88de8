"""What each sample adds to the moments of its class, times the gradients of metrics with respect to these."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from maxsup_analysis.linearisation import ClusterGradient, MomentGradient
from maxsup_analysis.moments import ClassMoments, ClusterMoments
from maxsup_analysis.rows import runs
from maxsup_analysis.sampling import direction_factors, spread_factors
from maxsup_analysis.tile import Tile

# Samples of a class from which on a dozen slopes times samples take three quarters of the time of the reverse.
LONG = 16


@dataclass(frozen=True)
class ClusterPlan:
    """The gradients of P metrics with respect to the moments of one kind of points, side by side, without slopes.

    d count = 1, d mean = deviation / n, d spread = |deviation|^2.

    constants: what each sample of a class adds, whatever it is. squares: what the square of its deviation is
    multiplied with. slope_of: the P2 metrics that have a slope, which its deviation is multiplied with. Where spreads
    follow from counts and means, their part is in the constants and the slopes.
    """

    constants: Float64[Tensor, "K P"]
    squares: Float64[Tensor, "K P"]
    slope_of: Int64[Tensor, " P2"]

    @classmethod
    def of(
        cls, gradients: Sequence[ClusterGradient], moments: ClusterMoments, *, directed: bool
    ) -> "ClusterPlan":
        """Of P metrics; directed: whether points have length one."""
        none = torch.zeros_like(moments.counts)
        constants = torch.stack([none if one.counts is None else one.counts for one in gradients], 1)
        squares = torch.stack([none if one.spreads is None else one.spreads for one in gradients], 1)
        factors = (
            direction_factors(moments.counts, moments.spreads) if directed else spread_factors(moments.counts)
        )
        squares = squares * factors[:, None]
        follow = moments.summed_spreads is None
        if follow:
            # Of points of length one, spread = n - n |mean|^2.
            constants = constants + squares * (1 - moments.means.square().sum(1))[:, None]
        sloped = [
            n
            for n, one in enumerate(gradients)
            if one.offsets is not None or (follow and one.spreads is not None)
        ]
        return cls(constants, squares, torch.tensor(sloped, dtype=torch.long))


@dataclass(frozen=True)
class MomentPlan:
    """The gradients of P metrics with respect to the moments of features and of their directions.

    slopes: of products with deviations, those of features first. Where directions are loose, for the direction u of a
    feature h = m + d, the means m and c of its class, and a slope v, (u - c) v = (d v + m v) / |h| - c v: then all
    products are with deviations of features, and directions are not computed.
    shifts: m v, where directions are loose.
    """

    features: ClusterPlan
    directions: ClusterPlan
    slopes: Float[Tensor, "P3 K D"]
    shifts: Float64[Tensor, "K P4"] | None

    @classmethod
    def of(
        cls, gradients: Sequence[MomentGradient], moments: ClassMoments, dtype: torch.dtype
    ) -> "MomentPlan":
        """Of P metrics, whose offsets are taken out; dtype: of products with deviations."""
        K, D = moments.features.offsets.shape
        features = ClusterPlan.of([one.features for one in gradients], moments.features, directed=False)
        directions = ClusterPlan.of([one.directions for one in gradients], moments.directions, directed=True)
        slopes = torch.empty(len(features.slope_of) + len(directions.slope_of), K, D, dtype=dtype)
        # One after the other: a gradient is gone before the memory of the next slope is used.
        for slope, n in zip(slopes, features.slope_of.tolist(), strict=False):
            _fill(slope, gradients[n].features, moments.features, features.squares[:, n])
        own = slopes[len(features.slope_of) :]
        factors = direction_factors(moments.directions.counts, moments.directions.spreads)
        for slope, n in zip(own, directions.slope_of.tolist(), strict=True):
            # The noise of a mean direction is that of the spread around it: what a metric has of both varies together.
            together = factors if gradients[n].directions.spreads is not None else None
            _fill(slope, gradients[n].directions, moments.directions, directions.squares[:, n], together)
        if moments.directions.summed_spreads is not None:
            return cls(features, directions, slopes, None)
        directions.constants.index_add_(
            1, directions.slope_of, _products(own, moments.directions.offsets), alpha=-1
        )
        return cls(features, directions, slopes, _products(own, moments.features.means))

    def shares(self, tile: Tile) -> Float64[Tensor, "B P"]:
        """Of the samples of a tile, which are in the order of their labels."""
        labels, of_features, of_directions = tile.labels, self.features, self.directions
        deviations, squares, lengths = tile.product_deviations, tile.squares, tile.product_lengths
        number = len(of_features.slope_of)
        along = _along(deviations, labels, self.slopes if self.shifts is not None else self.slopes[:number])
        shares = of_features.constants.index_select(0, labels)
        shares.addcmul_(of_features.squares.index_select(0, labels), squares[:, None])
        shares.index_add_(1, of_features.slope_of, along[:, :number])
        directed = of_directions.constants.index_select(0, labels)
        if self.shifts is not None:
            products = (along[:, number:] + self.shifts.index_select(0, labels)) / lengths[:, None]
        else:
            products = _along(tile.direction_deviations, labels, self.slopes[number:])
            directed.addcmul_(of_directions.squares.index_select(0, labels), tile.direction_squares[:, None])
        directed.index_add_(1, of_directions.slope_of, products)
        return shares.add_(directed.masked_fill_((lengths == 0)[:, None], 0))


def _fill(
    slope: Float[Tensor, "K D"],
    gradient: ClusterGradient,
    moments: ClusterMoments,
    squares: Float64[Tensor, " K"],
    factors: Float64[Tensor, " K"] | None = None,
) -> None:
    """The slope of a metric; factors: what its part through the means is multiplied with."""
    offsets = gradient.take_offsets()
    if offsets is None:
        slope.zero_()
    else:
        torch.div(offsets, moments.counts.clamp(min=1)[:, None].to(offsets.dtype), out=slope)
    if factors is not None:
        slope.mul_(factors[:, None].to(slope.dtype))
    if moments.summed_spreads is None and gradient.spreads is not None:
        slope.addcmul_(moments.means.to(slope.dtype), squares[:, None].to(slope.dtype), value=-2)


def _products(slopes: Float[Tensor, "P K D"], vectors: Float64[Tensor, "K D"]) -> Float64[Tensor, "K P"]:
    """Of the slopes, in float64, with a vector of each class."""
    products = [(slope * vectors).sum(1) for slope in slopes]
    return torch.stack(products, 1) if products else vectors.new_empty(len(vectors), 0)


def _along(
    deviations: Float[Tensor, "B D"], labels: Int64[Tensor, " B"], slopes: Float[Tensor, "P K D"]
) -> Float64[Tensor, "B P"]:
    """The product of each deviation with the slopes of its class; labels are sorted."""
    points = deviations.to(slopes.dtype)
    along = points.new_empty(len(labels), len(slopes))
    for label, start, stop in runs(labels):
        own = slopes[:, label]
        if stop - start < LONG:
            torch.mm(points[start:stop], own.T, out=along[start:stop])
        else:
            along[start:stop] = torch.mm(own, points[start:stop].T).T
    return along.double()
