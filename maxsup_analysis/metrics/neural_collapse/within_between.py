"""NC1: variance within classes for each unit of variance between them."""

from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.entry import moment_metric
from maxsup_analysis.metrics.neural_collapse.vectors import NOTEBOOK, PAPYAN, ZHU, centred_means, smooth_in
from maxsup_analysis.metrics.variation.classes import require_distinct_means
from maxsup_analysis.metrics.variation.euclidean import (
    between_variance_unbiased,
    within_variance,
    within_variance_unbiased,
)
from maxsup_analysis.representation import Representation
from maxsup_analysis.span import Span

TIRER = "Tirer, Huang & Niles-Weed 2023 (arXiv 2210.16658)"


@moment_metric(
    label="NC1: tr(S_W pinv S_B)/K",
    formula="1/K tr(S_W S_B^+)",
    source=f"{PAPYAN} and {ZHU}, but around the average of class means",
    collapsed=0.0,
    standard=True,
    differs="divided by K; S_B around the average of class means",
    needs=("span", "clear means"),
    skewed=True,
)
def nc1_pinv(representation: Representation) -> Tensor:
    """Within-class variance for each unit of between-class variance, in the span of the class means.

    Divided by K. S_W weighs samples equally (division by N), S_B weighs classes equally. The pseudo-inverse
    has rank min(K - 1, D) unless class means are linearly dependent. Variance outside the span of the
    means does not count: nc1_trace_ratio sees it. Papyan's notebook does not divide by K (nc1_papyan), Zhu's
    code centres S_B on the mean of all samples (nc1_zhu).
    """
    require_distinct_means(representation)
    classes, span = representation.classes, representation.span
    return smooth_in(span, classes.distance_in_span / classes.counts.sum() / len(classes.counts))


@moment_metric(
    label="NC1: tr(S_W pinv S_B)",
    formula="tr(S_W S_B^+)",
    source=NOTEBOOK,
    collapsed=0.0,
    differs="not divided by K",
    needs=("span", "clear means"),
    skewed=True,
)
def nc1_papyan(representation: Representation) -> Tensor:
    """Within-class variance for each unit of between-class variance, summed over the span of the class means.

    K times nc1_pinv: it grows with the number of classes. S_W weighs samples equally, S_B weighs classes
    equally. No standard error where class means are linearly dependent, for there the pseudo-inverse jumps.
    """
    require_distinct_means(representation)
    classes = representation.classes
    return smooth_in(representation.span, classes.distance_in_span / classes.counts.sum())


@moment_metric(
    label="NC1: tr(S_W pinv S_B)/K, around the sample mean",
    formula="1/K tr(S_W (1/K sum_k (mu_k - overline(h))(mu_k - overline(h))^T)^+)",
    source=ZHU,
    collapsed=0.0,
    differs="divided by K; S_B around the mean of all samples",
    needs=("span", "scatter", "clear means"),
    skewed=True,
)
def nc1_zhu(representation: Representation) -> Tensor:
    """Within-class variance for each unit of the scatter of class means around the mean of all samples.

    Equal to nc1_pinv where all classes have equally many samples. Where they have not, the mean of all samples
    is off the average of class means by some d, and S_B grows by d d^T. No standard error where class means are
    linearly dependent.
    """
    means = centred_means(representation)
    classes, span = representation.classes, representation.span
    shift, inverse_shift = _shift_to_samples(classes.counts / classes.counts.sum(), means, span)
    # Sherman and Morrison, in the span: (S + d d^T)^+ = S^+ - S^+ d d^T S^+ / (1 + d^T S^+ d).
    gain = representation.scatter_along(inverse_shift[None])[0] / (1 + shift @ inverse_shift)
    return smooth_in(span, (classes.distance_in_span - gain) / classes.counts.sum() / len(means))


@moment_metric(
    label="NC1: tr S_W / tr S_B",
    formula="tr(S_W) / tr(S_B)",
    source=f"{TIRER}, the trace quotient",
    collapsed=0.0,
    standard=True,
    differs="traces: all D dimensions count",
    over=("all", "correct", "wrong"),
    skewed=True,
)
def nc1_trace_ratio(representation: Representation) -> Tensor:
    """Within-class variance for each unit of between-class variance, over all D dimensions.

    S_W weighs samples equally (division by N), S_B weighs classes equally. The inverse of the Fisher ratio of
    traces.
    """
    means = centred_means(representation)
    return within_variance(representation) / means.square().sum(1).mean()


@moment_metric(
    label="NC1: tr S_W / tr S_B, unbiased",
    formula="tr(S'_W) / tr(S'_B)",
    source=f"{TIRER}, with within_variance_unbiased and between_variance_unbiased",
    collapsed=0.0,
    differs="traces without what finite samples add to them",
    needs=("clear means",),
)
def nc1_trace_ratio_unbiased(representation: Representation) -> Tensor:
    """Within-class variance for each unit of between-class variance, each estimated without bias.

    A ratio of unbiased numbers is less biased, not unbiased. S'_W divides by N - K; from tr(S'_B) the noise of
    the class means is taken off, and classes with one sample are left out of it. Undefined where no more than
    noise is between the means.
    """
    require_distinct_means(representation)
    between = between_variance_unbiased(representation)
    if between <= 0:
        raise Undefined("class means are no farther apart than their sampling noise")
    return within_variance_unbiased(representation) / between


def _shift_to_samples(
    shares: Float64[Tensor, " M"], means: Float64[Tensor, "M D"], span: Span
) -> tuple[Float64[Tensor, " D"], Float64[Tensor, " D"]]:
    """The mean of all samples as seen from the average of class means, d, and S_B^+ d.

    shares: of the samples, by class; d = M^T shares, and S_B^+ M^T = K M^+.
    """
    return shares @ means, len(means) * _least_squares(means, shares, span)


def _least_squares(
    means: Float64[Tensor, "M D"], target: Float64[Tensor, " M"], span: Span
) -> Float64[Tensor, " D"]:
    """M^+ target, from a span in which M is known, differentiable in both where the rank does not change.

    d(M^+ t) = M^+ dt - M^+ dM x + (M^T M)^+ dM^T (t - M x) + (1 - M^+ M) dM^T (M M^T)^+ t, with x = M^+ t
    (Golub & Pereyra 1973).
    """
    squares = len(means) * span.variances
    basis, inverse = span.basis, span.coordinates / squares  # M^+ = basis inverse^T
    solution = basis @ (inverse.T @ target.detach())
    residual, dual = target.detach() - means.detach() @ solution, inverse @ (inverse.T @ target.detach())
    change = means - means.detach()
    inside = basis @ (inverse.T @ (target - change @ solution) + basis.T @ (change.T @ residual) / squares)
    turned = change.T @ dual
    return inside + turned - basis @ (basis.T @ turned)
