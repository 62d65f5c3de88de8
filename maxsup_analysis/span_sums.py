"""What samples add to the scatter in the span of the class means, tile by tile."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import add, iadd

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from maxsup_analysis.moments import SpanScatter
from maxsup_analysis.span import Span

TOGETHER = 1024  # rows of a product at most, of deviations with the basis and with their coordinates


@dataclass(frozen=True)
class SpanSums:
    """The sums of a `SpanScatter`, and the scatter times the basis where derivatives are wanted."""

    inside: Float64[Tensor, ""]
    distance: Float64[Tensor, ""]
    crossed: Float64[Tensor, "D R"] | None = None

    def __add__(self, other: "SpanSums") -> "SpanSums":
        return self._sum(other, add)

    def __iadd__(self, other: "SpanSums") -> "SpanSums":
        return self._sum(other, iadd)

    def _sum(self, other: "SpanSums", plus: Callable[[Tensor, Tensor], Tensor]) -> "SpanSums":
        crossed = None if self.crossed is None or other.crossed is None else plus(self.crossed, other.crossed)
        return SpanSums(self.inside + other.inside, self.distance + other.distance, crossed)


class SpanParts:
    """What the tiles of one block add to `SpanSums`, and what each sample adds.

    span: in the precision of the products with it.
    """

    def __init__(self, span: Span, errors: bool) -> None:
        self.span = span
        self.errors = errors
        self.waiting: list[Tensor] = []
        self.group: list[Tensor] = []
        self.parts: list[Tensor] = []
        self.crossed: Tensor | None = None

    def add(self, deviations: Float64[Tensor, "B D"]) -> None:
        """Take a tile along."""
        self.waiting.append(deviations.to(self.span.basis.dtype))
        # As many rows as axes: then what has a row an axis, and comes from memory for each product, is no larger. More
        # where the product with the coordinates is added too, which is as large as the basis.
        enough = self.span.rank * (4 if self.errors else 1)
        if sum(map(len, self.waiting)) >= min(enough, TOGETHER):
            self._project()

    def end_group(self) -> Float[Tensor, "B R"]:
        """The coordinates of the tiles since the last group."""
        if self.waiting:
            self._project()
        coordinates = torch.cat(self.group)
        self.group.clear()
        inside = torch.linalg.vector_norm(coordinates, dim=1, dtype=torch.float64).square_()
        distance = (coordinates.square() @ (1 / self.span.variances)).double()
        self.parts.append(torch.stack([inside, distance], 1))
        return coordinates

    @property
    def sums(self) -> SpanSums:
        """Over the block."""
        inside, distance = torch.cat(self.parts).sum(0)
        return SpanSums(inside, distance, self.crossed)

    @property
    def shares(self) -> Float64[Tensor, "B 2"] | None:
        """What each sample adds, where standard errors are wanted."""
        return torch.cat(self.parts) if self.errors else None

    def _project(self) -> None:
        deviations = self.waiting[0] if len(self.waiting) == 1 else torch.cat(self.waiting)
        coordinates = self.span.along(deviations)
        self.waiting.clear()
        self.group.append(coordinates)
        if self.errors:
            product = (coordinates.T @ deviations).double().T
            self.crossed = product if self.crossed is None else self.crossed.add_(product)


def span_scatter(sums: SpanSums, span: Span) -> SpanScatter:
    """The sums with their derivatives with respect to the centred means M, the scatter S held fixed.

    With P the projection on the span and A = M^T M = K S_B, for a change dM of the means
    d tr(P S) = 2 tr(dM^T M A^+ S (1 - P)), and d tr(A^+ S) = 2 tr(dM^T M ((A^+)^2 S (1 - P) - A^+ S A^+)).
    """
    if sums.crossed is None:
        return SpanScatter(sums.inside, sums.distance)
    K, basis, squares = len(span.coordinates), span.basis, len(span.coordinates) * span.variances
    within = basis.T @ sums.crossed
    outside = sums.crossed.T - within @ basis.T
    scaled = span.coordinates / squares
    inside_slope = 2 * scaled @ outside
    distance_slope = 2 * K * ((scaled / squares) @ outside - scaled @ (within / squares) @ basis.T)
    return SpanScatter(sums.inside, sums.distance, inside_slope, distance_slope)
