"""NC2: how far the Gram matrix of class means, or of the rows of the head, is from that of a simplex."""

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.entry import moment_metric
from maxsup_analysis.metrics.neural_collapse.vectors import (
    RHUBARBWU,
    ZHOU,
    ZHU,
    centred_means,
    constant,
    head_rows,
)
from maxsup_analysis.representation import Representation


@moment_metric(
    label="NC2: ETF error, means",
    formula="norm((M M^T) / norm(M M^T)_F - (I - J/K) / sqrt(K - 1))_F",
    source=f"Zhu et al. 2021's measure on centred class means: {RHUBARBWU}",
    collapsed=0.0,
    standard=True,
    differs="of class means",
    needs=("clear means",),
    kinked=True,
)
def nc2_etf_means(representation: Representation) -> Tensor:
    """Distance of the Gram matrix of centred class means from that of a simplex, both of norm one.

    Frobenius norm, not squared. With K - 1 > D the least that is possible is
    sqrt(2 - 2 sqrt(D / (K - 1))), not 0. 0 with two classes, whose centred means are opposite.
    """
    return representation.once(_error_of_means)


@moment_metric(
    label="NC2: ETF error, head",
    formula="norm((W W^T) / norm(W W^T)_F - (I - J/K) / sqrt(K - 1))_F",
    source=ZHU,
    collapsed=0.0,
    standard=True,
    differs="of the head, rows as they are",
)
def nc2_etf_head(representation: Representation) -> Tensor:
    """Distance of the Gram matrix of the head's rows from that of a simplex, both of norm one.

    Frobenius norm, not squared; rows as they are (Zhou et al. 2022 centre them first). With K - 1 > D the
    least that is possible is sqrt(2 - 2 sqrt(D / (K - 1))), not 0.
    """
    rows = head_rows(representation)
    return simplex_error(rows, rows)


@moment_metric(
    label="NC2: ETF error, centred head",
    formula="norm((W_0 W_0^T) / norm(W_0 W_0^T)_F - (I - J/K) / sqrt(K - 1))_F, W_0 = W - J W / K",
    source=ZHOU,
    collapsed=0.0,
    differs="of the head, rows less their average",
)
def nc2_etf_head_centred(representation: Representation) -> Tensor:
    """Distance of the Gram matrix of the head's centred rows from that of a simplex, both of norm one.

    Frobenius norm, not squared. Centring the rows changes no prediction, for it adds the same to all logits. With
    K - 1 > D the least that is possible is sqrt(2 - 2 sqrt(D / (K - 1))), not 0.
    """
    rows = head_rows(representation)
    rows = rows - rows.mean(0)
    if len(rows) == 2 and rows.any():
        return constant(0.0)
    return simplex_error(rows, rows)


def _error_of_means(representation: Representation) -> Tensor:
    means = centred_means(representation)
    # Two centred means are opposite, and a simplex.
    return constant(0.0) if len(means) == 2 else simplex_error(means, means)


def simplex_error(first: Float64[Tensor, "K D"], second: Float64[Tensor, "K D"]) -> Tensor:
    """Frobenius distance between first @ second^T and the simplex's Gram matrix, both of norm one.

    Summed entry by entry where it can be 0. With K - 1 > D it cannot, and 2 - 2 <., .> is as exact and needs no
    K x K matrix.
    """
    # Whose norm counts for nothing, and whose squares of squares might leave the range of float64.
    first, second = first / _largest(first), second / _largest(second)
    K, D = first.shape
    if K - 1 > D:
        return _error_from_moments(first, second)
    gram = first @ second.T
    norm = gram.norm()
    if norm == 0:
        raise Undefined("the matrix is zero and cannot be scaled to norm one")
    target = (torch.eye(K, dtype=gram.dtype) - 1 / K) / (K - 1) ** 0.5
    return (gram / norm - target).norm()


def _largest(vectors: Float64[Tensor, "K D"]) -> Tensor:
    """The largest entry, which counts as given; one where all are zero."""
    largest = vectors.detach().abs().max()
    return torch.where(largest > 0, largest, 1)


def _error_from_moments(first: Float64[Tensor, "K D"], second: Float64[Tensor, "K D"]) -> Tensor:
    """norm(A B^T)_F^2 = <A^T A, B^T B>, and <A B^T, I - J/K> is the sum of centred products."""
    parts = first.T @ first, second.T @ second
    square = (parts[0] * parts[1]).sum()
    if square <= torch.finfo(square.dtype).eps * parts[0].norm() * parts[1].norm():
        raise Undefined("the matrix is zero and cannot be scaled to norm one")
    along = ((first - first.mean(0)) * second).sum() / (square * (len(first) - 1)).sqrt()
    return (2 - 2 * along).sqrt()
