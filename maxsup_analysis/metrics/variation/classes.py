"""What classes have to have before something can be compared."""

from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.moments import ClusterMoments
from maxsup_analysis.pairs import PairTile
from maxsup_analysis.representation import Representation

# Squared distances below this share of the features' own variance are rounding, not distance.
NEGLIGIBLE = 1e-28
NO_PAIR = "no class has two samples, so there is no pair to compare"


def require_two_classes(representation: Representation) -> None:
    """Raise where there is nothing to separate."""
    if len(representation.occupied) < 2:
        raise Undefined("only one class has samples, and it takes two to compare")


def require_distinct_means(representation: Representation) -> None:
    """Raise where all class means are one point."""
    require_two_classes(representation)
    require_spread_means(representation.classes)


def require_spread_means(classes: ClusterMoments) -> None:
    """Raise where the means of clusters, of features or of their directions, are one point."""
    between = classes.centred_means.square().sum(1).mean()
    scale = between + (classes.spreads / classes.counts).mean()
    if scale.isfinite() and between <= NEGLIGIBLE * scale:
        raise Undefined("class means coincide, so there is nothing to separate")


def with_pairs(classes: ClusterMoments) -> ClusterMoments:
    """The classes of two samples or more, the only ones whose variance can be estimated without bias."""
    paired = classes.select(classes.counts > 1)
    if len(paired.counts) == 0:
        raise Undefined(NO_PAIR)
    return paired


def two_with_pairs(classes: ClusterMoments) -> ClusterMoments:
    """The same, at least two of them."""
    paired = with_pairs(classes)
    if len(paired.counts) < 2:
        raise Undefined("only one class has two samples or more, and it takes two to compare")
    return paired


def require_no_pair(tile: PairTile, where: Tensor, names: list[str], reason: str) -> None:
    """Raise with the names of the first pair of classes for which it is so."""
    pair = tile.pair(where)
    if pair is not None:
        raise Undefined(f"the means of classes {names[pair[0]]} and {names[pair[1]]} {reason}")
