"""Losses per sample as functions: cross entropy, label smoothing, MaxSup, and the two halves of label smoothing.

z are the logits of one sample, q their softmax, s the target: a label, or K weights that sum to one.
Everything is per sample and differentiable; average over the batch yourself, as torch does with
reduction="mean".
"""

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from maxsup_analysis.losses.targets import Logits, PerSample, Targets, largest_logits, true_logits


def cross_entropy(logits: Logits, targets: Targets, weight: Float[Tensor, " K"] | None = None) -> PerSample:
    """H(s, q) = -sum_k s_k ln q_k, each term times the weight of its class.

    Example:
        >>> import torch
        >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2])).exp()
        tensor([4.])
    """
    return F.cross_entropy(logits, targets, weight=weight, reduction="none")


def label_smoothing(logits: Logits, targets: Targets, alpha: float) -> PerSample:
    """Cross entropy with the target (1 - alpha) s + alpha/K; Definition 3.1, and torch's label_smoothing.

    Equals cross entropy plus alpha (z_gt - mean z) with z_gt = s . z (Theorem 3.3; for soft targets its
    appendix B).
    """
    return cross_entropy(logits, targets) + alpha * (true_logits(logits, targets) - logits.mean(1))


def max_suppression(logits: Logits, targets: Targets, alpha: float) -> PerSample:
    """Cross entropy plus alpha (z_max - mean z); Definition 3.5.

    Of several largest logits the first takes the gradient.
    """
    return cross_entropy(logits, targets) + alpha * suppression(logits)


def suppression(logits: Logits) -> PerSample:
    """MaxSup's term without alpha: z_max - mean z; never negative. Looks at no target."""
    return largest_logits(logits) - logits.mean(1)


def regularisation(logits: Logits, targets: Targets) -> PerSample:
    """Label smoothing's half that acts against smaller logits, without alpha; Corollary 3.4.

    (1/K) sum over m with z_m < z_gt of (z_gt - z_m); never negative.
    """
    return (true_logits(logits, targets)[:, None] - logits).relu().mean(1)


def error_amplification(logits: Logits, targets: Targets) -> PerSample:
    """Label smoothing's half that acts against larger logits, without alpha; Corollary 3.4.

    (1/K) sum over n with z_n > z_gt of (z_gt - z_n); never positive, and 0 where gt is an argmax. A logit that ties
    with the true one is in neither half, for the gradient too.
    """
    return -(logits - true_logits(logits, targets)[:, None]).relu().mean(1)
