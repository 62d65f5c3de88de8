"""Hyperspherical uniformity: how evenly unit vectors are spread over the sphere, whatever K and D."""

import math

import torch
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.entry import moment_metric
from maxsup_analysis.metrics.neural_collapse.vectors import constant, unit_means, unit_rows
from maxsup_analysis.metrics.variation.classes import NEGLIGIBLE
from maxsup_analysis.pairs import Pairs, PairTile, mean_over_pairs
from maxsup_analysis.representation import Representation

LIU = "Liu et al. 2023 (arXiv 2303.06484), the logarithmic energy"


def _size_of_squares(representation: Representation) -> Tensor:
    """Energies of about one err by an ulp, and their squared deviations by an ulp of that."""
    return torch.tensor(torch.finfo(torch.float64).eps, dtype=torch.float64)


@moment_metric(
    label="uniformity, means",
    formula="2/(K (K - 1)) sum_(k < l) log(1 / norm(t_k - t_l)), t_k = m_k / norm(m_k)",
    source=LIU,
    collapsed=None,
    differs="mean of the energy of a pair",
    needs=("clear means",),
)
def uniformity_means(representation: Representation) -> Tensor:
    """Energy of a pair of centred class means on the sphere, averaged over pairs: low when they spread evenly.

    Natural logarithm, unordered pairs. The least is -1/2 log(2 K / (K - 1)), of a simplex, possible with
    K - 1 <= D only. Undefined where two means point the same way.
    """
    means = unit_means(representation)
    return constant(-math.log(2)) if len(means.vectors) == 2 else _mean_energy(means)


@moment_metric(
    label="uniformity, head",
    formula="2/(K (K - 1)) sum_(k < l) log(1 / norm(t_k - t_l)), t_k = w_k / norm(w_k)",
    source=LIU,
    collapsed=None,
    differs="mean of the energy of a pair",
)
def uniformity_head(representation: Representation) -> Tensor:
    """Energy of a pair of rows of the head on the sphere, averaged over pairs: low when they spread evenly.

    Natural logarithm, unordered pairs; rows as they are, not centred. The least is -1/2 log(2 K / (K - 1)), of a
    simplex, possible with K - 1 <= D only. Undefined where two rows point the same way.
    """
    return _mean_energy(unit_rows(representation))


@moment_metric(
    label="variance of uniformity, means",
    formula="2/(K (K - 1)) sum_(k < l) (log(1 / norm(t_k - t_l)) - E)^2, t_k = m_k / norm(m_k)",
    source=f"{LIU}, its variance in rhubarbwu/neural-collapse",
    collapsed=0.0,
    differs="variance of the energy of a pair",
    needs=("clear means",),
    size=_size_of_squares,
)
def uniformity_variance_means(representation: Representation) -> Tensor:
    """How unequally pairs of centred class means are apart on the sphere: the variance of their energies.

    E is uniformity_means; division by the number of pairs. 0 when all are equally far apart. Undefined where two
    means point the same way.
    """
    means = unit_means(representation)
    return constant(0.0) if len(means.vectors) == 2 else _variance_of_energy(means)


@moment_metric(
    label="variance of uniformity, head",
    formula="2/(K (K - 1)) sum_(k < l) (log(1 / norm(t_k - t_l)) - E)^2, t_k = w_k / norm(w_k)",
    source=f"{LIU}, its variance in rhubarbwu/neural-collapse",
    collapsed=0.0,
    differs="variance of the energy of a pair",
    size=_size_of_squares,
)
def uniformity_variance_head(representation: Representation) -> Tensor:
    """How unequally pairs of rows of the head are apart on the sphere: the variance of their energies.

    E is uniformity_head; division by the number of pairs; rows as they are, not centred. 0 when all are equally
    far apart. Undefined where two rows point the same way.
    """
    rows = unit_rows(representation)
    value = _variance_of_energy(rows)
    return constant(0.0) if len(rows.vectors) == 2 else value


def _mean_energy(units: Pairs) -> Tensor:
    return mean_over_pairs(_energies, units)


def _variance_of_energy(units: Pairs) -> Tensor:
    # Squares about the mean do not change, to first order, with the mean.
    with torch.no_grad():
        mean = _mean_energy(units).item()

    def square(tile: PairTile) -> Tensor:
        return (_energies(tile) - mean).square()

    return mean_over_pairs(square, units)


def _energies(tile: PairTile) -> Tensor:
    if tile.pair(tile.squares <= NEGLIGIBLE) is not None:
        raise Undefined("two vectors point the same way, where the energy is infinite")
    return -tile.squares.log() / 2
