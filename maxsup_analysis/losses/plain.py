"""Cross entropy: what every other loss is compared with."""

from torch import Tensor

from maxsup_analysis.losses.base import Loss, Reduction
from maxsup_analysis.losses.entry import loss


@loss("ce", title="CE", formula="H(s, q) = -sum_k s_k ln q_k", source="standard")
class CrossEntropyLoss(Loss):
    """Cross entropy; equals torch.nn.CrossEntropyLoss.

    A strength may be given to it in a study, where it stands in a grid with others; it has no effect.
    """

    baseline = True

    def __init__(
        self, *, weight: Tensor | None = None, reduction: Reduction = "mean", ignore_index: int = -100
    ) -> None:
        super().__init__(weight=weight, reduction=reduction, ignore_index=ignore_index)
