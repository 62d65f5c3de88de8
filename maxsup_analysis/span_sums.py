"""What samples add to the scatter in the span of the class means, tile by tile."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import add, iadd

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from maxsup_analysis.moments import SpanScatter
from maxsup_analysis.span import Span

EPSILONS, PRECISE = 4, 1e-7  # what an entry of the scatter is rounded by, and what sums may be
TOGETHER = 1024  # rows of a product of deviations with their coordinates, at most


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

    span: in the precision of the products with it. size: rows of a group of tiles, whose coordinates are kept together.
    """

    def __init__(self, span: Span, size: int, *, errors: bool) -> None:
        self.span = span
        self.errors = errors
        self.group = span.room(size)
        self.seen = self.crossed_to = 0
        self.waiting: list[Tensor] = []
        self.parts: list[Tensor] = []
        self.crossed: Tensor | None = None  # R x D, in the precision of the products: of one block

    def add(self, deviations: Float[Tensor, "B D"]) -> None:
        """Take a tile along."""
        start, self.seen = self.seen, self.seen + len(deviations)
        self.span.along(deviations, out=self.group[start : self.seen])
        if self.errors:
            self.waiting.append(deviations)
            # The product is as large as the basis: of many rows, so that it is seldom added.
            if self.seen - self.crossed_to >= min(2 * self.span.rank, TOGETHER):
                self._cross()

    def end_group(self) -> Float[Tensor, "B R"]:
        """The coordinates of the tiles since the last group; valid until the next tile."""
        if self.waiting:
            self._cross()
        coordinates = self.group[: self.seen, : self.span.rank]
        self.seen = self.crossed_to = 0
        self.parts.append((coordinates.square() @ self.span.measures).double())
        return coordinates

    @property
    def sums(self) -> SpanSums:
        """Over the block."""
        inside, distance = torch.cat(self.parts).sum(0)
        return SpanSums(inside, distance, None if self.crossed is None else self.crossed.double().T)

    @property
    def shares(self) -> Float64[Tensor, "B 2"] | None:
        """What each sample adds, where standard errors are wanted."""
        return torch.cat(self.parts) if self.errors else None

    def _cross(self) -> None:
        deviations = self.waiting[0] if len(self.waiting) == 1 else torch.cat(self.waiting)
        coordinates = self.group[self.crossed_to : self.seen, : self.span.rank]
        if self.crossed is None:
            self.crossed = coordinates.T @ deviations
        else:
            torch.addmm(self.crossed, coordinates.T, deviations, out=self.crossed)
        self.waiting.clear()
        self.crossed_to = self.seen


def sums_from_scatter(span: Span, scatter: Float64[Tensor, "D D"], precision: torch.dtype) -> SpanSums | None:
    """The sums from the whole scatter; None where rounding of its products, in that precision, would show in them.

    A variance v S v has the rounding errors of the S_ij, some epsilons of the variances S_ii: they show where variances
    cancel, and average out over many axes.
    """
    variances = ((scatter @ span.basis) * span.basis).sum(0)
    rounded = EPSILONS * torch.finfo(precision).eps * (scatter.diagonal() @ span.basis.square())
    weights = torch.stack([torch.ones_like(variances), 1 / span.variances])
    sums, errors = weights @ variances, torch.linalg.vector_norm(weights * rounded, dim=1)
    return None if bool((errors > PRECISE * sums).any()) else SpanSums(*sums)


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
