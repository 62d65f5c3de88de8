"""What label smoothing's regularisation does, sample by sample: the two halves of its term, and the logits.

z are the logits, gt is the true class. The halves add up to z_gt - mean(z); label smoothing's term is that
times alpha (MaxSup, Theorem 3.3 and Corollary 3.4).
"""

from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.losses import error_amplification, regularisation
from maxsup_analysis.metrics.metric import mean_metric
from maxsup_analysis.representation import Representation, Rows

COROLLARY = "Zhou et al. 2025, MaxSup (arXiv 2502.15798), Corollary 3.4"
NEAR_ZERO = 0.01
SUBSETS = ("all", "correct", "wrong")


@mean_metric(
    label="LS regularisation",
    formula="1/K sum_(m: z_m < z_gt) (z_gt - z_m)",
    source=COROLLARY,
    collapsed=None,
    over=SUBSETS,
)
def logit_regularisation(rows: Rows, representation: Representation) -> Float64[Tensor, " B"]:
    """How far the true logit stands above the smaller ones: what label smoothing holds down.

    Mean over samples, divided by alpha; never negative.
    """
    return regularisation(rows.known_logits, rows.labels)


@mean_metric(
    label="LS error amplification",
    formula="1/K sum_(n: z_n > z_gt) (z_gt - z_n)",
    source=COROLLARY,
    collapsed=0.0,
    over=SUBSETS,
)
def logit_error_amplification(rows: Rows, representation: Representation) -> Float64[Tensor, " B"]:
    """How far the true logit stands below the larger ones: what label smoothing pushes apart.

    Mean over samples, divided by alpha; never positive, and 0 for every sample that is classified correctly.
    """
    return error_amplification(rows.known_logits, rows.labels)


@mean_metric(
    label="near-zero logits",
    formula=f"1/(N K) sum_(i,k) [abs(z_(i k)) < {NEAR_ZERO}]",
    source="the MaxSup repository's logit analysis, with its default threshold for every checkpoint",
    collapsed=None,
)
def near_zero_logits(rows: Rows, representation: Representation) -> Float64[Tensor, " B"]:
    """Share of logits that are almost zero.

    The logits as they are: adding a constant to them all, which no probability notices, changes it.
    """
    return (rows.known_logits.abs() < NEAR_ZERO).double().mean(1)


@mean_metric(
    label="near-zero logits, centred",
    formula=f"1/(N K) sum_(i,k) [abs(z_(i k) - macron(z)_i) < {NEAR_ZERO}]",
    source="near_zero_logits after subtracting each sample's mean logit",
    collapsed=None,
)
def near_zero_logits_centred(rows: Rows, representation: Representation) -> Float64[Tensor, " B"]:
    """Share of logits that almost equal the mean logit of their sample.

    Does not change when a constant is added to the logits.
    """
    logits = rows.known_logits
    return ((logits - logits.mean(1, keepdim=True)).abs() < NEAR_ZERO).double().mean(1)
