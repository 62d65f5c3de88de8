"""Variance within and between classes, and how wide classes are for their distance."""

import torch
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.entry import moment_metric
from maxsup_analysis.metrics.variation.classes import (
    NEGLIGIBLE,
    NO_PAIR,
    require_no_pair,
    require_two_classes,
    two_with_pairs,
)
from maxsup_analysis.pairs import PairTile, mean_over_pairs
from maxsup_analysis.representation import Representation

GALANTI = "Galanti et al. 2021 (arXiv 2112.15121)"
TRACES = "the traces of Papyan, Han & Donoho 2020 (arXiv 2008.08186)"


@moment_metric(
    label="CDNV",
    formula="1/binom(K, 2) sum_(k < l) (v_k + v_l) / (2 norm(mu_k - mu_l)^2)",
    source=GALANTI,
    collapsed=0.0,
    standard=True,
    differs="variances and distances as they are",
    over=("all", "correct", "wrong"),
    skewed=True,
)
def cdnv(representation: Representation) -> Tensor:
    """Class-distance normalised variance: how wide two classes are for their distance, averaged over pairs.

    v_k is the mean squared distance of class k from its mean (division by n_k). Unordered pairs of different
    classes; features are neither centred nor scaled.
    """
    require_two_classes(representation)
    classes = representation.classes
    variances, means = classes.spreads / classes.counts, classes.centred_means
    names = _names(representation, torch.ones_like(classes.counts) > 0)
    # 2 / (K - 1) sum_k |m_k|^2 is the mean squared distance of two means.
    scale = (2 * means.square().sum() / (len(means) - 1) + variances.mean()).item()
    least = NEGLIGIBLE * scale if scale < torch.inf else -torch.inf

    def widths(tile: PairTile, variances: Tensor) -> Tensor:
        require_no_pair(tile, tile.squares <= least, names, "coincide")
        return variances / (2 * tile.squares)

    return mean_over_pairs(widths, classes.pairs, variances)


@moment_metric(
    label="CDNV, unbiased",
    formula="1/binom(K, 2) sum_(k < l) (v'_k + v'_l) / (2 (norm(mu_k - mu_l)^2 - v'_k/n_k - v'_l/n_l))",
    source=f"{GALANTI}, with unbiased variances and squared distances",
    collapsed=0.0,
    differs="variances with n - 1, distances less the noise of the means",
    needs=("clear means",),
)
def cdnv_unbiased(representation: Representation) -> Tensor:
    """How wide two classes are for their distance, each estimated without bias, averaged over pairs.

    v'_k is the sum of squared distances from the mean over n_k - 1; of the squared distance of two means what
    their noise adds to it is taken off. A ratio of unbiased numbers is less biased, not unbiased. Undefined
    where a pair of means is no farther apart than noise. Classes with one sample are left out.
    """
    require_two_classes(representation)
    chosen = representation.classes.counts > 1
    classes = two_with_pairs(representation.classes)
    variances = classes.spreads / (classes.counts - 1)
    names = _names(representation, chosen)

    def widths(tile: PairTile, variances: Tensor, noise: Tensor) -> Tensor:
        squares = (tile.squares - noise).where(tile.distinct, 1)
        require_no_pair(tile, squares <= 0, names, "are no farther apart than their sampling noise")
        return variances / (2 * squares)

    return mean_over_pairs(widths, classes.pairs, variances, variances / classes.counts)


@moment_metric(
    label="tr S_W",
    formula="1/N sum_i norm(h_i - mu_k)^2",
    source=TRACES,
    collapsed=0.0,
    differs="division by N",
    skewed=True,
)
def within_variance(representation: Representation) -> Tensor:
    """Mean squared distance of a sample from the mean of its class.

    Samples weigh equally; features are not scaled, so compare only models of one architecture, or look at
    ratios. Biased by about -1/n_k of itself.
    """
    classes = representation.classes
    return classes.spreads.sum() / classes.counts.sum()


@moment_metric(
    label="tr S_W, unbiased",
    formula="1/(N - K) sum_i norm(h_i - mu_k)^2",
    source="the pooled variance of the analysis of variance",
    collapsed=0.0,
    differs="division by N - K",
    skewed=True,
)
def within_variance_unbiased(representation: Representation) -> Tensor:
    """Mean squared distance of a sample from the mean of its class, whatever the number of samples a class.

    Pooled over classes, division by N - K: unbiased where all classes vary alike, or have equally many
    samples. Classes with one sample add nothing to either side.
    """
    classes = representation.classes
    freedom = classes.counts.sum() - len(classes.counts)
    if freedom < 0.5:
        raise Undefined(NO_PAIR)
    return classes.spreads.sum() / freedom


@moment_metric(
    label="tr S_B",
    formula="1/K sum_k norm(mu_k - mu_G)^2",
    source=TRACES,
    collapsed=None,
    differs="the noise of the means included",
    skewed=True,
)
def between_variance(representation: Representation) -> Tensor:
    """Mean squared distance of a class mean from the average of class means.

    Classes weigh equally, in mu_G too; features are not scaled. 0 when all class means coincide; the noise of
    the means adds about tr(S_W) / n_k. Its value at collapse is the scale of the features.
    """
    require_two_classes(representation)
    return representation.classes.centred_means.square().sum(1).mean()


@moment_metric(
    label="tr S_B, unbiased",
    formula="1/K sum_k norm(mu_k - mu_G)^2 - (1 - 1/K) 1/K sum_k v'_k / n_k",
    source="tr S_B less the noise of the class means",
    collapsed=None,
    differs="less the noise of the means",
)
def between_variance_unbiased(representation: Representation) -> Tensor:
    """Mean squared distance of a class mean from the average of class means, without what noise adds.

    v'_k is the variance of class k with division by n_k - 1. Below 0 where class means are closer than noise
    alone puts them, as half of the time when classes are alike. Classes with one sample are left out
    altogether.
    """
    require_two_classes(representation)
    classes = two_with_pairs(representation.classes)
    noise = classes.spreads / ((classes.counts - 1) * classes.counts)
    return classes.centred_means.square().sum(1).mean() - (1 - 1 / len(noise)) * noise.mean()


def _names(representation: Representation, chosen: Tensor) -> list[str]:
    """The names of some of the classes that have samples."""
    return [representation.class_names[k] for k in representation.occupied[chosen]]
