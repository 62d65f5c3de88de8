"""From what torch.nn.CrossEntropyLoss takes to samples side by side."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.losses.targets import Logits, Targets


@dataclass(frozen=True)
class Batch:
    """Samples side by side, in float32 or float64.

    kept: which samples count. The others have logits of 0 and the label 0, so that whatever they were
        (infinite, NaN) touches no value and no gradient.
    """

    logits: Logits
    targets: Targets
    kept: Bool[Tensor, " B"]


def batch_of(logits: Tensor, targets: Tensor, ignore_index: int) -> Batch:
    """One row a sample; the positions of an image are samples too.

    Half precision becomes float32, as in torch's own losses under autocast.
    """
    _require_shapes(logits, targets)
    rows, K = _rows(logits.float() if logits.itemsize < 4 else logits), logits.shape[logits.ndim > 1]
    if targets.is_floating_point():
        return Batch(rows, _rows(targets).to(rows.dtype), rows.new_ones(len(rows), dtype=torch.bool))
    labels = targets.reshape(-1).long()
    kept = labels != ignore_index
    labels = labels.masked_fill(~kept, 0)
    _require_labels(labels, K, ignore_index)
    return Batch(rows.masked_fill(~kept[:, None], 0), labels, kept)


def label_shape(logits: Tensor) -> torch.Size:
    """The shape of labels for these logits: theirs without the axis of the classes."""
    return logits.shape[:1] + logits.shape[2:] if logits.ndim > 1 else torch.Size()


def _rows(values: Tensor) -> Tensor:
    """Values of shape (K), (B, K) or (B, K, ...) as one row of K a sample."""
    K = values.shape[values.ndim > 1]
    return values.movedim(1, -1).reshape(-1, K) if values.ndim > 1 else values[None]


def _require_shapes(logits: Tensor, targets: Tensor) -> None:
    if not logits.is_floating_point() or logits.ndim == 0 or logits.shape[logits.ndim > 1] == 0:
        raise InputError(
            f"expected logits as floats of shape (B, K), got {logits.dtype} of shape {tuple(logits.shape)}; "
            "give the model's output before any softmax"
        )
    labels = label_shape(logits)
    if targets.shape != (logits.shape if targets.is_floating_point() else labels):
        raise InputError(
            f"expected integer labels of shape {tuple(labels)} or float weights of shape {tuple(logits.shape)}, "
            f"got {targets.dtype} of shape {tuple(targets.shape)}; .long() makes labels, .float() weights"
        )


def _require_labels(labels: Tensor, K: int, ignore_index: int) -> None:
    # Looking at labels on an accelerator would wait for it in every step; there its own assertion speaks.
    if labels.device.type == "cpu" and not ((labels >= 0) & (labels < K)).all():
        wrong = labels[(labels < 0) | (labels >= K)][0].item()
        raise InputError(
            f"expected labels from 0 to {K - 1}, or {ignore_index} for what is ignored, got {wrong}; "
            "does the model have as many classes as the data?"
        )
