"""Variation within classes and separation between them: the cosine measures and their Euclidean kin."""

import torch
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.metric import moment_metric
from maxsup_analysis.representation import Representation

# Squared distances below this share of the features' own variance are rounding, not distance.
NEGLIGIBLE = 1e-28

KORNBLITH = "Kornblith et al. 2021 (arXiv 2010.16402), Eq. 11; MaxSup Tables 2 and 14"


@moment_metric(
    label="intra-class variation",
    formula="d_w = 1/K sum_k 1/n_k^2 sum_(i,j in k) (1 - cos(h_i, h_j))",
    source=KORNBLITH,
    collapsed=0.0,
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
)
def d_within_unbiased(representation: Representation) -> Tensor:
    """Mean cosine distance between two different samples of one class, averaged over classes.

    Its expectation does not depend on the number of samples a class. Classes with one sample have no pair
    and are left out of the average.
    """
    directions = representation.directions
    paired = directions.select(directions.counts > 1)
    if len(paired.counts) == 0:
        raise Undefined("no class has two samples, so there is no pair to compare")
    return (paired.spreads / (paired.counts - 1)).mean()


@moment_metric(
    label="total variation",
    formula="d_t = 1/K^2 sum_(k,l) 1/(n_k n_l) sum_(i in k, j in l) (1 - cos(h_i, h_j))",
    source=KORNBLITH,
    collapsed=1.0,
)
def d_total(representation: Representation) -> Tensor:
    """Mean cosine distance between two samples of any classes.

    Every pair of classes weighs equally, a class with itself and a sample with itself included; features
    are not centred. 1 when the class directions cancel, as they do at collapse.
    """
    return d_within(representation) + _direction_gap(representation)


@moment_metric(
    label="class separation",
    formula="R^2 = 1 - d_w / d_t",
    source=KORNBLITH,
    collapsed=1.0,
)
def class_separation(representation: Representation) -> Tensor:
    """Share of the cosine distance between samples that lies between classes.

    The inter-class separability of the MaxSup paper. 0 when classes are alike, 1 when each class is one
    direction of its own.
    """
    require_two_classes(representation)
    between = _direction_gap(representation)
    total = d_within(representation) + between
    if total == 0:
        raise Undefined("all features point in one direction, so there is no distance to share out")
    return between / total


@moment_metric(
    label="CDNV",
    formula="1/binom(K, 2) sum_(k < l) (v_k + v_l) / (2 norm(mu_k - mu_l)^2)",
    source="Galanti et al. 2021 (arXiv 2112.15121)",
    collapsed=0.0,
)
def cdnv(representation: Representation) -> Tensor:
    """Class-distance normalised variance: how wide two classes are for their distance, averaged over pairs.

    v_k is the mean squared distance of class k from its mean (division by n_k). Unordered pairs of different
    classes; features are neither centred nor scaled.
    """
    require_two_classes(representation)
    classes = representation.classes
    variances = classes.spreads / classes.counts
    squares = torch.nn.functional.pdist(classes.centred_means).square()
    first, second = torch.triu_indices(len(variances), len(variances), 1)
    closest = int(squares.argmin())
    scale = squares.mean() + variances.mean()
    if scale.isfinite() and squares[closest] <= NEGLIGIBLE * scale:
        pair = [
            representation.class_names[representation.occupied[i]] for i in (first[closest], second[closest])
        ]
        raise Undefined(f"the means of classes {pair[0]} and {pair[1]} coincide")
    return ((variances[first] + variances[second]) / (2 * squares)).mean()


def require_two_classes(representation: Representation) -> None:
    """Raise where there is nothing to separate."""
    if len(representation.occupied) < 2:
        raise Undefined("only one class has samples, and it takes two to compare")


def require_distinct_means(representation: Representation) -> None:
    """Raise where all class means are one point."""
    require_two_classes(representation)
    classes = representation.classes
    between = classes.centred_means.square().sum(1).mean()
    scale = between + (classes.spreads / classes.counts).mean()
    if scale.isfinite() and between <= NEGLIGIBLE * scale:
        raise Undefined("class means coincide, so there is nothing to separate")


def _direction_gap(representation: Representation) -> Tensor:
    """Mean squared distance of the class directions from their average: d_total - d_within.

    Never 1 - |mean|^2: directions that share an offset would lose their digits to the subtraction.
    """
    return representation.directions.centred_means.square().sum(1).mean()
