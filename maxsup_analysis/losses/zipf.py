"""Zipf's label smoothing: the wrong classes should follow a power law in the order of the sample's own logits."""

import torch
from torch import Tensor

from maxsup_analysis.losses.base import PenalisedLoss, Reduction
from maxsup_analysis.losses.entry import loss
from maxsup_analysis.losses.ranges import NOT_NEGATIVE, POSITIVE
from maxsup_analysis.losses.targets import Logits, PerSample, Targets, true_classes


@loss(
    "zipf_ls",
    title="Zipf-LS",
    formula="H(s, q) + alpha sum_(k != gt) p_k ln (p_k / tilde(q)_k)",
    source="Liang et al. 2022 (arXiv 2207.12980)",
)
class ZipfLabelSmoothingLoss(PenalisedLoss):
    """Cross entropy plus alpha times the divergence of the wrong classes' softmax from a power law of their ranks.

    p_k is proportional to 1/r_k^power, with r_k the rank of class k among the wrong ones by the sample's own logits,
    ties sharing the best rank; q~ is the softmax over the wrong logits. p takes no gradient. 0 where there are fewer
    than three classes. Of a soft target the class with the largest weight is the true one. The paper's dense ranking,
    which counts votes of local predictions, and its auxiliary heads need more than logits and are not here. The authors
    use alpha 0.1 on CIFAR-100 and ImageNet, 1 on TinyImageNet and iNaturalist.
    """

    strengths = NOT_NEGATIVE

    def __init__(
        self,
        *,
        alpha: float = 0.1,
        alpha_end: float | None = None,
        power: float = 1.0,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(
            alpha=alpha, alpha_end=alpha_end, weight=weight, reduction=reduction, ignore_index=ignore_index
        )
        self.power = self.number("power", power, POSITIVE)

    def term(self, logits: Logits, targets: Targets) -> PerSample:
        """Sum over k != gt of p_k ln(p_k / q~_k)."""
        gt = true_classes(targets)[:, None]
        wrong = logits.scatter(1, gt, -torch.inf)
        law = zipf_law(wrong.detach(), self.power).scatter(1, gt, 0)
        log_softmax = wrong.log_softmax(1).scatter(1, gt, 0)
        return (torch.xlogy(law, law) - law * log_softmax).sum(1)


def zipf_law(logits: Logits, power: float) -> Logits:
    """Weights proportional to rank^-power, where rank 1 has the largest logit; logits of -inf get none.

    Example:
        >>> zipf_law(torch.tensor([[5.0, -torch.inf, 7.0]]), 1.0)
        tensor([[0.3333, 0.0000, 0.6667]])
    """
    K = logits.shape[1]
    larger = K - torch.searchsorted(logits.sort(1).values, logits, right=True)
    law = (1 + larger.to(logits.dtype)).pow(-power).masked_fill(logits == -torch.inf, 0)
    # Without a wrong class there is no law, and nothing to divide.
    total = law.sum(1, keepdim=True)
    return law / total.masked_fill(total == 0, 1)
