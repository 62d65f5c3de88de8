"""NC4: does the classifier decide for the nearest class mean?"""

from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.metrics.entry import mean_metric, moment_metric
from maxsup_analysis.metrics.neural_collapse.vectors import NOTEBOOK, RHUBARBWU, ZHU
from maxsup_analysis.representation import Representation
from maxsup_analysis.tile import Tile


@mean_metric(
    label="NC4: agreement with the nearest mean",
    formula="1/N sum_i [argmax_k z_(i k) = argmin_k norm(h_i - mu_k)]",
    source=f"{NOTEBOOK}, where it is the disagreement",
    collapsed=1.0,
    standard=True,
    differs="agreement of the real classifier",
    needs=("nearest",),
)
def nc4_agreement(tile: Tile) -> Float64[Tensor, " B"]:
    """Share of samples that the classifier and the nearest class mean put in the same class.

    The classifier is the real one, its bias included. Classes without samples have no mean and cannot be the
    nearest. The class means count as given in the standard error.
    """
    return (tile.nearest == tile.predictions).double()


@mean_metric(
    label="NC4: mismatch with the nearest mean",
    formula="1/N sum_i [argmax_k z_(i k) != argmin_k norm(h_i - mu_k)]",
    source=NOTEBOOK,
    collapsed=0.0,
    differs="disagreement of the real classifier",
    needs=("nearest",),
)
def nc4_mismatch(tile: Tile) -> Float64[Tensor, " B"]:
    """Share of samples that the classifier and the nearest class mean put in different classes.

    One minus nc4_agreement, as it was published. The class means count as given in the standard error.
    """
    return 1 - nc4_agreement(tile)


@mean_metric(
    label="NC4: agreement without bias",
    formula="1/N sum_i [argmax_k w_k dot h_i = argmin_k norm(h_i - mu_k)]",
    source=RHUBARBWU,
    collapsed=1.0,
    differs="agreement of the head without its bias",
    needs=("nearest",),
)
def nc4_agreement_without_bias(tile: Tile) -> Float64[Tensor, " B"]:
    """Share of samples that the head without its bias and the nearest class mean put in the same class.

    Of several equal products the first class counts. Equal to nc4_agreement where the head has no bias. The class
    means count as given in the standard error.
    """
    return (tile.nearest == tile.predictions_without_bias).double()


def _size_of_logits(representation: Representation) -> Tensor:
    """What the logits of the mean feature are made of: products of the head with it, and the bias."""
    classes, head = representation.classes, representation.known_head
    length = (classes.origin + classes.sample_mean).norm() * head.lengths.norm()
    return length if head.bias is None else length + head.bias.norm()


@moment_metric(
    label="NC4: bias collapse",
    formula="norm(W overline(h) + b)_2",
    source=ZHU,
    collapsed=0.0,
    differs="logits of the mean feature",
    size=_size_of_logits,
    kinked=True,
)
def nc4_bias_collapse(representation: Representation) -> Tensor:
    """Length of the logits that the head gives the mean of all features.

    Samples weigh equally in the mean; a head without bias has b = 0. 0 when the bias undoes the common offset of
    the features, as at the optimum of the unconstrained feature model; a number that is the same in all logits,
    which changes no prediction, counts. At exactly 0 its standard error counts as 0.
    """
    classes = representation.classes
    return representation.known_head.logits((classes.origin + classes.sample_mean)[None])[0].norm()
