"""What a sample should become: a label, or K weights that sum to one."""

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int64
from torch import Tensor

Logits = Float[Tensor, "B K"]
Targets = Int64[Tensor, " B"] | Float[Tensor, "B K"]
PerSample = Float[Tensor, " B"]
# One column, of the label; or K columns, where the target is soft.
PerLabel = Float[Tensor, "B C"]


def of_labels(values: Logits, targets: Targets) -> PerLabel:
    """The values of the classes that a target may give weight to."""
    return values if targets.is_floating_point() else values.gather(1, targets[:, None])


def shares(targets: Targets, weight: Float[Tensor, " K"] | None, values: Logits) -> PerLabel:
    """The target's weight for each column of `of_labels`, times the weight of that class."""
    K = values.shape[1]
    classes = values.new_ones(K) if weight is None else weight
    return targets * classes if targets.is_floating_point() else classes[targets][:, None]


def true_logits(logits: Logits, targets: Targets) -> PerSample:
    """The logit of the true class; the target's average of the logits where it is soft."""
    if targets.is_floating_point():
        return (targets * logits).sum(1)
    return logits.gather(1, targets[:, None])[:, 0]


def true_classes(targets: Targets) -> Int64[Tensor, " B"]:
    """The label; of a soft target the class with the largest weight, the first of several."""
    return targets.argmax(1) if targets.is_floating_point() else targets


def soft(classes: Int64[Tensor, " B"], like: Logits) -> Logits:
    """Labels as K weights, of which one is 1."""
    return F.one_hot(classes, like.shape[1]).to(like.dtype)


def largest_logits(logits: Logits) -> PerSample:
    """The largest logit of each sample; of several the first takes the gradient."""
    return logits.gather(1, logits.argmax(1, keepdim=True))[:, 0]
