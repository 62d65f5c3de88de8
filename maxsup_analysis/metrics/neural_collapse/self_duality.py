"""NC3: are the head and the class means the same, up to scale?"""

from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.entry import moment_metric
from maxsup_analysis.metrics.neural_collapse.simplex import simplex_error
from maxsup_analysis.metrics.neural_collapse.vectors import (
    NOTEBOOK,
    PAPYAN,
    RHUBARBWU,
    ZHOU,
    ZHU,
    centred_means,
    constant,
    rows_with_samples,
    units,
)
from maxsup_analysis.representation import Representation


@moment_metric(
    label="NC3: self-duality",
    formula="norm(W / norm(W)_F - M / norm(M)_F)_F^2",
    source=NOTEBOOK,
    collapsed=0.0,
    standard=True,
    differs="Frobenius norm, squared",
    needs=("clear means",),
)
def nc3_self_duality(representation: Representation) -> Tensor:
    """Distance between the head and the centred class means, both of norm one.

    Frobenius norm, squared, as in the notebook; W is not centred. 0 when they are the same up to scale, 2
    when they are orthogonal, 4 when opposite. Rows of the head whose class has no sample are left out.
    """
    return _gap(representation).square().sum()


@moment_metric(
    label="NC3: self-duality, not squared",
    formula="norm(W / norm(W)_F - M / norm(M)_F)_F",
    source=f"{PAPYAN}, as printed",
    collapsed=0.0,
    differs="Frobenius norm, not squared",
    needs=("clear means",),
    kinked=True,
)
def nc3_self_duality_norm(representation: Representation) -> Tensor:
    """Distance between the head and the centred class means, both of norm one, not squared.

    The square root of nc3_self_duality: sqrt(2) when they are orthogonal, 2 when opposite. W is not centred. Rows
    of the head whose class has no sample are left out. At exactly 0 its standard error counts as 0.
    """
    return _gap(representation).norm()


@moment_metric(
    label="NC3: ETF error, head and means",
    formula="norm((W M^T) / norm(W M^T)_F - (I - J/K) / sqrt(K - 1))_F",
    source=ZHU,
    collapsed=0.0,
    standard=True,
    differs="against a simplex, W as it is",
    needs=("clear means",),
    kinked=True,
)
def nc3_etf(representation: Representation) -> Tensor:
    """Distance of the head's products with the centred class means from a simplex, both of norm one.

    Frobenius norm, not squared; W is not centred. M is centred on the average of class means; Zhu et al. centre it on
    the mean of all samples, which is the same where classes are of one size. Rows of the head whose class has no sample
    are left out.
    """
    means = centred_means(representation)
    return simplex_error(rows_with_samples(representation), means)


@moment_metric(
    label="NC3: ETF error, centred head and means",
    formula="norm((W_0 M^T) / norm(W_0 M^T)_F - (I - J/K) / sqrt(K - 1))_F, W_0 = W - J W / K",
    source=ZHOU,
    collapsed=0.0,
    differs="against a simplex, W less its average row",
    needs=("clear means",),
    kinked=True,
)
def nc3_etf_centred(representation: Representation) -> Tensor:
    """Distance of the centred head's products with the centred class means from a simplex, both of norm one.

    Frobenius norm, not squared. M is centred as in nc3_etf. Rows of the head whose class has no sample are left out,
    then the others are centred. With two classes 0 or, where they point opposite ways, 2.
    """
    means, rows = centred_means(representation), rows_with_samples(representation)
    if len(means) == 2 and (along := float((rows[0] - rows[1]) @ means[0].detach())) != 0:
        return constant(0.0 if along > 0 else 2.0)
    return simplex_error(rows - rows.mean(0), means)


@moment_metric(
    label="NC3: cosine of head and means",
    formula="1/K sum_k cos(w_k, m_k)",
    source=RHUBARBWU,
    collapsed=1.0,
    differs="class by class, whatever the lengths",
    needs=("clear means",),
)
def nc3_cosine(representation: Representation) -> Tensor:
    """Cosine between a row of the head and the centred mean of its class, averaged over classes.

    From -1 to 1; lengths do not matter, of which nc3_self_duality sees both. W is not centred. Rows of the head
    whose class has no sample are left out.
    """
    means = centred_means(representation)
    return (units(rows_with_samples(representation)) * units(means)).sum(1).mean()


def _gap(representation: Representation) -> Float64[Tensor, "M D"]:
    """Head minus means, both of norm one."""
    means, rows = centred_means(representation), rows_with_samples(representation)
    if (norm := rows.norm()) == 0:
        raise Undefined("the head is zero and cannot be scaled to norm one")
    return rows / norm - means / means.norm()
