"""Sums over all pairs of K vectors, a tile of their Gram matrix at a time.

Up to K = 1448 that is the whole matrix. Beyond, no K x K matrix is ever in memory: the gradient of a tile is found
while it is there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from maxsup_analysis.lazy import lazy

ENTRIES = 2**21  # numbers of one tile: 16 MiB in float64
# Squared distances below this share of the squared lengths are computed from differences: of products they have
# lost more than four of sixteen digits.
CLOSE = 1e-4


@dataclass(frozen=True)
class PairTile:
    """Some of the pairs (i, j), i < j, of K vectors, as T x C numbers; `distinct` says where i < j.

    first, second: the vectors i and j. lengths: |x_i|^2 + |x_j|^2. start: the first i and the first j.
    """

    first: Float64[Tensor, "T D"]
    second: Float64[Tensor, "C D"]
    lengths: Float64[Tensor, "T C"]
    start: tuple[int, int]

    @property
    def cut(self) -> tuple[slice, slice]:
        """Which of the K vectors the first are, and which the second."""
        i, j = self.start
        return slice(i, i + len(self.first)), slice(j, j + len(self.second))

    @property
    def diagonal(self) -> int:
        """The diagonal, as torch counts them, that the pairs i < j begin with."""
        return 1 + self.start[0] - self.start[1]

    @lazy
    def distinct(self) -> Bool[Tensor, "T C"]:
        """Where i < j."""
        ones = torch.ones(len(self.first), len(self.second), dtype=torch.bool)
        return ones.triu_(self.diagonal)

    @lazy
    def products(self) -> Float64[Tensor, "T C"]:
        """x_i . x_j."""
        return self.first @ self.second.T

    @lazy
    def squares(self) -> Float64[Tensor, "T C"]:
        """|x_i - x_j|^2, of nearly equal vectors too; 1 where i >= j, so that it can be divided by."""
        squares = torch.add(self.lengths, self.products, alpha=-2).where(self.distinct, 1)
        close = (squares < CLOSE * self.lengths) & self.distinct
        if not close.any():
            return squares
        i, j = close.nonzero(as_tuple=True)
        return squares.index_put((i, j), _squares_of_differences(self.first, self.second, i, j))

    def pair(self, where: Bool[Tensor, "T C"]) -> tuple[int, int] | None:
        """The first pair for which it is so, if any."""
        found = where & self.distinct
        if not found.any():
            return None
        i, j = divmod(int(found.flatten().long().argmax()), found.shape[1])
        return self.start[0] + i, self.start[1] + j


@dataclass(frozen=True)
class Pairs:
    """The pairs of K vectors; up to K = 1448, what is computed of them is kept for whoever asks next."""

    vectors: Float64[Tensor, "K D"]

    def tiles(self) -> Iterator[PairTile]:
        """All pairs, without derivatives."""
        cuts = list(_cuts(len(self.vectors)))
        if len(cuts) == 1:
            yield self._whole
            return
        leaves = self._leaves
        for rows, columns in cuts:
            yield _tile(rows, columns, _cut(leaves, rows, columns))

    def largest_product(self) -> tuple[int, int]:
        """The pair of different vectors whose product is largest; of several, the first that is met."""
        best, pair = -torch.inf, (0, 1)
        for tile in self.tiles():
            products = tile.products.where(tile.distinct, -torch.inf)
            if (largest := products.max().item()) > best:
                best, pair = largest, tile.pair(products == largest) or pair
        return pair

    @property
    def _leaves(self) -> tuple[Tensor, Tensor]:
        vectors = self.vectors.detach()
        return vectors, vectors.square().sum(1)

    @lazy
    def _whole(self) -> PairTile:
        every = slice(0, len(self.vectors))
        return _tile(every, every, _cut(self._leaves, every, every))


Value = Callable[..., Tensor]


def sum_over_pairs(value: Value, pairs: Pairs, *numbers: Float64[Tensor, " K"]) -> Float64[Tensor, ""]:
    """Sum over pairs i < j of `value(tile, sums of numbers)`, T x C, with the sums a_i + a_j of each number.

    What it gives for i >= j does not count. The sum can be differentiated once, by vectors and numbers.
    """
    watched = (pairs.vectors, *numbers)
    if torch.is_grad_enabled() and any(part.requires_grad for part in watched):
        vectors = pairs.vectors
        return _SumWithGradient.apply(value, vectors, vectors.square().sum(1), *numbers)  # type: ignore[return-value]
    parts = [_share(value, tile, [_added(*_cut((a,), *tile.cut)) for a in numbers]) for tile in pairs.tiles()]
    return torch.stack(parts).sum()


def mean_over_pairs(value: Value, pairs: Pairs, *numbers: Float64[Tensor, " K"]) -> Float64[Tensor, ""]:
    """The same, as the mean over pairs."""
    K = len(pairs.vectors)
    return sum_over_pairs(value, pairs, *numbers) / (K * (K - 1) / 2)


class _SumWithGradient(torch.autograd.Function):
    """The sum, and its gradient tile by tile, so that no more than one tile is kept for it."""

    @staticmethod
    def forward(ctx: Any, value: Value, *leaves: Tensor) -> Tensor:
        slopes: list[Tensor | None] = [None] * len(leaves)
        total = leaves[0].new_zeros(())
        for rows, columns in _cuts(len(leaves[0])):
            pieces = [piece.detach().requires_grad_() for piece in _cut(leaves, rows, columns)]
            with torch.enable_grad():
                sums = list(map(_added, pieces[4::2], pieces[5::2]))
                share = _share(value, _tile(rows, columns, pieces), sums)
            total += share.detach()
            found = torch.autograd.grad(share, pieces, allow_unused=True)
            for n, slope in enumerate(found):
                if slope is not None:
                    whole = slopes[n // 2]
                    whole = slopes[n // 2] = torch.zeros_like(leaves[n // 2]) if whole is None else whole
                    whole[columns if n % 2 else rows] += slope
        ctx.slopes = slopes
        return total

    @staticmethod
    def backward(ctx: Any, *scales: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return None, *(None if slope is None else scales[0] * slope for slope in ctx.slopes)


def _cuts(K: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the tiles."""
    size = max(int(ENTRIES**0.5), 1)
    starts = range(0, K, size)
    return (
        (slice(row, min(row + size, K)), slice(column, min(column + size, K)))
        for row in starts
        for column in starts
        if column >= row
    )


def _cut(leaves: tuple[Tensor, ...], rows: slice, columns: slice) -> list[Tensor]:
    """Of each the part for the rows and the part for the columns, one after the other."""
    return [leaf[part] for leaf in leaves for part in (rows, columns)]


def _tile(rows: slice, columns: slice, pieces: list[Tensor]) -> PairTile:
    first, second, *lengths = pieces[:4]
    return PairTile(first, second, _added(*lengths), (rows.start, columns.start))


def _share(value: Value, tile: PairTile, sums: list[Tensor]) -> Tensor:
    """What the pairs of one tile add."""
    return value(tile, *sums).triu(tile.diagonal).sum()


def _added(first: Float64[Tensor, " T"], second: Float64[Tensor, " C"]) -> Float64[Tensor, "T C"]:
    return first[:, None] + second


def _squares_of_differences(first: Tensor, second: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """|first_i - second_j|^2 for pairs of rows, some at a time; the gradient subtracts them once more."""
    size = max(ENTRIES // max(first.shape[1], 1), 1)
    parts = zip(i.split(size), j.split(size), strict=True)
    return torch.cat([_recomputed(partial(_square_of_difference, *part), first, second) for part in parts])


def _square_of_difference(i: Tensor, j: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return (first[i] - second[j]).square().sum(1)


def _recomputed(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """What the function gives; what is in between is computed again for a gradient instead of kept."""
    result = checkpoint(function, *tensors, use_reentrant=False, preserve_rng_state=False)
    assert isinstance(result, Tensor)
    return result
