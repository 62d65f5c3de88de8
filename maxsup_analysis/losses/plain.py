"""Cross entropy: what every other loss is compared with."""

from maxsup_analysis.losses.base import Loss
from maxsup_analysis.losses.entry import loss


@loss("ce", title="CE", formula="H(s, q) = -sum_k s_k ln q_k", source="standard")
class CrossEntropyLoss(Loss):
    """Cross entropy; equals torch.nn.CrossEntropyLoss.

    A strength may be given to it in a study, where it stands in a grid with others; it has no effect.
    """

    baseline = True
