"""Losses per sample: cross entropy, label smoothing, MaxSup, and the two halves of label smoothing.

z are the logits of one sample, q their softmax, s the target: a label, or K weights that sum to one.
Everything is per sample and differentiable; average over the batch yourself, as torch does with
reduction="mean".
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.table import Table

Logits = Float[Tensor, "B K"]
Targets = Int64[Tensor, " B"] | Float[Tensor, "B K"]
PerSample = Float[Tensor, " B"]
MAXSUP = "Zhou et al. 2025, MaxSup (arXiv 2502.15798)"


@dataclass(frozen=True)
class Loss:
    """A loss to train with: logits, targets and a strength to one number a sample."""

    name: str
    title: str
    formula: str
    source: str
    compute: Callable[[Tensor, Tensor, float], Tensor]


LOSSES: Table[Loss] = Table("loss")


def cross_entropy(logits: Logits, targets: Targets) -> PerSample:
    """H(s, q) = -sum_k s_k ln q_k.

    Example:
        >>> import torch
        >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2])).exp()
        tensor([4.])
    """
    return torch.nn.functional.cross_entropy(logits, targets, reduction="none")


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
    largest = logits.gather(1, logits.argmax(1, keepdim=True))[:, 0]
    return cross_entropy(logits, targets) + alpha * (largest - logits.mean(1))


def regularisation(logits: Logits, targets: Targets) -> PerSample:
    """Label smoothing's half that acts against smaller logits, without alpha; Corollary 3.4.

    (1/K) sum over m with z_m < z_gt of (z_gt - z_m); never negative.
    """
    return (true_logits(logits, targets)[:, None] - logits).clamp(min=0).mean(1)


def error_amplification(logits: Logits, targets: Targets) -> PerSample:
    """Label smoothing's half that acts against larger logits, without alpha; Corollary 3.4.

    (1/K) sum over n with z_n > z_gt of (z_gt - z_n); never positive, and 0 where gt is an argmax.
    """
    return (true_logits(logits, targets)[:, None] - logits).clamp(max=0).mean(1)


def true_logits(logits: Logits, targets: Targets) -> PerSample:
    """The logit of the true class; the target's average of the logits where it is soft."""
    if targets.is_floating_point():
        return (targets * logits).sum(1)
    return logits.gather(1, targets[:, None])[:, 0]


def linear_schedule(begin: float, end: float, *, epoch: int, epochs: int) -> float:
    """The strength in an epoch that counts from 0: `begin` in the first and `end` in the last.

    The paper's 0.1 + 0.1 t/T, reaching both ends as in the authors' DeiT and ResNet code. begin == end is
    the fixed strength.

    Example:
        >>> [round(linear_schedule(0.1, 0.2, epoch=epoch, epochs=3), 2) for epoch in range(3)]
        [0.1, 0.15, 0.2]
    """
    if not 0 <= epoch < epochs:
        raise InputError(f"expected an epoch from 0 to {epochs - 1}, got {epoch}; epochs count from 0")
    return begin + (end - begin) * epoch / max(epochs - 1, 1)


def _enter(name: str, title: str, formula: str, source: str, compute: Callable[..., Tensor]) -> None:
    LOSSES.add(name, Loss(name, title, formula, source, compute))


_enter(
    "ce",
    "CE",
    "H(s, q) = -sum_k s_k ln q_k",
    "standard; alpha has no effect",
    lambda logits, targets, alpha: cross_entropy(logits, targets),
)
_enter(
    "ls",
    "LS",
    "H(s, q) + alpha (z_gt - macron(z))",
    f"Szegedy et al. 2016 (arXiv 1512.00567); {MAXSUP}, Theorem 3.3",
    label_smoothing,
)
_enter(
    "maxsup", "MaxSup", "H(s, q) + alpha (z_max - macron(z))", f"{MAXSUP}, Definition 3.5", max_suppression
)
