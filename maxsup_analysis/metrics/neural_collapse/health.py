"""How far the other measures can be trusted: what the class means span, and what is possible with K and D."""

from torch import Tensor

from maxsup_analysis.errors import NotSmooth, Undefined
from maxsup_analysis.metrics.entry import moment_metric
from maxsup_analysis.metrics.neural_collapse.simplex import nc2_etf_means
from maxsup_analysis.metrics.neural_collapse.vectors import centred_means, constant, smooth_in
from maxsup_analysis.metrics.variation.classes import (
    NEGLIGIBLE,
    require_distinct_means,
    require_two_classes,
)
from maxsup_analysis.representation import Representation

SOURCE = "what NC1 and NC2 presuppose"
# Eigenvalues whose ratio is this close to one are one eigenvalue of several axes.
TIED = 1e-9


@moment_metric(
    label="rank of S_B",
    formula="rank(S_B)",
    source=SOURCE,
    collapsed=None,
)
def between_rank(representation: Representation) -> Tensor:
    """Number of dimensions that the centred class means span.

    Up to rounding of singular values in float64; at most min(K - 1, D). No sampling variance, unless it is less
    than that, where it would jump.
    """
    centred_means(representation)
    return smooth_in(representation.span, constant(float(representation.span.rank)))


@moment_metric(
    label="condition number of S_B",
    formula="lambda_1(S_B) / lambda_r(S_B), r = rank(S_B)",
    source=SOURCE,
    collapsed=1.0,
    needs=("clear means",),
)
def between_condition(representation: Representation) -> Tensor:
    """Largest over smallest variance of the class means, among the axes that they span.

    1 at collapse; the larger, the more nc1_pinv is a matter of one or two axes that tell few classes apart. Zero
    eigenvalues do not count. No standard error where class means are linearly dependent, or either eigenvalue is
    that of several axes.
    """
    means, span = centred_means(representation), representation.span
    if span.rank == 1:
        return smooth_in(span, constant(1.0))
    # An eigenvalue changes, to first order, with the variance along its axis.
    along = (means @ span.basis[:, [0, -1]]).square().sum(0)
    value = along[0] / along[1]
    ratios = span.variances[1:] / span.variances[:-1]
    if ratios[[0, -1]].max() > 1 - TIED:
        raise NotSmooth(value.item(), "an eigenvalue belongs to several axes, where it has no derivative")
    return smooth_in(span, value)


@moment_metric(
    label="within-class variance in the span of the means",
    formula='tr(P S_W) / tr(S_W), P "onto the span of" m_1, ..., m_K',
    source=SOURCE,
    collapsed=None,
    needs=("span", "clear means"),
)
def within_share_in_span(representation: Representation) -> Tensor:
    """Share of the within-class variance that lies in the span of the class means, which nc1_pinv sees.

    Between 0 and 1; 1 when K - 1 >= D. nc1_trace_ratio sees all of it. Undefined at exact collapse, where nothing
    varies within classes. No standard error where class means are linearly dependent.
    """
    require_distinct_means(representation)
    classes = representation.classes
    within = classes.spreads.sum()
    # What rounding leaves of samples that coincide: a share of how far from the origin they are.
    if within <= NEGLIGIBLE * (within + classes.counts @ classes.offsets.square().sum(1)):
        raise Undefined("samples do not vary within classes, so there is no variance to share out")
    return smooth_in(representation.span, (classes.inside_span / within).clamp(max=1))


@moment_metric(
    label="floor of the ETF error",
    formula='sqrt(2 - 2 sqrt(D / (K - 1))) "if" K - 1 > D, "else" 0',
    source="the best approximation of rank D to the simplex's Gram matrix",
    collapsed=0.0,
)
def etf_floor(representation: Representation) -> Tensor:
    """The least that nc2_etf_means can be with this many classes and dimensions.

    K counts classes with samples. 0 unless K - 1 > D, where no simplex fits. It depends on no sample, so its
    standard error is 0.
    """
    require_two_classes(representation)
    freedom, D = len(representation.occupied) - 1, representation.dimensions
    return constant((2 - 2 * (D / freedom) ** 0.5) ** 0.5 if freedom > D else 0.0)


@moment_metric(
    label="NC2: ETF error above its floor, means",
    formula="norm((M M^T) / norm(M M^T)_F - (I - J/K) / sqrt(K - 1))_F - f",
    source="nc2_etf_means minus etf_floor",
    collapsed=0.0,
    differs="of class means, less what K and D make inevitable",
    needs=("clear means",),
    kinked=True,
    size=lambda representation: constant(1.0),
)
def nc2_etf_means_excess(representation: Representation) -> Tensor:
    """How much farther the class means are from a simplex than their number and dimension require.

    f is etf_floor. 0 when they are as close to a simplex as K points in D dimensions can be.
    """
    return nc2_etf_means(representation) - etf_floor(representation)


@moment_metric(
    label="samples a class and dimension",
    formula="N / (K D)",
    source=SOURCE,
    collapsed=None,
)
def samples_per_dimension(representation: Representation) -> Tensor:
    """Mean number of samples a class for each dimension of the features.

    K counts classes with samples. Below about 1 the covariance of a class is singular, and vci and nc1_pinv of
    training samples say little about new ones. Samples are drawn within classes, so its standard error is 0.
    """
    # Detached: they are fixed, and a standard error of exactly 0 says so.
    counts = representation.classes.counts.detach()
    return counts.sum() / len(counts) / representation.dimensions
