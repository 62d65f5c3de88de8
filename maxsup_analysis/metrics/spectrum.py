"""Over how many directions the variance is spread: functions of the eigenvalues of all features, or of a class.

The eigenvalues of a covariance are the squares of the singular values of the centred features, but for a
factor that none of these measures notices.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import NotSmooth, Undefined
from maxsup_analysis.metrics.entry import class_metric, spectral_metric

ROY = "Roy & Vetterli 2007, The effective rank"
GARRIDO = "Garrido et al. 2023, RankMe (arXiv 2210.02885)"
RUDELSON = "Rudelson & Vershynin 2007, of the centred features"
GAO = "Gao et al. 2017 (bioRxiv 214262), participation ratio"
AGRAWAL = "Agrawal et al. 2022, alpha-ReQ; the fit is that of Stringer et al. 2019"
ADDED = 1e-7  # to each share of RankMe, as published
FIRST, LAST = 11, 100  # ranks that the power law is fitted to

Eigenvalues = Float64[Tensor, " R"]  # the largest; the others are zero


@spectral_metric(
    "covariance",
    label="effective rank",
    formula="exp(-sum_j p_j ln p_j), p_j = sqrt(lambda_j) / (sum_l sqrt(lambda_l))",
    source=ROY,
    collapsed=None,
    differs="entropy of singular values, centred",
)
def effective_rank(eigenvalues: Eigenvalues) -> Tensor:
    """How many directions the features spread over, by the entropy of their singular values.

    Singular values of the features centred at the mean of all samples; natural logarithm. From 1 to
    min(N - 1, D); K - 1 at collapse of classes of equal size. Others take the entropy of eigenvalues, the
    squares, which is smaller. Undefined where all features coincide. Few samples show a lower rank;
    with fewer than 4 D of them there is no standard error.
    """
    return _entropy_rank(_positive(eigenvalues).sqrt())


@spectral_metric(
    "second moment",
    label="RankMe",
    formula="exp(-sum_j p_j ln p_j), p_j = sigma_j / (sum_l sigma_l) + 10^(-7)",
    source=GARRIDO,
    collapsed=None,
    differs="entropy of singular values, not centred, plus 1e-7",
)
def rankme(eigenvalues: Eigenvalues) -> Tensor:
    """How many directions the features take up from the origin, by the entropy of their singular values.

    The published one: features are not centred, and 1e-7 is added to each of min(N, D) shares, so that they sum
    to a little more than one. Programs that take the eigenvalues of the centred features, the variance ratios of
    PCA, give another number under this name. From 1 to min(N, D); K - 1 at collapse of classes of equal size on
    a simplex around the origin.
    """
    return _rankme(eigenvalues)


@spectral_metric(
    "covariance",
    label="stable rank",
    formula="(sum_j lambda_j) / lambda_1",
    source=RUDELSON,
    collapsed=None,
    differs="all variance over the largest",
)
def stable_rank(eigenvalues: Eigenvalues) -> Tensor:
    """Total variance in units of the largest variance along one direction.

    The squared Frobenius norm of the centred features over their squared spectral norm; the NESum of the
    self-supervised literature is the same number. From 1 to min(N - 1, D); K - 1 at collapse of classes of
    equal size. Where the two largest eigenvalues are equal it has no derivative, hence no standard error.
    """
    return _stable_rank(eigenvalues)


@spectral_metric(
    "covariance",
    label="participation ratio",
    formula="(sum_j lambda_j)^2 / (sum_j lambda_j^2)",
    source=GAO,
    collapsed=None,
    differs="squared sum of eigenvalues over the sum of squares",
)
def participation_ratio(eigenvalues: Eigenvalues) -> Tensor:
    """How many directions of equal variance would be as concentrated as these.

    Eigenvalues of the covariance of the features, centred at the mean of all samples; the exponential of their
    Renyi entropy of order 2. From 1 to min(N - 1, D); K - 1 at collapse of classes of equal size.
    """
    return _participation_ratio(eigenvalues)


@spectral_metric(
    "covariance",
    label="alpha-ReQ",
    formula="alpha = -(sum_j w_j x_j y_j) / (sum_j w_j x_j^2)",
    source=AGRAWAL,
    collapsed=None,
)
def alpha_req(eigenvalues: Eigenvalues) -> Tensor:
    """How fast variances fall: the exponent of a power law through them.

    Least squares of y_j = ln lambda_j on x_j = ln j over the ranks 11 to 100 with weights w_j = 1/j, x and y
    centred at their weighted means, as in the published code; other programs fit other ranks. Larger is
    steeper; 0 is a flat spectrum. Undefined where fewer than 100 eigenvalues are not zero, as at collapse of at
    most 100 classes.
    """
    return _exponent(eigenvalues)


@spectral_metric(
    "covariance",
    label="alpha-ReQ, fit",
    formula="R^2 = (sum_j w_j x_j y_j)^2 / (sum_j w_j x_j^2 sum_j w_j y_j^2)",
    source=AGRAWAL,
    collapsed=None,
    differs="weights and ranks of the fit itself",
)
def alpha_req_r2(eigenvalues: Eigenvalues) -> Tensor:
    """How well the power law of alpha_req fits: the share of the variance of ln lambda_j that it explains.

    x, y, weights and ranks are those of the fit; the published code gives unweighted shares, over ranks 12 to
    100 or to 500. From 0 to 1; where it is low, alpha_req describes no power law. Undefined where alpha_req is,
    or where the spectrum is flat.
    """
    return _explained(eigenvalues)


@class_metric(
    "covariance",
    label="effective rank within classes",
    formula="1/K sum_k exp(-sum_j p_(k j) ln p_(k j)), p_(k j) = sqrt(lambda_(k j)) / (sum_l sqrt(lambda_(k l)))",
    source=f"{ROY}, of each class",
    collapsed=None,
    differs="entropy of singular values, centred at the class mean",
)
def effective_rank_within(eigenvalues: Eigenvalues) -> Tensor:
    """How many directions the samples of one class spread over, averaged over classes.

    effective_rank of the covariance of each class. It grows with the number of samples n, up to
    min(n - 1, D): the first 512 samples of each class in the order of the rows count, of smaller classes all,
    so compare only at equal samples a class. Classes of one sample, or whose samples coincide as they do at
    collapse, are left out.
    """
    return _entropy_rank(_positive(eigenvalues).sqrt())


@class_metric(
    "second moment",
    label="RankMe within classes",
    formula="1/K sum_k exp(-sum_j p_(k j) ln p_(k j)), p_(k j) = sigma_(k j) / (sum_l sigma_(k l)) + 10^(-7)",
    source=f"{GARRIDO}, of each class",
    collapsed=None,
    differs="entropy of singular values, not centred, plus 1e-7",
)
def rankme_within(eigenvalues: Eigenvalues) -> Tensor:
    """How many directions the samples of one class take up from the origin, averaged over classes.

    rankme of each class: not centred, so that the class mean is one of the directions, and the stronger the
    farther it is from the origin. 1 at collapse, but for what is added to each of min(n, D) shares. Over the first
    512 samples of each class in the order of the rows, of smaller classes all; it grows with their number. Classes
    of one sample, or of zero vectors only, are left out.
    """
    return _rankme(eigenvalues)


@class_metric(
    "covariance",
    label="stable rank within classes",
    formula="1/K sum_k (sum_j lambda_(k j)) / lambda_(k 1)",
    source=f"{RUDELSON}, of each class",
    collapsed=None,
    differs="all variance of a class over the largest",
)
def stable_rank_within(eigenvalues: Eigenvalues) -> Tensor:
    """Variance of a class in units of its largest variance along one direction, averaged over classes.

    stable_rank of the covariance of each class, over its first 512 samples in the order of the rows, of
    smaller classes all. Classes of one sample, or whose samples coincide as they do at collapse, are left out.
    """
    return _stable_rank(eigenvalues)


@class_metric(
    "covariance",
    label="participation ratio within classes",
    formula="1/K sum_k (sum_j lambda_(k j))^2 / (sum_j lambda_(k j)^2)",
    source=f"{GAO}, of each class",
    collapsed=None,
    differs="squared sum of a class's eigenvalues over the sum of squares",
)
def participation_ratio_within(eigenvalues: Eigenvalues) -> Tensor:
    """How many directions of equal variance the samples of a class spread over, averaged over classes.

    participation_ratio of the covariance of each class, over its first 512 samples in the order of the rows, of
    smaller classes all; it grows with their number, up to n - 1. Classes of one sample, or whose samples
    coincide as they do at collapse, are left out.
    """
    return _participation_ratio(eigenvalues)


@class_metric(
    "covariance",
    label="alpha-ReQ within classes",
    formula="1/K sum_k alpha_k, alpha_k = -(sum_j w_j x_j y_(k j)) / (sum_j w_j x_j^2)",
    source=f"{AGRAWAL}, of each class",
    collapsed=None,
)
def alpha_req_within(eigenvalues: Eigenvalues) -> Tensor:
    """How fast the variances of a class fall: the exponent of a power law through them, averaged over classes.

    alpha_req of the covariance of each class, over its first 512 samples in the order of the rows, of smaller
    classes all; the tail falls faster where samples are few, so compare only at equal samples a class. Classes
    with fewer than 100 eigenvalues that are not zero, as are all of 100 samples or fewer, are left out. In
    simulations its standard error came out 1.1 to 1.5 times too large.
    """
    return _exponent(eigenvalues)


@class_metric(
    "covariance",
    label="alpha-ReQ within classes, fit",
    formula="1/K sum_k R_k^2, R_k^2 = (sum_j w_j x_j y_(k j))^2 / (sum_j w_j x_j^2 sum_j w_j y_(k j)^2)",
    source=f"{AGRAWAL}, of each class",
    collapsed=None,
    differs="weights and ranks of the fit itself",
)
def alpha_req_r2_within(eigenvalues: Eigenvalues) -> Tensor:
    """How well the power laws of alpha_req_within fit: alpha_req_r2 of each class, averaged over classes.

    From 0 to 1; where it is low, alpha_req_within describes no power law. Classes are left out as there, and also
    where the spectrum is flat.
    """
    return _explained(eigenvalues)


def _entropy_rank(values: Float64[Tensor, " R"]) -> Tensor:
    """Exponential of the entropy of positive numbers as shares of their sum."""
    return torch.special.entr(values / values.sum()).sum().exp()


def _rankme(eigenvalues: Eigenvalues) -> Tensor:
    _require_some(eigenvalues, "all features are zero vectors, so there is no spectrum")
    # The slope of a root at zero is infinite, but no weight of a sample moves an eigenvalue that is zero.
    values = _positive(eigenvalues).sqrt()
    p = torch.nn.functional.pad(values / values.sum(), (0, len(eigenvalues) - len(values))) + ADDED
    return torch.special.entr(p).sum().exp()


def _stable_rank(eigenvalues: Eigenvalues) -> Tensor:
    values = _positive(eigenvalues)
    rank = values.sum() / values[0]
    if (
        len(values) > 1
        and values[0] - values[1] <= len(eigenvalues) * torch.finfo(values.dtype).eps * values[0]
    ):
        raise NotSmooth(rank.item(), "the two largest eigenvalues are equal, so the larger has no derivative")
    return rank


def _participation_ratio(eigenvalues: Eigenvalues) -> Tensor:
    values = _positive(eigenvalues)
    # Shares first: squares of eigenvalues may leave the range of float64.
    return 1 / (values / values.sum()).square().sum()


def _exponent(eigenvalues: Eigenvalues) -> Tensor:
    x, y, weights = _log_log(eigenvalues)
    return -(weights * x * y).sum() / (weights * x * x).sum()


def _explained(eigenvalues: Eigenvalues) -> Tensor:
    """R^2 of the power law."""
    x, y, weights = _log_log(eigenvalues)
    variance = (weights * y * y).sum()
    if variance == 0:
        raise Undefined(
            f"the eigenvalues of ranks {FIRST} to {LAST} are equal, so there is nothing to explain"
        )
    return (weights * x * y).sum().square() / ((weights * x * x).sum() * variance)


def _log_log(eigenvalues: Eigenvalues) -> tuple[Tensor, Tensor, Tensor]:
    """Centred log ranks, centred log eigenvalues, and weights that sum to one."""
    values = _positive(eigenvalues)
    if len(values) < LAST:
        raise Undefined(
            f"the fit takes the eigenvalues of ranks {FIRST} to {LAST}, and {len(values)} of {len(eigenvalues)} "
            "are not zero"
        )
    ranks = torch.arange(FIRST, LAST + 1, dtype=torch.float64)
    weights = (1 / ranks) / (1 / ranks).sum()
    x, y = ranks.log(), values[FIRST - 1 : LAST].log()
    return x - weights @ x, y - weights @ y, weights


def _positive(eigenvalues: Eigenvalues) -> Float64[Tensor, " S"]:
    """Those that are not zero up to rounding; raises Undefined where all are."""
    _require_some(eigenvalues, "the samples coincide, so there is no spectrum")
    return eigenvalues[eigenvalues > len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps * eigenvalues[0]]


def _require_some(eigenvalues: Eigenvalues, otherwise: str) -> None:
    if len(eigenvalues) == 0 or eigenvalues[0] <= 0:
        raise Undefined(otherwise)
