"""MaxSup, and what its paper's Table 1 takes label smoothing apart into."""

from typing import Literal, get_args

from torch import Tensor

from maxsup_analysis.losses.base import PenalisedLoss, Reduction
from maxsup_analysis.losses.entry import loss
from maxsup_analysis.losses.functional import error_amplification, regularisation, suppression
from maxsup_analysis.losses.signature import checked_choice
from maxsup_analysis.losses.targets import Logits, PerSample, Targets, largest_logits, true_logits

MAXSUP = "Zhou et al. 2025, MaxSup (arXiv 2502.15798)"
Divisor = Literal["counts", "classes"]


@loss(
    "maxsup",
    title="MaxSup",
    formula="H(s, q) + alpha (z_max - macron(z))",
    source=f"{MAXSUP}, Definition 3.5",
)
class MaxSupLoss(PenalisedLoss):
    """Cross entropy plus alpha times how far the largest logit stands above the average one.

    The term looks at no target: with mixup and CutMix it takes the model's own largest logit of the mixed image, as the
    authors do. Of several largest logits the first takes the gradient. Where the prediction is right this is label
    smoothing. The authors' schedule is alpha=0.1, alpha_end=0.2.

    Example:
        >>> import torch
        >>> MaxSupLoss(alpha=0.1, alpha_end=0.2)
        MaxSupLoss(alpha=0.1, alpha_end=0.2, reduction='mean', ignore_index=-100)
        >>> logits, labels = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([2])
        >>> round((MaxSupLoss()(logits, labels) - torch.nn.CrossEntropyLoss()(logits, labels)).item(), 6)
        0.1
    """

    def term(self, logits: Logits, targets: Targets) -> PerSample:
        """z_max - mean z."""
        return suppression(logits)


class HalfOfLabelSmoothing(PenalisedLoss):
    """Cross entropy plus alpha times one half of label smoothing's term.

    divisor: "counts" averages over the logits that the half is about, M below the true one or N above it, as in the
        paper's Table 1, and is 0 where there are none; "classes" divides by K, so that the two halves add up to label
        smoothing (Corollary 3.4).
    """

    def __init__(
        self,
        *,
        alpha: float = 0.1,
        alpha_end: float | None = None,
        divisor: Divisor = "counts",
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(
            alpha=alpha, alpha_end=alpha_end, weight=weight, reduction=reduction, ignore_index=ignore_index
        )
        self.divisor = checked_choice(type(self), "divisor", divisor, get_args(Divisor))

    def averaged(self, halves: PerSample, concerned: Tensor) -> PerSample:
        """The half, which is divided by K, divided by what it is to be; `concerned` are the logits it is about."""
        if self.divisor == "classes":
            return halves
        # The half is 0 wherever the count is.
        return halves * concerned.shape[1] / concerned.sum(1).clamp(min=1)


@loss(
    "regularisation",
    title="LS, regularisation only",
    formula="H(s, q) + alpha/M sum_(m: z_m < z_gt) (z_gt - z_m)",
    source=f"{MAXSUP}, Corollary 3.4 and Table 1",
)
class RegularisationLoss(HalfOfLabelSmoothing):
    """Cross entropy plus label smoothing's half that holds the true logit down towards the smaller ones."""

    def term(self, logits: Logits, targets: Targets) -> PerSample:
        """1/M sum over the logits below the true one of (z_gt - z)."""
        concerned = logits < true_logits(logits, targets)[:, None]
        return self.averaged(regularisation(logits, targets), concerned)


@loss(
    "error_amplification",
    title="LS, error amplification only",
    formula="H(s, q) + alpha/N sum_(n: z_n > z_gt) (z_gt - z_n)",
    source=f"{MAXSUP}, Corollary 3.4 and Table 1",
)
class ErrorAmplificationLoss(HalfOfLabelSmoothing):
    """Cross entropy plus label smoothing's half that pushes the true logit away from the larger ones.

    The term is never positive, so the loss can be negative.
    """

    def term(self, logits: Logits, targets: Targets) -> PerSample:
        """1/N sum over the logits above the true one of (z_gt - z)."""
        concerned = logits > true_logits(logits, targets)[:, None]
        return self.averaged(error_amplification(logits, targets), concerned)


@loss(
    "error_amplification_max",
    title="LS, error amplification by the largest",
    formula="H(s, q) + alpha (z_gt - z_max)",
    source=f"{MAXSUP}, Table 1",
)
class ErrorAmplificationMaxLoss(PenalisedLoss):
    """Cross entropy plus alpha times how far the true logit stands below the largest one.

    The term is never positive, so the loss can be negative.
    """

    def term(self, logits: Logits, targets: Targets) -> PerSample:
        """z_gt - z_max."""
        return true_logits(logits, targets) - largest_logits(logits)
