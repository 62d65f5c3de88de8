"""Poly-1: cross entropy with another first coefficient in its series."""

from torch import Tensor

from maxsup_analysis.losses.base import PenalisedLoss, Reduction
from maxsup_analysis.losses.entry import loss
from maxsup_analysis.losses.ranges import Range
from maxsup_analysis.losses.targets import Logits, PerSample, Targets, true_logits


@loss(
    "poly1",
    title="Poly-1",
    formula="H(s, q) + alpha (1 - q_gt)",
    source="Leng et al. 2022 (arXiv 2204.12511)",
)
class Poly1Loss(PenalisedLoss):
    """Cross entropy plus alpha times the probability that is not on the true class.

    It changes the first coefficient of cross entropy's series in 1 - q_gt from 1 to 1 + alpha; the paper calls alpha
    epsilon, and allows -1 and more. q_gt = s . q where the target is soft.
    """

    strengths = Range(-1.0)

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        alpha_end: float | None = None,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(
            alpha=alpha, alpha_end=alpha_end, weight=weight, reduction=reduction, ignore_index=ignore_index
        )

    def term(self, logits: Logits, targets: Targets) -> PerSample:
        """1 - q_gt."""
        return 1 - true_logits(logits.softmax(1), targets)
