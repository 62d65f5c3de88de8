"""The variability collapse index: NC1 that no invertible linear map of the features changes."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.metrics.entry import moment_metric
from maxsup_analysis.metrics.neural_collapse.vectors import centred_means, constant, smooth_in
from maxsup_analysis.representation import Representation
from maxsup_analysis.symmetric import half_product

# Eigenvalues of S_T below this share of the largest are rounding.
NEGLIGIBLE_VARIANCE = 1e-13
# Of S_T, from products in that precision.
RESOLVED = {torch.float64: NEGLIGIBLE_VARIANCE, torch.float32: 1e-6}


@moment_metric(
    label="VCI",
    formula="1 - tr(S_T^+ S_B) / rank(S_B), S_T = S_W + S_B",
    source="Xu & Liu 2023 (arXiv 2306.03440)",
    collapsed=0.0,
    differs="S_W against all variance: any linear map allowed",
    needs=("scatter", "clear means"),
    size=lambda representation: constant(1.0),
)
def vci(representation: Representation) -> Tensor:
    """Variability collapse index: share of the variance that is within classes, along what tells classes apart.

    Between 0, when samples do not vary within their class, and 1, when class means coincide. S_B weighs classes
    equally and S_W weighs samples equally. The rank is min(K - 1, D) unless class means are linearly dependent;
    then there is no standard error. With N - 1 <= D samples that are in general position it is 0 whatever the model.
    """
    means = centred_means(representation)
    samples, fixed = representation.classes.counts.sum(), means.detach()
    # Its upper half, which the decompositions look at.
    total = representation.scatter.detach() / samples.detach() + half_product(fixed) / len(means)
    if not total.isfinite().all():
        return total.sum()
    if _spans_as_much_as_possible(representation, total):
        # Where axes of deviations and of means are independent, S_T^+ S_B projects on the means.
        return smooth_in(representation.span, constant(0.0))
    whitened, in_full = _whitened(fixed, total)
    explained = whitened.square().sum()
    if torch.is_grad_enabled():
        solutions = in_full(whitened)
        # m S^+ m = max_x 2 x m - x S x: with its x, the value and derivatives are right, and cheap.
        within = representation.scatter_along(solutions).sum() / samples
        between = (solutions @ means.T).square().sum() / len(means)
        explained = 2 * (solutions * means).sum() - within - between
    return smooth_in(representation.span, 1 - explained / len(means) / representation.span.rank)


def _spans_as_much_as_possible(representation: Representation, total: Float64[Tensor, "D D"]) -> bool:
    """Whether there are so few samples that all of their deviations, N - K, and their means have axes of their own."""
    most = representation.samples - len(representation.occupied) + representation.span.rank
    if most > len(total):
        return False
    variances = torch.linalg.eigvalsh(total, UPLO="U")
    return int((variances > RESOLVED[representation.precision] * variances[-1]).sum()) == most


def _whitened(
    means: Float64[Tensor, "K D"], total: Float64[Tensor, "D D"]
) -> tuple[Float64[Tensor, "K R"], Callable[[Tensor], Tensor]]:
    """M R with R R^T = S_T^+, and what makes M S_T^+ of it; by Cholesky where S_T has an inverse that can be trusted.

    total: the upper half of S_T.
    """
    factor, failure = torch.linalg.cholesky_ex(total, upper=True)
    pivots = factor.diagonal().square()
    if failure == 0 and pivots.min() > NEGLIGIBLE_VARIANCE * pivots.max():
        solved = partial(torch.linalg.solve_triangular, left=False)
        return solved(factor, means, upper=True), partial(solved, factor.T, upper=False)
    variances, axes = torch.linalg.eigh(total, UPLO="U")
    kept = variances > NEGLIGIBLE_VARIANCE * variances[-1]
    root = axes[:, kept] / variances[kept].sqrt()
    return means @ root, lambda whitened: whitened @ root.T
