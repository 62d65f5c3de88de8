"""Cross entropy of directions: of normalised logits, and of cosines."""

import torch
from torch import Tensor

from maxsup_analysis.losses.base import Loss, Reduction
from maxsup_analysis.losses.entry import loss
from maxsup_analysis.losses.functional import cross_entropy
from maxsup_analysis.losses.ranges import POSITIVE
from maxsup_analysis.losses.targets import Logits, PerSample, Targets


@loss(
    "logit_norm",
    title="LogitNorm",
    formula="H(s, sigma(z / (tau norm(z))))",
    source="Wei et al. 2022 (arXiv 2205.09310)",
)
class LogitNormLoss(Loss):
    """Cross entropy of the logits divided by their norm and by a temperature.

    Does not change with the scale of the logits, but for the authors' 1e-7 that is added to the norm, which makes a
    zero vector uniform. The paper's temperature is 0.04; the authors' repository trains on CIFAR-10 with 0.01.
    """

    def __init__(
        self,
        *,
        temperature: float = 0.04,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(weight=weight, reduction=reduction, ignore_index=ignore_index)
        self.temperature = self.number("temperature", temperature, POSITIVE)

    def fit(self, logits: Logits, targets: Targets) -> PerSample:
        """H(s, softmax(z / (tau (norm(z) + 1e-7))))."""
        norms = torch.linalg.vector_norm(logits, dim=1, keepdim=True) + 1e-7
        return cross_entropy(logits / (self.temperature * norms), targets, self._weight_like(logits))


@loss(
    "cosine",
    title="Cosine softmax",
    formula="H(s, q), z_k = cos(w_k, h) / tau",
    source="Kornblith et al. 2021 (arXiv 2010.16402)",
)
class CosineSoftmaxLoss(Loss):
    """Cross entropy of cosines between features and class vectors, divided by a temperature.

    The cosines and the temperature are the head's: the model must have `head="cosine"`. On logits of a linear head
    this is cross entropy.
    """

    head = "cosine"
