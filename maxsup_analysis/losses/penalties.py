"""Penalties on confidence: on the entropy of the softmax, and on the size of the logits."""

from torch import Tensor

from maxsup_analysis.losses.base import PenalisedLoss, Reduction
from maxsup_analysis.losses.entry import loss
from maxsup_analysis.losses.ranges import NOT_NEGATIVE
from maxsup_analysis.losses.targets import Logits, PerSample, Targets


@loss(
    "confidence_penalty",
    title="Confidence penalty",
    formula="H(s, q) + alpha sum_k q_k ln q_k",
    source="Pereyra et al. 2017 (arXiv 1701.06548)",
)
class ConfidencePenaltyLoss(PenalisedLoss):
    """Cross entropy minus alpha times the entropy of the softmax, summed over classes.

    Others average the entropy over classes (MbLS's code), or add ln K so that the term is 0 for a uniform softmax.
    """

    strengths = NOT_NEGATIVE

    def term(self, logits: Logits, targets: Targets) -> PerSample:
        """sum_k q_k ln q_k."""
        log_softmax = logits.log_softmax(1)
        return (log_softmax.exp() * log_softmax).sum(1)


@loss(
    "logit_penalty",
    title="Logit penalty",
    formula="H(s, q) + alpha/2 norm(z)^2",
    source="Dauphin and Cubuk 2021, Deconstructing the Regularization of BatchNorm (ICLR 2021)",
)
class LogitPenaltyLoss(PenalisedLoss):
    """Cross entropy plus alpha/2 times the squared norm of the logits.

    The default alpha is that of MaxSup's code. The logits as they are, not centred.
    """

    strengths = NOT_NEGATIVE

    def __init__(
        self,
        *,
        alpha: float = 2e-3,
        alpha_end: float | None = None,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(
            alpha=alpha, alpha_end=alpha_end, weight=weight, reduction=reduction, ignore_index=ignore_index
        )

    def term(self, logits: Logits, targets: Targets) -> PerSample:
        """norm(z)^2 / 2."""
        return logits.square().sum(1) / 2
