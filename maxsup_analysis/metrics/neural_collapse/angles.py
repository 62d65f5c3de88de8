"""NC2: are class means, or the rows of the head, at equal angles, and those of a simplex?"""

from torch import Tensor

from maxsup_analysis.errors import NotSmooth
from maxsup_analysis.metrics.entry import moment_metric
from maxsup_analysis.metrics.neural_collapse.vectors import NOTEBOOK, PAPYAN, constant, unit_means, unit_rows
from maxsup_analysis.pairs import Pairs, PairTile, mean_over_pairs
from maxsup_analysis.representation import Representation

# A standard deviation of cosines below this is their rounding.
EQUAL = 1e-14
ALIKE = "all angles are equal, and a standard deviation of zero has no derivative"


@moment_metric(
    label="NC2: equiangular, means",
    formula="1/(K (K - 1)) sum_(k != l) abs(cos(m_k, m_l) + 1/(K - 1))",
    source=NOTEBOOK,
    collapsed=0.0,
    standard=True,
    differs="mean distance from the simplex's cosine",
    needs=("clear means",),
    kinked=True,
)
def nc2_equiangular_means(representation: Representation) -> Tensor:
    """How far the angles between centred class means are from those of a simplex, on average.

    Mean over ordered pairs of different classes. 0 with two classes, whose centred means are opposite.
    """
    means = unit_means(representation)
    return constant(0.0) if len(means.vectors) == 2 else _distance_from_simplex_angles(means)


@moment_metric(
    label="NC2: equiangular, head",
    formula="1/(K (K - 1)) sum_(k != l) abs(cos(w_k, w_l) + 1/(K - 1))",
    source=NOTEBOOK,
    collapsed=0.0,
    standard=True,
    differs="mean distance from the simplex's cosine",
)
def nc2_equiangular_head(representation: Representation) -> Tensor:
    """How far the angles between rows of the head are from those of a simplex, on average.

    Mean over ordered pairs of different classes; rows as they are, not centred.
    """
    return _distance_from_simplex_angles(unit_rows(representation))


@moment_metric(
    label="NC2: spread of cosines, means",
    formula="std_(k != l) cos(m_k, m_l)",
    source=PAPYAN,
    collapsed=0.0,
    differs="standard deviation: equal angles, of whatever size",
    needs=("clear means",),
    kinked=True,
)
def nc2_cosine_spread_means(representation: Representation) -> Tensor:
    """How unequal the angles between centred class means are: the standard deviation of their cosines.

    Over pairs of different classes, division by their number. 0 when all angles are equal, as of a simplex, where
    it has no standard error, and always with two classes.
    """
    means = unit_means(representation)
    if len(means.vectors) == 2:
        return constant(0.0)
    spread = _spread_of_cosines(means)
    if spread <= EQUAL:
        raise NotSmooth(spread.item(), ALIKE)
    return spread


@moment_metric(
    label="NC2: spread of cosines, head",
    formula="std_(k != l) cos(w_k, w_l)",
    source=PAPYAN,
    collapsed=0.0,
    differs="standard deviation: equal angles, of whatever size",
)
def nc2_cosine_spread_head(representation: Representation) -> Tensor:
    """How unequal the angles between rows of the head are: the standard deviation of their cosines.

    Over pairs of different classes, division by their number; rows as they are, not centred. 0 when all angles
    are equal, as of a simplex, and always with two classes.
    """
    rows = unit_rows(representation)
    return constant(0.0) if len(rows.vectors) == 2 else _spread_of_cosines(rows)


@moment_metric(
    label="NC2: largest cosine, means",
    formula="max_(k != l) cos(m_k, m_l) + 1/(K - 1)",
    source=f"{PAPYAN}, the maximal angle of equiangularity",
    collapsed=0.0,
    differs="the closest pair alone",
    needs=("clear means",),
    kinked=True,
)
def nc2_largest_cosine_means(representation: Representation) -> Tensor:
    """How much closer the two closest centred class means are than those of a simplex, as a cosine.

    Never below 0, for the cosines of K vectors average -1/(K - 1) at least. The standard error is that of the
    closest pair, of equally close ones the first; noise only brings pairs closer, so it is biased upward. 0 with two
    classes.
    """
    means = unit_means(representation)
    return constant(0.0) if len(means.vectors) == 2 else _largest_cosine(means)


@moment_metric(
    label="NC2: largest cosine, head",
    formula="max_(k != l) cos(w_k, w_l) + 1/(K - 1)",
    source=f"{PAPYAN}, the maximal angle of equiangularity",
    collapsed=0.0,
    differs="the closest pair alone",
)
def nc2_largest_cosine_head(representation: Representation) -> Tensor:
    """How much closer the two closest rows of the head are than those of a simplex, as a cosine.

    Rows as they are, not centred. Never below 0, for the cosines of K vectors average -1/(K - 1) at least.
    """
    return _largest_cosine(unit_rows(representation))


def _distance_from_simplex_angles(units: Pairs) -> Tensor:
    def distance(tile: PairTile) -> Tensor:
        return (tile.products + 1 / (len(units.vectors) - 1)).abs_()

    return mean_over_pairs(distance, units)


def _spread_of_cosines(units: Pairs) -> Tensor:
    directions, K = units.vectors, len(units.vectors)
    # Squares about the mean do not change, to first order, with the mean.
    mean = ((directions.sum(0).square().sum() - K) / (K * (K - 1))).item()

    def square(tile: PairTile) -> Tensor:
        return (tile.products - mean).square()

    return mean_over_pairs(square, units).sqrt()


def _largest_cosine(units: Pairs) -> Tensor:
    k, other = units.largest_product()
    return units.vectors[k] @ units.vectors[other] + 1 / (len(units.vectors) - 1)
