"""DisturbLabel: regularisation by wrong labels, drawn anew for every batch."""

import torch

from maxsup_analysis.losses.base import StrengthLoss
from maxsup_analysis.losses.entry import loss
from maxsup_analysis.losses.functional import cross_entropy
from maxsup_analysis.losses.targets import Logits, PerSample, Targets, soft


@loss(
    "disturb_label",
    title="DisturbLabel",
    formula="H(s', q)",
    source="Xie et al. 2016 (arXiv 1605.00055)",
)
class DisturbLabelLoss(StrengthLoss):
    """Cross entropy in which each label is drawn anew with probability alpha, uniformly over all K classes.

    A label thus changes with probability alpha (K - 1)/K, and the expected loss is label smoothing's. In training mode
    only, by torch's global generator of the logits' device; call .eval() where nothing may be drawn. A soft target is
    replaced as a whole.
    """

    def fit(self, logits: Logits, targets: Targets) -> PerSample:
        """H(s', q), where s' is drawn in training mode."""
        seen = disturbed(targets, logits, self.strength) if self.training else targets
        return cross_entropy(logits, seen, self._weight_like(logits))


def disturbed(targets: Targets, logits: Logits, rate: float) -> Targets:
    """Targets of which each is replaced by a random class with probability `rate`."""
    B, K = logits.shape
    drawn = torch.randint(K, (B,), device=logits.device)
    replaced = torch.rand(B, device=logits.device, dtype=torch.float32) < rate
    if targets.is_floating_point():
        return torch.where(replaced[:, None], soft(drawn, logits), targets)
    return torch.where(replaced, drawn, targets)
