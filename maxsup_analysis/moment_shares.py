"""What each sample adds to the moments of its class, times the gradients of metrics with respect to these."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from maxsup_analysis.linearisation import ClusterGradient, MomentGradient
from maxsup_analysis.moments import ClassMoments, ClusterMeans, ClusterMoments
from maxsup_analysis.tile import Tile

# A mean this many times as long as the root of the variance around it leaves deviations of float32 five digits.
FAR = 100
# Variances whose squares float32 holds.
LEAST, MOST = 1e-20, 1e20


@dataclass(frozen=True)
class ClusterPlan:
    """The gradients of P metrics with respect to the moments of one kind of points, side by side.

    d count = 1, d mean = deviation / n, d spread = |deviation|^2.

    constants: what each sample of a class adds, whatever it is. squares: what the square of its deviation is
    multiplied with. slopes: what its deviation is multiplied with, for the P2 metrics slope_of.
    """

    constants: Float64[Tensor, "K P"]
    squares: Float64[Tensor, "K P"]
    slopes: Float[Tensor, "K P2 D"]
    slope_of: Int64[Tensor, " P2"]

    @classmethod
    def of(
        cls, gradients: Sequence[ClusterGradient], means: ClusterMeans, dtype: torch.dtype
    ) -> "ClusterPlan":
        """Of P metrics; dtype: of the slopes."""
        none = torch.zeros(len(means.counts), dtype=torch.float64)
        slope_of = [n for n, one in enumerate(gradients) if one.offsets is not None]
        slopes = torch.empty(len(means.counts), len(slope_of), means.offsets.shape[1], dtype=dtype)
        for place, n in enumerate(slope_of):
            slopes[:, place] = _slope(gradients[n], means)
        return cls(
            torch.stack([none if one.counts is None else one.counts for one in gradients], 1),
            torch.stack([none if one.spreads is None else one.spreads for one in gradients], 1),
            slopes,
            torch.tensor(slope_of, dtype=torch.long),
        )

    def products(
        self, gradients: Sequence[ClusterGradient], means: ClusterMeans, vectors: Float64[Tensor, "K D"]
    ) -> Float64[Tensor, "K P2"]:
        """Of the slopes, in float64, with a vector of each class."""
        products = [(_slope(gradients[n], means) * vectors).sum(1) for n in self.slope_of.tolist()]
        return torch.stack(products, 1) if products else self.constants[:, :0]


def _slope(gradient: ClusterGradient, means: ClusterMeans) -> Float64[Tensor, "K D"]:
    assert gradient.offsets is not None
    return gradient.offsets / means.counts.clamp(min=1)[:, None]


@dataclass(frozen=True)
class MomentPlan:
    """The gradients of P metrics with respect to the moments of features and of their directions.

    slopes: of products with deviations of the features. Where directions are loose, (u - c) v = (d v + m v) / |h| - c v
    for the direction u of a feature h = m + d, the means m and c of its class, and a slope v: then those of the
    directions are among them, and directions are not computed.
    direction_slopes: of products with deviations of the directions, where these are not loose.
    shifts: m v, where they are.
    centres: the class means, in float32, where deviations from them may be computed in float32.
    """

    features: ClusterPlan
    directions: ClusterPlan
    slopes: Float[Tensor, "K P3 D"]
    direction_slopes: Float[Tensor, "K P4 D"] | None
    shifts: Float64[Tensor, "K P4"] | None
    centres: Float[Tensor, "K D"] | None

    @classmethod
    def of(
        cls, gradients: Sequence[MomentGradient], moments: ClassMoments, dtype: torch.dtype
    ) -> "MomentPlan":
        """Of P metrics; dtype: of products with deviations."""
        narrow = dtype == torch.float32 and _are_near(moments.features)
        centres = moments.features.means.float() if narrow else None
        slopes = [one.directions for one in gradients]
        features = ClusterPlan.of([one.features for one in gradients], moments.features, dtype)
        directions = ClusterPlan.of(slopes, moments.directions, dtype)
        if moments.directions.summed_spreads is not None:
            return cls(features, directions, features.slopes, directions.slopes, None, centres)
        own = directions.products(slopes, moments.directions, moments.directions.offsets)
        directions.constants.index_add_(1, directions.slope_of, own, alpha=-1)
        shifts = directions.products(slopes, moments.directions, moments.features.means)
        joined = torch.cat([features.slopes, directions.slopes], 1)
        return cls(features, directions, joined, None, shifts, centres)

    def shares(self, tile: Tile) -> Float64[Tensor, "B P"]:
        """Of the samples of a tile, which are in the order of their labels."""
        labels, of_features, of_directions = tile.labels, self.features, self.directions
        deviations, squares, lengths = self._placed(tile)
        along = _along(deviations, labels, self.slopes)
        shares = of_features.constants.index_select(0, labels)
        shares.addcmul_(of_features.squares.index_select(0, labels), squares[:, None])
        number = len(of_features.slope_of)
        shares.index_add_(1, of_features.slope_of, along[:, :number])
        directed = of_directions.constants.index_select(0, labels)
        if self.shifts is not None:
            products = (along[:, number:] + self.shifts.index_select(0, labels)) / lengths[:, None]
        else:
            assert self.direction_slopes is not None, "directions are loose or not"
            products = _along(tile.direction_deviations, labels, self.direction_slopes)
            directed.addcmul_(of_directions.squares.index_select(0, labels), tile.direction_squares[:, None])
        directed.index_add_(1, of_directions.slope_of, products)
        return shares.add_(directed.masked_fill_((lengths == 0)[:, None], 0))

    def _placed(
        self, tile: Tile
    ) -> tuple[Float[Tensor, "B D"], Float64[Tensor, " B"], Float64[Tensor, " B"]]:
        """Deviations of a tile, their squared lengths, and the lengths of the features."""
        if self.centres is None:
            return tile.deviations, tile.squares, tile.lengths
        features, centres = tile.rows.features.float(), self.centres.index_select(0, tile.labels)
        deviations = torch.sub(features, centres, out=centres)
        squares = torch.linalg.vector_norm(deviations, dim=1).double().square_()
        return deviations, squares, torch.linalg.vector_norm(features, dim=1, dtype=torch.float64)


def _are_near(points: ClusterMoments) -> bool:
    several = points.counts > 1
    variances = points.spreads[several] / points.counts[several]
    squares = points.means[several].square().sum(1)
    return bool(((squares < FAR**2 * variances) & (variances > LEAST) & (variances < MOST)).all())


def _along(
    deviations: Float[Tensor, "B D"], labels: Int64[Tensor, " B"], slopes: Float[Tensor, "K P D"]
) -> Float64[Tensor, "B P"]:
    """The product of each deviation with the slopes of its class; labels are sorted."""
    points = deviations.to(slopes.dtype)
    along = points.new_empty(len(labels), slopes.shape[1])
    for label, start, stop in _runs(labels):
        torch.mm(points[start:stop], slopes[label].T, out=along[start:stop])
    return along.double()


def _runs(labels: Int64[Tensor, " B"]) -> Iterator[tuple[int, int, int]]:
    """Each label with where it starts and stops."""
    values, counts = labels.unique_consecutive(return_counts=True)
    stops = counts.cumsum(0)
    return zip(values.tolist(), (stops - counts).tolist(), stops.tolist(), strict=True)
