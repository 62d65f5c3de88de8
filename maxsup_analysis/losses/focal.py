"""Focal losses: the surer the network is of the true class, the less a sample counts."""

import torch
from jaxtyping import Float
from torch import Tensor

from maxsup_analysis.losses.base import Loss, Reduction
from maxsup_analysis.losses.entry import loss
from maxsup_analysis.losses.ranges import NOT_NEGATIVE
from maxsup_analysis.losses.targets import Logits, PerLabel, PerSample, Targets, of_labels, shares


@loss(
    "focal",
    title="Focal",
    formula="-sum_k s_k (1 - q_k)^gamma ln q_k",
    source="Lin et al. 2017 (arXiv 1708.02002)",
)
class FocalLoss(Loss):
    """Cross entropy in which a sample counts the less the surer the network is of its class.

    gamma = 0 is cross entropy; Mukhoti et al. 2020 use 3. The paper's balance of classes, which it calls alpha, is
    `weight` here. A soft target averages the loss over its labels. The factor takes gradient too; the MaxSup
    repository's long-tailed code detaches it.
    """

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(weight=weight, reduction=reduction, ignore_index=ignore_index)
        self.gamma = self.number("gamma", gamma, NOT_NEGATIVE)

    def fit(self, logits: Logits, targets: Targets) -> PerSample:
        """-sum_k w_k s_k (1 - q_k)^gamma ln q_k."""
        log_q = of_labels(logits.log_softmax(1), targets)
        return (shares(targets, self._weight_like(logits), logits) * focal(log_q, self.gamma)).sum(1)


@loss(
    "flsd53",
    title="FLSD-53",
    formula="-sum_k s_k (1 - q_k)^gamma(q_k) ln q_k",
    source="Mukhoti et al. 2020 (arXiv 2002.09437)",
)
class SampleDependentFocalLoss(Loss):
    """Focal loss with gamma 5 where the probability of the true class is below 0.2, and 3 elsewhere."""

    def fit(self, logits: Logits, targets: Targets) -> PerSample:
        """-sum_k w_k s_k (1 - q_k)^gamma(q_k) ln q_k."""
        log_q = of_labels(logits.log_softmax(1), targets)
        values = torch.where(log_q.exp() < 0.2, focal(log_q, 5.0), focal(log_q, 3.0))
        return (shares(targets, self._weight_like(logits), logits) * values).sum(1)


def focal(log_q: Float[Tensor, "B C"], gamma: float) -> PerLabel:
    """-(1 - q)^gamma ln q, from ln q.

    Example:
        >>> focal(torch.tensor([[0.5]]).log(), 2.0)
        tensor([[0.1733]])
    """
    # Where q rounds to 1 the loss is 0 and flat, but (1 - q)^gamma has no derivative there if gamma < 1.
    rest = (-log_q.expm1()).clamp(min=torch.finfo(log_q.dtype).tiny)
    return -rest.pow(gamma) * log_q
