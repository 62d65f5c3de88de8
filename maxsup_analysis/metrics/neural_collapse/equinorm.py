"""NC2: are class means, or the rows of the head, equally long?"""

from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.entry import moment_metric
from maxsup_analysis.metrics.neural_collapse.vectors import NOTEBOOK, centred_means, constant, head_rows
from maxsup_analysis.representation import Representation


@moment_metric(
    label="NC2: equinorm, means",
    formula="(std_k norm(m_k)) / (mean_k norm(m_k))",
    source=NOTEBOOK,
    collapsed=0.0,
    standard=True,
    needs=("clear means",),
    kinked=True,
)
def nc2_equinorm_means(representation: Representation) -> Tensor:
    """How unequal the lengths of the centred class means are: their coefficient of variation.

    Standard deviation with division by K - 1. 0 with two classes, whose centred means are opposite.
    """
    means = centred_means(representation)
    return constant(0.0) if len(means) == 2 else _variation_of_norms(means)


@moment_metric(
    label="NC2: equinorm, head",
    formula="(std_k norm(w_k)) / (mean_k norm(w_k))",
    source=NOTEBOOK,
    collapsed=0.0,
    standard=True,
)
def nc2_equinorm_head(representation: Representation) -> Tensor:
    """How unequal the lengths of the rows of the head are: their coefficient of variation.

    Rows as they are, not centred. Standard deviation with division by K - 1.
    """
    return _variation_of_norms(head_rows(representation))


def _variation_of_norms(vectors: Float64[Tensor, "K D"]) -> Tensor:
    norms = vectors.norm(dim=1)
    if norms.mean() == 0:
        raise Undefined("all vectors are zero")
    return norms.std() / norms.mean()
