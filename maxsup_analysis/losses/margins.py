"""Smoothing by margins: only logits that lie too far below the largest are drawn up."""

from typing import Literal, get_args

from torch import Tensor

from maxsup_analysis.losses.base import PenalisedLoss, Reduction
from maxsup_analysis.losses.entry import loss
from maxsup_analysis.losses.ranges import NOT_NEGATIVE
from maxsup_analysis.losses.signature import checked_choice
from maxsup_analysis.losses.targets import Logits, PerSample, Targets, largest_logits

OverClasses = Literal["mean", "sum"]


@loss(
    "mbls",
    title="MbLS",
    formula="H(s, q) + alpha/K sum_k max(0, z_max - z_k - m)",
    source="Liu et al. 2022 (arXiv 2111.15430)",
)
class MarginLabelSmoothingLoss(PenalisedLoss):
    """Cross entropy plus alpha times how far logits lie more than a margin below the largest one.

    over_classes: "mean" over the K classes, as the authors' code and its defaults; "sum", as the paper's formula. With
        a margin of 0 the mean is MaxSup, and the sum is MaxSup with alpha K.
    """

    strengths = NOT_NEGATIVE

    def __init__(
        self,
        *,
        alpha: float = 0.1,
        alpha_end: float | None = None,
        margin: float = 10.0,
        over_classes: OverClasses = "mean",
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(
            alpha=alpha, alpha_end=alpha_end, weight=weight, reduction=reduction, ignore_index=ignore_index
        )
        self.margin = self.number("margin", margin, NOT_NEGATIVE)
        self.over_classes = checked_choice(type(self), "over_classes", over_classes, get_args(OverClasses))

    def term(self, logits: Logits, targets: Targets) -> PerSample:
        """Mean or sum over k of max(0, z_max - z_k - m)."""
        below = (largest_logits(logits)[:, None] - logits - self.margin).relu()
        return below.mean(1) if self.over_classes == "mean" else below.sum(1)


@loss(
    "acls",
    title="ACLS",
    formula="H(s, q) + alpha (lambda_1 max(0, z_max - m)^2 "
    "+ lambda_2/(K - 1) sum_(k != max) max(0, z_max - z_k - m)^2)",
    source="Park et al. 2023 (arXiv 2308.11911)",
)
class AdaptiveConditionalSmoothingLoss(PenalisedLoss):
    """Cross entropy plus alpha times squared hinges: on the largest logit, and on how far the others lie below it.

    In the second the largest logit takes no gradient, so it draws the others up. Mean over the K - 1 others, as in the
    authors' code; 0 where there is one class.
    """

    strengths = NOT_NEGATIVE

    def __init__(
        self,
        *,
        alpha: float = 0.1,
        alpha_end: float | None = None,
        margin: float = 10.0,
        lambda_1: float = 1.0,
        lambda_2: float = 0.1,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(
            alpha=alpha, alpha_end=alpha_end, weight=weight, reduction=reduction, ignore_index=ignore_index
        )
        self.margin = self.number("margin", margin, NOT_NEGATIVE)
        self.lambda_1 = self.number("lambda_1", lambda_1, NOT_NEGATIVE)
        self.lambda_2 = self.number("lambda_2", lambda_2, NOT_NEGATIVE)

    def term(self, logits: Logits, targets: Targets) -> PerSample:
        """lambda_1 max(0, z_max - m)^2 + lambda_2 mean over k != max of max(0, z_max - z_k - m)^2."""
        largest, others = largest_logits(logits), max(logits.shape[1] - 1, 1)
        high = (largest - self.margin).relu().square()
        # The largest itself lies 0 below, within any margin.
        below = (largest.detach()[:, None] - logits - self.margin).relu().square().sum(1) / others
        return self.lambda_1 * high + self.lambda_2 * below
