"""Label smoothing, in torch's convention and over the wrong classes only."""

import torch.nn.functional as F  # noqa: N812

from maxsup_analysis.losses.base import StrengthLoss
from maxsup_analysis.losses.entry import loss
from maxsup_analysis.losses.functional import cross_entropy
from maxsup_analysis.losses.targets import Logits, PerSample, Targets


@loss(
    "ls",
    title="LS",
    formula="H(s, q) + alpha (z_gt - macron(z))",
    source="Szegedy et al. 2016 (arXiv 1512.00567); Zhou et al. 2025, MaxSup (arXiv 2502.15798), Theorem 3.3",
)
class LabelSmoothingLoss(StrengthLoss):
    """Cross entropy with the target (1 - alpha) s + alpha/K; equals torch's `label_smoothing`.

    The true class gets alpha/K too; `WrongClassSmoothingLoss` gives it none.

    Example:
        >>> import torch
        >>> logits, labels = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([0])
        >>> ours, torchs = LabelSmoothingLoss(alpha=0.1), torch.nn.CrossEntropyLoss(label_smoothing=0.1)
        >>> torch.equal(ours(logits, labels), torchs(logits, labels))
        True
    """

    def fit(self, logits: Logits, targets: Targets) -> PerSample:
        """H((1 - alpha) s + alpha/K, q)."""
        return F.cross_entropy(
            logits, targets, self._weight_like(logits), reduction="none", label_smoothing=self.strength
        )


@loss(
    "ls_wrong",
    title="LS, wrong classes",
    formula="H((1 - alpha) s + alpha / (K - 1) (1 - s), q)",
    source="Liang et al. 2022 (arXiv 2207.12980) and the MaxSup repository's long-tailed code",
)
class WrongClassSmoothingLoss(StrengthLoss):
    """Cross entropy with 1 - alpha on the true class and alpha/(K - 1) on each of the wrong ones.

    Equals `LabelSmoothingLoss` with alpha K/(K - 1). 0 where there is one class.
    """

    def fit(self, logits: Logits, targets: Targets) -> PerSample:
        """H((1 - epsilon) s + epsilon/K, q) with epsilon = alpha K/(K - 1)."""
        K, weight = logits.shape[1], self._weight_like(logits)
        # torch's label_smoothing ends at 1, which this passes: K = 2 and alpha = 0.6.
        epsilon = self.strength * K / max(K - 1, 1)
        uniform = logits.new_full((), 1 / K).expand(logits.shape)
        return (1 - epsilon) * cross_entropy(logits, targets, weight) + epsilon * cross_entropy(
            logits, uniform, weight
        )
