"""Cosine distance between samples, within classes and in all: the measures of the MaxSup paper."""

from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.entry import moment_metric
from maxsup_analysis.metrics.variation.classes import require_two_classes, two_with_pairs, with_pairs
from maxsup_analysis.moments import ClusterMoments
from maxsup_analysis.representation import Representation

KORNBLITH = "Kornblith et al. 2021 (arXiv 2010.16402), Eq. 11; MaxSup Tables 2 and 14"
ONE_DIRECTION = "all features point in one direction, so there is no distance to share out"


@moment_metric(
    label="intra-class variation",
    formula="d_w = 1/K sum_k 1/n_k^2 sum_(i,j in k) (1 - cos(h_i, h_j))",
    source=KORNBLITH,
    collapsed=0.0,
    standard=True,
    differs="a sample with itself included",
    over=("all", "correct", "wrong"),
)
def d_within(representation: Representation) -> Tensor:
    """Mean cosine distance between two samples of one class, averaged over classes.

    All ordered pairs, each sample with itself included; classes weigh equally; features are not centred.
    0 when every class is one direction, towards 1 when its directions cancel. Biased by about
    -d_w / n_k: compare only at equal samples a class, or use d_within_unbiased.
    """
    directions = representation.directions
    return (directions.spreads / directions.counts).mean()


@moment_metric(
    label="intra-class variation, unbiased",
    formula="d'_w = 1/K sum_k 1/(n_k (n_k - 1)) sum_(i != j in k) (1 - cos(h_i, h_j))",
    source="d_within with the pairs of a sample with itself left out: a U-statistic",
    collapsed=0.0,
    standard=True,
    differs="a sample with itself left out",
    over=("all", "correct", "wrong"),
)
def d_within_unbiased(representation: Representation) -> Tensor:
    """Mean cosine distance between two different samples of one class, averaged over classes.

    Its expectation does not depend on the number of samples a class. Classes with one sample have no pair
    and are left out of the average.
    """
    paired = with_pairs(representation.directions)
    return (paired.spreads / (paired.counts - 1)).mean()


@moment_metric(
    label="total variation",
    formula="d_t = 1/K^2 sum_(k,l) 1/(n_k n_l) sum_(i in k, j in l) (1 - cos(h_i, h_j))",
    source=KORNBLITH,
    collapsed=1.0,
    standard=True,
    differs="a sample with itself included",
)
def d_total(representation: Representation) -> Tensor:
    """Mean cosine distance between two samples of any classes.

    Every pair of classes weighs equally, a class with itself and a sample with itself included; features
    are not centred. 1 when the class directions cancel, as they do at collapse.
    """
    return d_within(representation) + _gap(representation.directions)


@moment_metric(
    label="total variation, unbiased",
    formula="d'_t = 1/K^2 (sum_k d'_(k k) + sum_(k != l) 1/(n_k n_l) sum_(i in k, j in l) (1 - cos(h_i, h_j)))",
    source="d_total with the pairs of a sample with itself left out: a U-statistic",
    collapsed=1.0,
    differs="a sample with itself left out",
)
def d_total_unbiased(representation: Representation) -> Tensor:
    """Mean cosine distance between two different samples of any classes.

    Every pair of classes weighs equally, a class with itself included, a sample with itself left out: d'_(k k)
    is the mean over the n_k (n_k - 1) other pairs of class k. Its expectation does not depend on the number of
    samples a class. Classes with one sample are left out altogether.
    """
    paired = with_pairs(representation.directions)
    return (paired.spreads / (paired.counts - 1)).mean() + _unbiased_gap(paired)


@moment_metric(
    label="class separation",
    formula="R^2 = 1 - d_w / d_t",
    source=KORNBLITH,
    collapsed=1.0,
    standard=True,
    differs="a sample with itself included",
    over=("all", "correct", "wrong"),
)
def class_separation(representation: Representation) -> Tensor:
    """Share of the cosine distance between samples that lies between classes.

    The inter-class separability of the MaxSup paper. 0 when classes are alike, 1 when each class is one
    direction of its own.
    """
    require_two_classes(representation)
    between = _gap(representation.directions)
    total = d_within(representation) + between
    if total == 0:
        raise Undefined(ONE_DIRECTION)
    return between / total


@moment_metric(
    label="class separation, unbiased",
    formula="R'^2 = 1 - d'_w / d'_t",
    source="class_separation with the pairs of a sample with itself left out",
    collapsed=1.0,
    differs="a sample with itself left out",
)
def class_separation_unbiased(representation: Representation) -> Tensor:
    """Share of the cosine distance between different samples that lies between classes.

    A ratio of two unbiased numbers: 0 on average when classes are alike, and then as often below 0 as above,
    where class_separation is about 1/n_k. Classes with one sample are left out altogether.
    """
    require_two_classes(representation)
    paired = two_with_pairs(representation.directions)
    between = _unbiased_gap(paired)
    total = (paired.spreads / (paired.counts - 1)).mean() + between
    if total <= 0:
        raise Undefined(ONE_DIRECTION)
    return between / total


def _gap(directions: ClusterMoments) -> Tensor:
    """Mean squared distance of the class directions from their average: d_total - d_within.

    Never 1 - |mean|^2: directions that share an offset would lose their digits to the subtraction.
    """
    return directions.centred_means.square().sum(1).mean()


def _unbiased_gap(directions: ClusterMoments) -> Tensor:
    """The same less what the noise of the class directions adds to it: d'_total - d'_within."""
    noise = directions.spreads / (directions.counts * (directions.counts - 1))
    return _gap(directions) - (1 - 1 / len(noise)) * noise.mean()
