"""Metrics of gaps between probabilities and what came true, summed in bins of probability."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.lazy import lazy
from maxsup_analysis.metrics.entry import Entry, described_by, enter_metric
from maxsup_analysis.metrics.metric import SampleMetric
from maxsup_analysis.ties import TIED
from maxsup_analysis.tile import Tile

BINS = 15
# What rounding puts above an edge, such as a probability of 1/5 that five logits share, is on it.
EDGES = torch.arange(1, BINS, dtype=torch.float64) / BINS * (1 + TIED)


@dataclass(frozen=True)
class Gaps:
    """How far probabilities exceed what came true, one for each class; each column has bins of its own.

    Of many classes most probabilities are in the first bin, which is therefore summed as a whole.
    """

    values: Float64[Tensor, "B K"]
    probabilities: Float64[Tensor, "B K"]

    @property
    def totals(self) -> Float64[Tensor, " P"]:
        """The sum of the gaps in each bin of each column, and the number of samples."""
        places, bins = self._above
        values = self.values.flatten()
        first = values.index_fill(0, places, 0).view(self.values.shape).sum(0)
        sums = torch.nn.functional.pad(first[:, None], (0, BINS - 1)).flatten()
        sums.index_add_(0, bins, values[places])
        return torch.cat([sums, torch.tensor([len(self.values)], dtype=torch.float64)])

    def shares(self, gradient: Float64[Tensor, " P"]) -> Float64[Tensor, " B"]:
        """What each sample adds to them, times the gradient."""
        places, bins = self._above
        values, K = self.values.flatten(), self.values.shape[1]
        of_first = values.index_fill(0, places, 0).view(self.values.shape) @ gradient[:-1:BINS]
        return of_first.index_add_(0, places // K, values[places] * gradient[bins]) + gradient[-1]

    @lazy
    def _above(self) -> tuple[Int64[Tensor, " A"], Int64[Tensor, " A"]]:
        """The places of the probabilities above the first bin, and the numbers of their bins among all."""
        places = torch.from_numpy(np.flatnonzero((self.probabilities > EDGES[0]).numpy()))
        columns = places % self.probabilities.shape[1]
        return places, columns * BINS + bin_of(self.probabilities.flatten()[places])


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
        enter_metric(SampleMetric(**described_by(gaps, entry), totals=totals, shares=shares, combine=combine))
        return gaps

    return enter


def in_bins(gaps: Float64[Tensor, " B"], probabilities: Float64[Tensor, " B"]) -> Float64[Tensor, "B P"]:
    """What each sample adds to the sum of the gaps in each bin of its probability, and to the number of samples."""
    added = torch.zeros(len(gaps), BINS + 1, dtype=torch.float64)
    added[:, -1] = 1
    return added.scatter_(1, bin_of(probabilities)[:, None], gaps[:, None])


def bin_of(probabilities: Tensor) -> Tensor:
    """The number of the bin that each is in: 15 of equal width, (a, b], but 0 is in the first.

    Example:
        >>> bin_of(torch.tensor([0.0, 0.2, 0.21, 1.0], dtype=torch.float64))
        tensor([ 0,  2,  3, 14])
    """
    return torch.bucketize(probabilities, EDGES)


def sample_count(totals: Float64[Tensor, " P"]) -> Tensor:
    """The last total; raises Undefined where it is 0."""
    if totals[-1] == 0:
        raise Undefined("there are no samples")
    return totals[-1]


def _totals(tile: Tile, gaps: Callable[[Tile], Gaps]) -> Tensor:
    return tile.once(gaps).totals


def _shares(tile: Tile, gradient: Tensor, gaps: Callable[[Tile], Gaps]) -> Tensor:
    return tile.once(gaps).shares(gradient)
