"""Metrics of gaps between probabilities and what came true, summed in bins of probability."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.metric import Entry, SampleMetric, _described, _enter
from maxsup_analysis.tile import Tile

BINS = 15


@dataclass(frozen=True)
class Gaps:
    """How far probabilities exceed what came true, C of them a sample, each in one of the bins of its own total."""

    values: Float64[Tensor, "B C"]
    bins: Int64[Tensor, "B C"]
    size: int

    @property
    def totals(self) -> Float64[Tensor, " P"]:
        """The sum of the gaps in each bin, and the number of samples."""
        sums = torch.zeros(self.size + 1, dtype=torch.float64)
        sums.index_add_(0, self.bins.flatten(), self.values.flatten())
        sums[-1] = len(self.values)
        return sums

    def shares(self, gradient: Float64[Tensor, " P"]) -> Float64[Tensor, " B"]:
        """What each sample adds to them, times the gradient."""
        return (self.values * gradient[self.bins]).sum(1) + gradient[-1]


def binned_metric(
    combine: Callable[[Tensor], Tensor],
    *,
    label: str,
    formula: str,
    source: str,
    collapsed: float | None,
    standard: bool = False,
    differs: str = "",
) -> Callable[[Callable[[Tile], Gaps]], Callable[[Tile], Gaps]]:
    """Enter a metric that `combine` makes of the sums of gaps in bins and the number of samples."""
    entry = Entry(label, formula, source, collapsed, standard, differs)

    def enter(gaps: Callable[[Tile], Gaps]) -> Callable[[Tile], Gaps]:
        totals, shares = partial(_totals, gaps=gaps), partial(_shares, gaps=gaps)
        _enter(SampleMetric(**_described(gaps, entry), totals=totals, shares=shares, combine=combine))
        return gaps

    return enter


def bin_of(probabilities: Tensor) -> Tensor:
    """The number of the bin that each is in: 15 of equal width, (a, b], but 0 is in the first.

    Example:
        >>> bin_of(torch.tensor([0.0, 0.2, 0.21, 1.0], dtype=torch.float64))
        tensor([ 0,  2,  3, 14])
    """
    return torch.bucketize(probabilities, torch.arange(1, BINS, dtype=torch.float64) / BINS)


def sample_count(totals: Float64[Tensor, " P"]) -> Tensor:
    """The last total; raises Undefined where it is 0."""
    if totals[-1] == 0:
        raise Undefined("there are no samples")
    return totals[-1]


def _totals(tile: Tile, gaps: Callable[[Tile], Gaps]) -> Tensor:
    return tile.once(gaps).totals


def _shares(tile: Tile, gradient: Tensor, gaps: Callable[[Tile], Gaps]) -> Tensor:
    return tile.once(gaps).shares(gradient)
