"""Neural collapse, NC1 to NC4 (Papyan, Han & Donoho 2020), in conventions that are named.

M is the K x D matrix of class means minus their average over classes (classes weigh equally). W is the weight
of the head as it is, not centred. S_W = 1/N sum_i (h_i - mu_k)(h_i - mu_k)^T, and S_B = 1/K M^T M.
"""

import torch
from jaxtyping import Float64
from scipy.linalg import helmert
from torch import Tensor

from maxsup_analysis.errors import NotSmooth, Undefined
from maxsup_analysis.metrics.metric import mean_metric, moment_metric
from maxsup_analysis.metrics.variation import require_distinct_means
from maxsup_analysis.representation import Representation, Rows

PAPYAN = "Papyan, Han & Donoho 2020 (arXiv 2008.08186), as in the authors' notebook"
ZHU = "Zhu et al. 2021 (arXiv 2105.02375)"


@moment_metric(
    label="NC1: tr(S_W pinv S_B)/K",
    formula="1/K tr(S_W S_B^+)",
    source=f"{ZHU}; Papyan's notebook does not divide by K",
    collapsed=0.0,
)
def nc1_pinv(representation: Representation) -> Tensor:
    """Within-class variance for each unit of between-class variance, in the span of the class means.

    Divided by K. S_W weighs samples equally (division by N), S_B weighs classes equally. The pseudo-inverse
    has rank min(K - 1, D) unless class means are linearly dependent. Variance outside the span of the
    means does not count: nc1_trace_ratio sees it.
    """
    require_distinct_means(representation)
    contrasts = mean_contrasts(representation)
    # S_B = C^T C / K with C the contrasts, so tr(S_W S_B^+) / K = tr(C^+T S_W C^+).
    inverse = torch.linalg.pinv(contrasts, rtol=rank_tolerance(contrasts))
    value = (representation.scatter @ inverse * inverse).sum() / representation.classes.counts.sum()
    if (rank := numerical_rank(contrasts)) < min(contrasts.shape):
        reason = (
            f"class means span {rank} of {min(contrasts.shape)} dimensions, where the pseudo-inverse jumps"
        )
        raise NotSmooth(value.item(), reason)
    return value


@moment_metric(
    label="NC1: tr S_W / tr S_B",
    formula="tr(S_W) / tr(S_B)",
    source="Tirer, Huang & Niles-Weed 2023, the trace quotient",
    collapsed=0.0,
)
def nc1_trace_ratio(representation: Representation) -> Tensor:
    """Within-class variance for each unit of between-class variance, over all D dimensions.

    S_W weighs samples equally (division by N), S_B weighs classes equally. The inverse of the Fisher ratio of
    traces.
    """
    require_distinct_means(representation)
    classes = representation.classes
    within = classes.spreads.sum() / classes.counts.sum()
    return within / classes.centred_means.square().sum(1).mean()


@moment_metric(
    label="NC2: equinorm, means",
    formula="(std_k norm(m_k)) / (mean_k norm(m_k))",
    source=PAPYAN,
    collapsed=0.0,
)
def nc2_equinorm_means(representation: Representation) -> Tensor:
    """How unequal the lengths of the centred class means are: their coefficient of variation.

    Standard deviation with division by K - 1.
    """
    require_distinct_means(representation)
    return _variation_of_norms(representation.classes.centred_means)


@moment_metric(
    label="NC2: equinorm, head",
    formula="(std_k norm(w_k)) / (mean_k norm(w_k))",
    source=PAPYAN,
    collapsed=0.0,
)
def nc2_equinorm_head(representation: Representation) -> Tensor:
    """How unequal the lengths of the rows of the head are: their coefficient of variation.

    Rows as they are, not centred. Standard deviation with division by K - 1.
    """
    return _variation_of_norms(_head_rows(representation))


@moment_metric(
    label="NC2: equiangular, means",
    formula="1/(K (K - 1)) sum_(k != l) abs(cos(m_k, m_l) + 1/(K - 1))",
    source=PAPYAN,
    collapsed=0.0,
)
def nc2_equiangular_means(representation: Representation) -> Tensor:
    """How far the angles between centred class means are from those of a simplex, on average.

    Mean over ordered pairs of different classes.
    """
    require_distinct_means(representation)
    return _distance_from_simplex_angles(representation.classes.centred_means)


@moment_metric(
    label="NC2: equiangular, head",
    formula="1/(K (K - 1)) sum_(k != l) abs(cos(w_k, w_l) + 1/(K - 1))",
    source=PAPYAN,
    collapsed=0.0,
)
def nc2_equiangular_head(representation: Representation) -> Tensor:
    """How far the angles between rows of the head are from those of a simplex, on average.

    Mean over ordered pairs of different classes; rows as they are, not centred.
    """
    return _distance_from_simplex_angles(_head_rows(representation))


@moment_metric(
    label="NC2: ETF error, means",
    formula="norm((M M^T) / norm(M M^T)_F - (I - J/K) / sqrt(K - 1))_F",
    source="Zhu et al. 2021's measure on centred class means, as in rhubarbwu/neural-collapse",
    collapsed=0.0,
)
def nc2_etf_means(representation: Representation) -> Tensor:
    """Distance of the Gram matrix of centred class means from that of a simplex, both of norm one.

    Frobenius norm, not squared. With K - 1 > D the least that is possible is
    sqrt(2 - 2 sqrt(D / (K - 1))), not 0.
    """
    require_distinct_means(representation)
    means = representation.classes.centred_means
    return simplex_error(means @ means.T)


@moment_metric(
    label="NC2: ETF error, head",
    formula="norm((W W^T) / norm(W W^T)_F - (I - J/K) / sqrt(K - 1))_F",
    source=ZHU,
    collapsed=0.0,
)
def nc2_etf_head(representation: Representation) -> Tensor:
    """Distance of the Gram matrix of the head's rows from that of a simplex, both of norm one.

    Frobenius norm, not squared; rows as they are (Zhou et al. 2022 centre them first). With K - 1 > D the
    least that is possible is sqrt(2 - 2 sqrt(D / (K - 1))), not 0.
    """
    rows = _head_rows(representation)
    return simplex_error(rows @ rows.T)


@moment_metric(
    label="NC3: self-duality",
    formula="norm(W / norm(W)_F - M / norm(M)_F)_F^2",
    source=PAPYAN,
    collapsed=0.0,
)
def nc3_self_duality(representation: Representation) -> Tensor:
    """Distance between the head and the centred class means, both of norm one.

    Frobenius norm, squared, as in the notebook; W is not centred. 0 when they are the same up to scale, 2
    when they are orthogonal, 4 when opposite. Rows of the head whose class has no sample are left out.
    """
    require_distinct_means(representation)
    rows, means = _head_rows(representation)[representation.occupied], representation.classes.centred_means
    return (rows / rows.norm() - means / means.norm()).square().sum()


@moment_metric(
    label="NC3: ETF error, head and means",
    formula="norm((W M^T) / norm(W M^T)_F - (I - J/K) / sqrt(K - 1))_F",
    source=ZHU,
    collapsed=0.0,
)
def nc3_etf(representation: Representation) -> Tensor:
    """Distance of the head's products with the centred class means from a simplex, both of norm one.

    Frobenius norm, not squared; W is not centred. Rows of the head whose class has no sample are left out.
    """
    require_distinct_means(representation)
    rows, means = _head_rows(representation)[representation.occupied], representation.classes.centred_means
    return simplex_error(rows @ means.T)


@mean_metric(
    label="NC4: agreement with the nearest mean",
    formula="1/N sum_i [argmax_k z_(i k) = argmin_k norm(h_i - mu_k)]",
    source=f"{PAPYAN}, where it is the disagreement",
    collapsed=1.0,
)
def nc4_agreement(rows: Rows, representation: Representation) -> Float64[Tensor, " B"]:
    """Share of samples that the classifier and the nearest class mean put in the same class.

    The classifier is the real one, its bias included. Classes without samples have no mean and cannot be the
    nearest. The class means count as given in the standard error.
    """
    classes = representation.classes
    origin = classes.means.mean(0)
    means = classes.relative_means(origin)
    scores = (rows.features - origin) @ means.T - means.square().sum(1) / 2
    nearest = representation.occupied[scores.argmax(1)]
    return (nearest == rows.predictions).double()


def mean_contrasts(representation: Representation) -> Float64[Tensor, "C D"]:
    """K - 1 orthonormal contrasts of the class means: their span and scatter, without the zero direction."""
    means = representation.classes.centred_means
    return torch.from_numpy(helmert(len(means))) @ means


def rank_tolerance(matrix: Tensor) -> float:
    """Singular values below this share of the largest are zero: the size times the float64 epsilon."""
    return max(matrix.shape) * torch.finfo(matrix.dtype).eps


def numerical_rank(matrix: Tensor) -> int:
    """How many singular values are not zero up to rounding."""
    return int(torch.linalg.matrix_rank(matrix.detach(), rtol=rank_tolerance(matrix)))


def simplex_error(gram: Float64[Tensor, "K K"]) -> Tensor:
    """Frobenius distance between a matrix and the simplex's Gram matrix, both of norm one."""
    K = len(gram)
    target = (torch.eye(K, dtype=gram.dtype) - 1 / K) / (K - 1) ** 0.5
    norm = gram.norm()
    if norm == 0:
        raise Undefined("the matrix is zero and cannot be scaled to norm one")
    return (gram / norm - target).norm()


def _head_rows(representation: Representation) -> Float64[Tensor, "K D"]:
    rows = representation.known_head.weight
    if len(rows) < 2:
        raise Undefined("the head has one row, and it takes two to compare")
    return rows


def _variation_of_norms(vectors: Float64[Tensor, "K D"]) -> Tensor:
    norms = vectors.norm(dim=1)
    if norms.mean() == 0:
        raise Undefined("all vectors are zero")
    return norms.std() / norms.mean()


def _distance_from_simplex_angles(vectors: Float64[Tensor, "K D"]) -> Tensor:
    K, norms = len(vectors), vectors.norm(dim=1, keepdim=True)
    if (norms == 0).any():
        raise Undefined("a vector is zero and has no angle")
    units = vectors / norms
    different = ~torch.eye(K, dtype=torch.bool)
    return ((units @ units.T)[different] + 1 / (K - 1)).abs().mean()
