"""What a metric is, and the table that every command, document and test reads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from maxsup_analysis.representation import Representation
from maxsup_analysis.table import Table
from maxsup_analysis.tile import Tile

Subset = Literal["all", "correct", "wrong"]
Need = Literal[
    "span", "direction_span", "scatter", "features", "nearest", "temperature", "power", "clear means"
]
Matrix = Literal["covariance", "second moment"]
Contributions = Callable[[Tile], Tensor]
SUBSETS: dict[Subset, str] = {
    "all": "samples",
    "correct": "correctly classified samples",
    "wrong": "wrongly classified samples",
}
METRICS: "Table[Metric]" = Table("metric")
# What is fitted to logits; all else that metrics need is made of features.
FITTED: tuple[Need, ...] = ("temperature", "power")
MOST_TOTALS = 64  # of a metric whose contributions are kept


@dataclass(frozen=True)
class Metric:
    """A number about a representation, and what a reader must know of it.

    name: the id in commands, files and tables.
    label: a few words for tables and axes.
    formula: in Typst's notation for mathematics, which also reads as plain text.
    collapsed: its value at exact neural collapse on a simplex; None where collapse does not settle it.
    source: where it was published.
    summary: what the number means.
    convention: which of the published variants this is.
    standard: whether it is measured unless other groups are asked for.
    differs: how it differs from its variants, in a few words; empty where there are none.
    needs: what has to be summed or fitted before it; for a standard error, class means that are clear of noise.
    subset: the samples that it is about.
    skewed: whether it is positive and varies in proportion to its size, so that its interval is that of its logarithm.
    """

    name: str
    label: str
    formula: str
    source: str
    collapsed: float | None
    summary: str
    convention: str
    family: str
    standard: bool
    differs: str
    needs: tuple[Need, ...]
    subset: Subset
    skewed: bool

    @property
    def is_geometric(self) -> bool:
        """Whether it looks at the features of single samples, not at their logits alone."""
        return "features" in self.needs

    @property
    def is_of_logits(self) -> bool:
        """Whether logits and labels are all that it looks at."""
        return False


@dataclass(frozen=True)
class MomentMetric(Metric):
    """A differentiable function of the moments and the head.

    size: of what it subtracts from one another, where that is not what its derivatives say.
    kinked: whether it is a length or a spread, which has no derivative at 0.
    """

    value: Callable[[Representation], Tensor]
    size: Callable[[Representation], Tensor] | None = None
    kinked: bool = False


@dataclass(frozen=True)
class SeenFrom:
    """What contributions of samples are seen from: a distance from a class mean, or the cosine to a mean direction.

    mean: of the own class, or of the one that a sample is taken for. by: the samples that see it.
    """

    mean: Literal["own", "predicted", "own direction"]
    by: Subset


@dataclass(frozen=True)
class SampleMetric(Metric):
    """A differentiable function of P totals over samples.

    totals: what the samples of a tile add to the totals.
    shares: for each sample of a tile, its contributions times the gradient with respect to the totals.
    combine: totals -> the value.
    columns: the contributions themselves, B x P, where there are few enough to keep them for all samples.
    width: P, at most.
    seen_from: the class means that the first contribution of each sample changes with, where it does.
    """

    totals: Callable[[Tile], Tensor]
    shares: Callable[[Tile, Tensor], Tensor]
    combine: Callable[[Tensor], Tensor]
    columns: Contributions | None = None
    width: int = MOST_TOTALS
    seen_from: SeenFrom | None = None

    @property
    def is_of_logits(self) -> bool:
        """Whether logits and labels are all that it looks at."""
        return set(self.needs) <= set(FITTED)


@dataclass(frozen=True)
class QuotientMetric(Metric):
    """A metric of samples in units of a function of the moments, such as their mean distance.

    dividend: what is divided, described as this metric is. divisor: the unit, whose noise counts in the standard
        error too.
    """

    dividend: SampleMetric
    divisor: MomentMetric


@dataclass(frozen=True)
class OrderMetric(Metric):
    """A function of all samples at once, such as one of their order, differentiable in their weights.

    columns: a tile -> B x C numbers, which are kept in memory for all N samples.
    value: (columns N x C, weights N, all of them 1) -> the value.
    """

    columns: Callable[[Tile], Tensor]
    value: Callable[[Tensor, Tensor], Tensor]

    @property
    def is_of_logits(self) -> bool:
        """Whether logits and labels are all that it looks at."""
        return set(self.needs) <= set(FITTED)


@dataclass(frozen=True)
class SpectralMetric(Metric):
    """A differentiable function of the eigenvalues of a D x D matrix, in descending order.

    Of the covariance the min(N - 1, D) largest, of the second moment min(N, D); the others are zero.

    matrix: "covariance" is 1/N sum_i (h_i - mean)(h_i - mean)^T over all samples; "second moment" is
        1/N sum_i h_i h_i^T, not centred.
    """

    matrix: Matrix
    value: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ClassMetric(Metric):
    """A differentiable function of the eigenvalues of a matrix of one class, averaged over classes.

    The eigenvalues descend: of the covariance the min(n - 1, D) largest, of the second moment min(n, D).

    matrix: that of SpectralMetric, over the first n samples of the class, with n at most 512.
    """

    matrix: Matrix
    value: Callable[[Tensor], Tensor]
