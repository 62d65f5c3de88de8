"""Where samples lie that are classified correctly, and where those that are not: distances to class means."""

from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import NotSmooth, Undefined
from maxsup_analysis.metrics.entry import mean_metric, total_metric
from maxsup_analysis.metrics.metric import SeenFrom
from maxsup_analysis.metrics.variation.classes import NEGLIGIBLE, require_distinct_means
from maxsup_analysis.representation import Representation
from maxsup_analysis.tile import Tile

OURS = "defined here: where samples lie, split by whether the prediction is right"


def _mean_of(totals: Float64[Tensor, " 2"], members: str) -> Tensor:
    """The sum of values over the number of members."""
    if totals[1] == 0:
        raise Undefined(f"there are no {members}")
    mean = totals[0] / totals[1]
    if totals[1] == 1:
        raise NotSmooth(mean.item(), f"only one of the {members}, so the sampling variance is unknown")
    return mean


def distance_between_means(representation: Representation) -> Tensor:
    """Root of the mean squared distance between the means of two classes that have samples."""
    require_distinct_means(representation)
    means = representation.classes.centred_means
    # sum_(k < l) |m_k - m_l|^2 = K sum_k |m_k|^2, for m_k that sum to zero.
    return (2 / (len(means) - 1) * means.square().sum()).sqrt()


@mean_metric(
    label="distance to own mean",
    formula="1/N sum_i norm(h_i - mu_(y_i))",
    source=OURS,
    collapsed=0.0,
    differs="in the units of the features",
    needs=("features",),
    over=("all", "correct", "wrong"),
    from_own_mean=True,
)
def distance_to_own_mean(tile: Tile) -> Float64[Tensor, " B"]:
    """Mean Euclidean distance of a sample from the mean of its class.

    Samples weigh equally; the distance itself, not its square. It shrinks with the features: compare networks
    by distance_to_own_mean_relative. The class means are of correct and wrong samples together; their noise
    counts in the standard error.
    """
    return tile.once(_distances_to_own)


@total_metric(
    partial(_mean_of, members="samples taken for a class that has samples"),
    label="distance to predicted mean",
    formula="1/N sum_i norm(h_i - mu_(hat(y)_i))",
    source=OURS,
    collapsed=0.0,
    differs="in the units of the features",
    needs=("features",),
    seen_from=SeenFrom("predicted", "all"),
)
def distance_to_predicted_mean(tile: Tile) -> Float64[Tensor, "B 2"]:
    """Mean Euclidean distance of a sample from the mean of the class that it is taken for.

    For correct samples that is their own class. The noise of the class means counts in the standard error. Samples
    that are taken for a class without samples, which has no mean, are left out.
    """
    return tile.once(_distances_to_predicted)


@total_metric(
    partial(_mean_of, members="wrongly classified samples taken for a class that has samples"),
    label="distance to predicted mean, wrong",
    formula="1/N_w sum_(i: hat(y)_i != y_i) norm(h_i - mu_(hat(y)_i))",
    source=OURS,
    collapsed=None,
    differs="in the units of the features",
    needs=("features",),
    seen_from=SeenFrom("predicted", "wrong"),
)
def distance_to_predicted_mean_wrong(tile: Tile) -> Float64[Tensor, "B 2"]:
    """Mean Euclidean distance of a wrongly classified sample from the mean of the class that it is taken for.

    Below distance_to_own_mean_wrong, these samples have been drawn into the cluster of the wrong class. Class
    means, and samples that are left out, are as in distance_to_predicted_mean.
    """
    return tile.once(_distances_to_predicted) * (1 - tile.correct)[:, None]


@mean_metric(
    label="relative distance to own mean",
    formula="1/N sum_i norm(h_i - mu_(y_i)) / s, s^2 = 1/binom(K, 2) sum_(k < l) norm(mu_k - mu_l)^2",
    source=OURS,
    collapsed=0.0,
    differs="in units of the distance between class means",
    needs=("features",),
    over=("all", "correct", "wrong"),
    unit=distance_between_means,
    from_own_mean=True,
    skewed=True,
)
def distance_to_own_mean_relative(tile: Tile) -> Float64[Tensor, " B"]:
    """Mean distance of a sample from the mean of its class, for each unit of distance between class means.

    The unit s is the root of the mean squared distance between two class means, classes weighing equally: free
    of the scale of the features. Its noise counts in the standard error, with that of the class means.
    """
    return tile.once(_distances_to_own)


@total_metric(
    partial(_mean_of, members="samples taken for a class that has samples"),
    label="relative distance to predicted mean",
    formula="1/N sum_i norm(h_i - mu_(hat(y)_i)) / s",
    source=OURS,
    collapsed=0.0,
    differs="in units of the distance between class means",
    needs=("features",),
    unit=distance_between_means,
    seen_from=SeenFrom("predicted", "all"),
    skewed=True,
)
def distance_to_predicted_mean_relative(tile: Tile) -> Float64[Tensor, "B 2"]:
    """Mean distance from the mean of the predicted class, for each unit of distance between class means.

    Unit and standard error are those of distance_to_own_mean_relative. Samples that are taken for a class without
    samples, which has no mean, are left out.
    """
    return tile.once(_distances_to_predicted)


@total_metric(
    partial(_mean_of, members="wrongly classified samples taken for a class that has samples"),
    label="relative distance to predicted mean, wrong",
    formula="1/N_w sum_(i: hat(y)_i != y_i) norm(h_i - mu_(hat(y)_i)) / s",
    source=OURS,
    collapsed=None,
    differs="in units of the distance between class means",
    needs=("features",),
    unit=distance_between_means,
    seen_from=SeenFrom("predicted", "wrong"),
)
def distance_to_predicted_mean_relative_wrong(tile: Tile) -> Float64[Tensor, "B 2"]:
    """Mean distance of wrong samples from the predicted mean, for each unit of distance between class means.

    Below distance_to_own_mean_relative_wrong, these samples have been drawn into the cluster of the wrong class.
    Unit, class means, and samples that are left out, are as in distance_to_predicted_mean_relative.
    """
    return tile.once(_distances_to_predicted) * (1 - tile.correct)[:, None]


@total_metric(
    partial(_mean_of, members="samples with a direction"),
    label="cosine to own direction",
    formula="1/N sum_i cos(h_i, d_(y_i)), d_k = 1/n_k sum_(j in k) h_j / norm(h_j)",
    source=OURS,
    collapsed=1.0,
    needs=("features",),
    seen_from=SeenFrom("own direction", "all"),
)
def cosine_to_own_direction(tile: Tile) -> Float64[Tensor, "B 2"]:
    """Mean cosine between a sample and the direction of its class.

    The direction of a class is the mean of its features scaled to length one; features are not centred, samples
    weigh equally. From 0 to 1 over all samples. Zero vectors have no direction and are left out. The noise of
    class directions counts in the standard error.
    """
    return tile.once(_cosines)


@total_metric(
    partial(_mean_of, members="correctly classified samples with a direction"),
    label="cosine to own direction, correct",
    formula="1/N_c sum_(i: hat(y)_i = y_i) cos(h_i, d_(y_i))",
    source=OURS,
    collapsed=1.0,
    needs=("features",),
    seen_from=SeenFrom("own direction", "correct"),
)
def cosine_to_own_direction_correct(tile: Tile) -> Float64[Tensor, "B 2"]:
    """Mean cosine between a sample and the direction of its class; correctly classified samples only.

    The direction of a class is that of cosine_to_own_direction, of correct and wrong samples together. Zero vectors
    are left out.
    """
    return tile.once(_cosines) * tile.correct[:, None]


@total_metric(
    partial(_mean_of, members="wrongly classified samples with a direction"),
    label="cosine to own direction, wrong",
    formula="1/N_w sum_(i: hat(y)_i != y_i) cos(h_i, d_(y_i))",
    source=OURS,
    collapsed=None,
    needs=("features",),
    seen_from=SeenFrom("own direction", "wrong"),
)
def cosine_to_own_direction_wrong(tile: Tile) -> Float64[Tensor, "B 2"]:
    """Mean cosine between a sample and the direction of its class; wrongly classified samples only.

    The direction of a class is that of cosine_to_own_direction, of correct and wrong samples together. Zero vectors
    are left out.
    """
    return tile.once(_cosines) * (1 - tile.correct)[:, None]


def _distances_to_own(tile: Tile) -> Float64[Tensor, " B"]:
    return tile.squares.sqrt()


def _distances_to_predicted(tile: Tile) -> Float64[Tensor, "B 2"]:
    """The distance of each sample whose predicted class has a mean and 1; zeros for the others."""
    means, wrong = tile.representation.means.features, tile.predictions != tile.labels
    members = (means.counts[tile.predictions] > 0).double()
    distances = tile.once(_distances_to_own).clone()
    # Right ones are as far from their own mean.
    distances[wrong] = tile.distances_to(wrong, tile.predictions[wrong])
    return torch.stack([distances * members, members], 1)


def _cosines(tile: Tile) -> Float64[Tensor, "B 2"]:
    """The cosine of each sample that has a direction and 1; zeros for the others."""
    representation, members = tile.representation, tile.has_direction
    lengths = representation.means.directions.lengths.index_select(0, tile.labels)
    if (cancelled := (lengths.square() <= NEGLIGIBLE) & members).any():
        name = representation.class_names[int(tile.labels[cancelled][0])]
        raise Undefined(f"the directions of the samples of class {name} cancel, so it has no direction")
    # A class of zero vectors only has no length.
    cosines = tile.along_direction(representation.class_directions) / torch.where(members, lengths, 1)
    return torch.stack([cosines, members.double()], 1)
