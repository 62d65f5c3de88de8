"""How often the classifier is right, and how well it knows: as it is, and at the temperature that suits it best."""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.metrics.binned import BINS, Gaps, bin_of, binned_metric, in_bins, sample_count
from maxsup_analysis.metrics.entry import mean_metric, order_metric, total_metric
from maxsup_analysis.metrics.tempered import GUO, also_at_temperature
from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import Rows
from maxsup_analysis.surroundings import undisturbed
from maxsup_analysis.ties import tied_groups
from maxsup_analysis.tile import Tile


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: what 15 bins of confidence, (a, b] of equal width, hold.

    hits: the number of correct predictions.
    """

    counts: Float64[Tensor, " 15"]
    confidence_sums: Float64[Tensor, " 15"]
    hits: Float64[Tensor, " 15"]

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(
            self.counts + other.counts,
            self.confidence_sums + other.confidence_sums,
            self.hits + other.hits,
        )

    @property
    def confidences(self) -> Float64[Tensor, " 15"]:
        """The mean confidence of each bin; NaN where it is empty."""
        return self.confidence_sums / self.counts

    @property
    def accuracies(self) -> Float64[Tensor, " 15"]:
        """The accuracy of each bin; NaN where it is empty."""
        return self.hits / self.counts


@undisturbed()
def reliability(representation: Representation, *, at_temperature: bool = False) -> Reliability:
    """The reliability diagram of all samples; at the temperature, of those that it was not fitted on.

    One sweep over the rows. Raises Undefined where there are no logits, or no temperature.
    """
    total = representation.blocks.total(
        partial(_reliability, representation=representation.summary, at_temperature=at_temperature)
    )
    assert total is not None, "a representation has rows"
    return total


@mean_metric(
    label="accuracy",
    formula="1/N sum_i [argmax_k z_(i k) = y_i]",
    source="standard",
    collapsed=1.0,
    standard=True,
)
def accuracy(tile: Tile) -> Float64[Tensor, " B"]:
    """Share of samples whose largest logit is that of their label.

    Of several equal largest logits the first counts.
    """
    return tile.correct


@also_at_temperature
@mean_metric(
    label="negative log-likelihood",
    formula="-1/N sum_i ln q_(i,y_i)",
    source="standard",
    collapsed=None,
    standard=True,
    skewed=True,
)
def nll(tile: Tile) -> Float64[Tensor, " B"]:
    """Mean surprise at the true label.

    Natural logarithm, hard labels whatever the loss the classifier was trained with.
    """
    return -tile.true_log_probabilities


def _mean_absolute(totals: Float64[Tensor, " P"]) -> Tensor:
    return totals[:-1].abs().sum() / sample_count(totals)


@also_at_temperature
@total_metric(
    _mean_absolute,
    label="expected calibration error",
    formula="sum_b n_b/N abs(acc_b - conf_b)",
    source=GUO,
    collapsed=None,
    standard=True,
    differs="top class, bins of equal width",
    width=BINS + 1,
)
def ece(tile: Tile) -> Float64[Tensor, "B P"]:
    """How far confidence and accuracy lie apart, on average over bins of confidence.

    Top-1 confidence, 15 bins of equal width, closed on the right: (a, b]; confidences of exactly 0 and 1
    belong to the first and the last. All samples at once, never averaged over batches.
    """
    return in_bins(tile.confidences - tile.correct, tile.confidences)


@also_at_temperature
@mean_metric(
    label="Brier score",
    formula="1/N sum_i sum_k (q_(i k) - [y_i = k])^2",
    source="Brier 1950",
    collapsed=None,
    skewed=True,
)
def brier(tile: Tile) -> Float64[Tensor, " B"]:
    """Squared distance between the probabilities and the label's one-hot vector, averaged over samples.

    The sum over classes; others take their mean, which is K times smaller, or half the sum. From 0 to 2.
    """
    return torch.linalg.vector_norm(tile.probability_gaps, dim=1).square_()


@also_at_temperature
@mean_metric(
    label="confidence minus accuracy",
    formula="1/N sum_i (conf_i - [hat(y)_i = y_i])",
    source="standard",
    collapsed=None,
)
def confidence_gap(tile: Tile) -> Float64[Tensor, " B"]:
    """By how much the mean confidence exceeds the accuracy: above 0 over-confident, below 0 under-confident.

    Top-1 confidence, no bins: over_confidence minus under_confidence. From -1 to 1.
    """
    return tile.confidences - tile.correct


def _mean_positive(totals: Float64[Tensor, " P"]) -> Tensor:
    return totals[:-1].relu().sum() / sample_count(totals)


def _mean_negative(totals: Float64[Tensor, " P"]) -> Tensor:
    return (-totals[:-1]).relu().sum() / sample_count(totals)


@also_at_temperature
@total_metric(
    _mean_positive,
    label="over-confidence",
    formula="sum_b n_b/N max(conf_b - acc_b, 0)",
    source="the bins of the expected calibration error where confidence exceeds accuracy",
    collapsed=None,
    differs="weighted by samples, not by confidence",
    width=BINS + 1,
    skewed=True,
)
def over_confidence(tile: Tile) -> Float64[Tensor, "B P"]:
    """How far confidence exceeds accuracy, over the bins of confidence where it does.

    The bins of ece, weighted by their share of all samples: it and under_confidence add up to ece. Others divide by
    the samples in such bins, or weigh by confidence too. From 0 to 1.
    """
    return tile.once(ece)


@also_at_temperature
@total_metric(
    _mean_negative,
    label="under-confidence",
    formula="sum_b n_b/N max(acc_b - conf_b, 0)",
    source="the bins of the expected calibration error where accuracy exceeds confidence",
    collapsed=None,
    differs="weighted by samples",
    width=BINS + 1,
    skewed=True,
)
def under_confidence(tile: Tile) -> Float64[Tensor, "B P"]:
    """How far accuracy exceeds confidence, over the bins of confidence where it does.

    The bins of ece, weighted by their share of all samples: it and over_confidence add up to ece. From 0 to 1.
    """
    return tile.once(ece)


def _mean_over_classes(totals: Float64[Tensor, " P"]) -> Tensor:
    return _mean_absolute(totals) / ((len(totals) - 1) // BINS)


@also_at_temperature
@binned_metric(
    _mean_over_classes,
    label="classwise calibration error",
    formula="1/K sum_k sum_b n_(b k)/N abs(1/n_(b k) sum_(i in b) (q_(i k) - [y_i = k]))",
    source="Kull et al. 2019 (arXiv 1910.12656); Nixon et al. 2019 (arXiv 1904.01685)",
    collapsed=None,
    differs="every class, bins of equal width",
)
def classwise_ece(tile: Tile) -> Gaps:
    """How far the probability of a class and its frequency lie apart, averaged over bins of probability and classes.

    For each class the 15 bins of ece, of the probability of that class over all samples. The mean over all K classes,
    with or without samples of theirs; others sum over classes, or drop small probabilities. With many classes most
    probabilities are near 0 and so is the mean.
    """
    return Gaps(tile.probability_gaps, tile.probabilities)


def _equal_mass(columns: Float64[Tensor, "N 2"], weights: Float64[Tensor, " N"]) -> Float64[Tensor, ""]:
    """Sum over bins of |sum of gaps| / N, the bins holding exactly N/15 each, of columns (confidence, hit)."""
    confidences, order = columns[:, 0].sort()
    place, sizes = tied_groups(confidences)
    gaps = (weights * (columns[:, 0] - columns[:, 1]))[order]
    groups = torch.zeros(len(sizes), dtype=torch.float64).index_add(0, place, gaps)
    edges, ranks = torch.arange(1, BINS, dtype=torch.float64) / BINS * len(columns), sizes.cumsum(0)
    # The group of equal confidences that an edge cuts gives each side its share.
    cut = torch.searchsorted(ranks, edges)
    share_above = (ranks[cut] - edges) / sizes[cut]
    below = groups.cumsum(0)[cut] - share_above * groups[cut]
    ends = torch.cat([torch.zeros(1, dtype=torch.float64), below, groups.sum()[None]])
    return ends.diff().abs().sum() / weights.sum()


@also_at_temperature
@order_metric(
    _equal_mass,
    label="adaptive calibration error",
    formula="1/15 sum_b abs(acc_b - conf_b)",
    source="Nixon et al. 2019 (arXiv 1904.01685); Nguyen & O'Connor 2015 (arXiv 1508.05154)",
    collapsed=None,
    differs="top class, bins of equal mass",
)
def adaptive_ece(tile: Tile) -> Float64[Tensor, "B 2"]:
    """How far confidence and accuracy lie apart, on average over bins that hold equally many samples.

    Top-1 confidence in ascending order, cut into 15 bins that hold N/15 samples exactly: a sample on an edge counts in
    part on either side, and samples of equal confidence, which have no order, in equal parts. Others interpolate edges
    or give the remainder to the first bins; Nixon et al. average over all classes. The standard error takes the edges
    as given.
    """
    return torch.stack([tile.confidences, tile.correct], 1)


def _reliability(rows: Rows, representation: Representation, at_temperature: bool) -> Reliability:
    total = Reliability(*torch.zeros(3, BINS, dtype=torch.float64))
    for part in rows.tiles(wide=False):
        tile = Tile(part, representation)
        seen = tile.at_temperature if at_temperature else tile
        bins, confidences = bin_of(seen.confidences), seen.confidences
        total += Reliability(
            *(
                torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, values)
                for values in (torch.ones_like(confidences), confidences, seen.correct)
            )
        )
    return total
