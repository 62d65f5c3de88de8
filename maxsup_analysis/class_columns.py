"""Numbers of every sample, and their mean and spread in each class, as values that add."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.binned import BINS, bin_of
from maxsup_analysis.metrics.logits import (
    logit_error_amplification,
    logit_maxsup_penalty,
    logit_regularisation,
)
from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import Rows
from maxsup_analysis.tile import Tile

# What is known of a sample that has logits, in this order.
OF_LOGITS = (
    "confidence",
    "accuracy",
    "logit_regularisation",
    "logit_error_amplification",
    "logit_maxsup_penalty",
)


@dataclass(frozen=True)
class Columns:
    """Count, mean and sum of squared deviations of C numbers in each of K classes."""

    counts: Float64[Tensor, " K"]
    means: Float64[Tensor, "K C"]
    squares: Float64[Tensor, "K C"]

    @classmethod
    def of(cls, numbers: Float64[Tensor, "B C"], labels: Int64[Tensor, " B"], classes: int) -> "Columns":
        """Those of some samples."""
        none = torch.zeros(classes, numbers.shape[1], dtype=torch.float64)
        counts = torch.bincount(labels, minlength=classes).double()
        means = none.index_add(0, labels, numbers) / counts.clamp(min=1)[:, None]
        return cls(counts, means, none.index_add(0, labels, (numbers - means[labels]).square()))

    def __add__(self, other: "Columns") -> "Columns":
        """Chan, Golub & LeVeque 1979: the squares grow by the gap between the two means."""
        counts = self.counts + other.counts
        share, gap = (other.counts / counts.clamp(min=1))[:, None], other.means - self.means
        squares = self.squares + other.squares + gap.square() * share * self.counts[:, None]
        return Columns(counts, self.means + gap * share, squares)

    @property
    def errors(self) -> Float64[Tensor, "K C"]:
        """The standard error of each mean; NaN where a class has fewer than two samples."""
        n = self.counts[:, None]
        return torch.where(n > 1, (self.squares / (n * (n - 1))).sqrt(), torch.nan)

    def select(self, chosen: Tensor) -> "Columns":
        """Some of the classes."""
        return Columns(self.counts[chosen], self.means[chosen], self.squares[chosen])


@dataclass(frozen=True)
class ClassColumns:
    """What is summed by class.

    samples: the squared distance from the class mean, and the columns OF_LOGITS.
    directions: the squared distance of the direction from the mean direction, of samples that have one.
    gaps: in each bin of confidence, by how much confidences exceed hits in sum.
    """

    samples: Columns
    directions: Columns
    gaps: Float64[Tensor, "K T"]

    def __add__(self, other: "ClassColumns") -> "ClassColumns":
        return ClassColumns(
            self.samples + other.samples, self.directions + other.directions, self.gaps + other.gaps
        )

    def select(self, chosen: Tensor) -> "ClassColumns":
        """Some of the classes."""
        return ClassColumns(self.samples.select(chosen), self.directions.select(chosen), self.gaps[chosen])


def class_columns(rows: Rows, representation: Representation, classes: int) -> ClassColumns:
    """Those of a block."""
    tiles = [Tile(part, representation) for part in rows.tiles()]
    squares = torch.cat([tile.squares for tile in tiles])
    directed = torch.cat([tile.has_direction for tile in tiles])
    direction_squares = torch.cat([tile.direction_squares for tile in tiles])
    of_logits = torch.cat([logit_columns(tile) for tile in tiles])
    samples = Columns.of(torch.cat([squares[:, None], of_logits], 1), rows.labels, classes)
    directions = Columns.of(direction_squares[directed, None], rows.labels[directed], classes)
    return ClassColumns(samples, directions, _gaps(of_logits, rows.labels, classes))


def logit_columns(tile: Tile) -> Float64[Tensor, "B C"]:
    """The columns OF_LOGITS of a tile; NaN where there are no logits."""
    try:
        confidences = tile.confidences
    except Undefined:
        return torch.full((len(tile), len(OF_LOGITS)), torch.nan, dtype=torch.float64)
    halves = logit_regularisation(tile), logit_error_amplification(tile)
    return torch.stack([confidences, tile.correct, *halves, logit_maxsup_penalty(tile)], 1)


def _gaps(
    of_logits: Float64[Tensor, "B C"], labels: Int64[Tensor, " B"], classes: int
) -> Float64[Tensor, "K T"]:
    """Sums of confidence minus hits by class and bin, closed on the right as in the metric `ece`."""
    confidence, hits = of_logits[:, 0].contiguous(), of_logits[:, 1]
    places = labels * BINS + bin_of(confidence)
    sums = torch.zeros(classes * BINS, dtype=torch.float64).index_add_(0, places, confidence - hits)
    return sums.view(classes, BINS)
