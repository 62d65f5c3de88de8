"""What all losses share: shapes, precision, class weights, ignored samples, reduction, the strength by epoch.

z are the logits of one sample, q their softmax, s the target: a label, or K weights that sum to one. A loss is a
fit plus, for most, an added term times alpha:

    sum_k w_k s'_k (-ln q_k)  +  alpha (sum_k w_k s_k) term

w are the class weights, 1 unless given; s' is what the loss fits in place of s (smoothed, drawn anew), or s. The mean
divides by the weights of the labels of the batch, as torch does: sum_i w_(y_i); and by the number of samples where
targets are soft.
"""

from collections.abc import Callable
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from maxsup_analysis.errors import InputError
from maxsup_analysis.losses.batch import Batch, batch_of, label_shape
from maxsup_analysis.losses.functional import cross_entropy
from maxsup_analysis.losses.ranges import FRACTION, Range
from maxsup_analysis.losses.schedule import linear_schedule
from maxsup_analysis.losses.signature import checked_choice, checked_number, defaults_of
from maxsup_analysis.losses.targets import Logits, PerSample, Targets, shares

Reduction = Literal["mean", "sum", "none"]


class Loss(nn.Module):
    """A loss to train with, in the place of torch.nn.CrossEntropyLoss; subclasses say what it fits and adds.

    Logits are (B, K), or (B, K, ...) with a label for each position, or (K) for one sample; targets are labels, or
    weights in the shape of the logits. Computed in float32 where logits are in half precision, under autocast too;
    float64 stays. An infinite logit gives what the formula gives, inf or NaN: nothing is clipped. As in torch, the
    mean of a batch that is empty or all ignored is NaN, its sum 0.

    Attributes:
        alpha: the present strength of the added term; None where there is none. It may be assigned.
        strengths: what alpha may be.
        head: the kind of head that the model must have for it; None for any.
        baseline: whether a strength means nothing to it but may be given, so that it can stand in a grid of them.
    """

    name: ClassVar[str] = "unnamed"
    strengths: ClassVar[Range] = FRACTION
    head: ClassVar[Literal["cosine"] | None] = None
    baseline: ClassVar[bool] = False
    weight: Tensor | None

    def __init__(
        self, *, weight: Tensor | None = None, reduction: Reduction = "mean", ignore_index: int = -100
    ) -> None:
        super().__init__()
        self.alpha: float | None = None
        self.reduction = checked_choice(type(self), "reduction", reduction, get_args(Reduction))
        self.ignore_index = ignore_index
        self.register_buffer("weight", weight)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of the batch, reduced as `reduction` says."""
        losses = self.per_sample(logits, targets)
        if self.reduction == "none":
            return losses
        return losses.sum() if self.reduction == "sum" else losses.sum() / self._size(losses, targets)

    def per_sample(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sample, with its class weight; 0 where the label is `ignore_index`."""
        with torch.autocast(logits.device.type, enabled=False):
            batch = batch_of(logits, targets, self.ignore_index)
            self._require_weight(batch.logits)
            self.observe(batch)
            losses = self.value(batch.logits, batch.targets)
        return losses.masked_fill(~batch.kept, 0).reshape(label_shape(logits))

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Say that an epoch begins; epochs count from 0. Where nothing changes with them it need not be said."""
        linear_schedule(0.0, 0.0, epoch=epoch, epochs=epochs)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Loss":
        """Move, or convert; tables and class weights do not become half precision, in which nothing adds up."""
        before = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        super()._apply(fn, recurse)
        for name, buffer in before.items():
            moved = self._buffers[name]
            if moved is not None and moved.itemsize < 4 <= buffer.itemsize:
                self._buffers[name] = buffer.to(moved.device)
        return self

    @property
    def changes(self) -> bool:
        """Whether epochs differ, so that it must be told of each."""
        return False

    def value(self, logits: Logits, targets: Targets) -> PerSample:
        """The loss of each sample, of which none is ignored."""
        return self.fit(logits, targets)

    def fit(self, logits: Logits, targets: Targets) -> PerSample:
        """How far the softmax is from the target, with class weights."""
        return cross_entropy(logits, targets, self._weight_like(logits))

    def observe(self, batch: Batch) -> None:
        """See a batch before its loss is computed, for losses that learn from it."""

    def sample_weights(self, logits: Logits, targets: Targets) -> PerSample:
        """The class weight of each sample, averaged by its target where that is soft: sum_k w_k s_k."""
        return shares(targets, self._weight_like(logits), logits).sum(1)

    def number(self, argument: str, value: float, allowed: Range) -> float:
        """The value of an argument, or InputError where it is not among the allowed."""
        return checked_number(type(self), argument, value, allowed)

    def extra_repr(self) -> str:
        """What it was told, in the words of the signature, with the present alpha."""
        words = {name: getattr(self, name) for name in defaults_of(type(self)) if name != "weight"}
        return ", ".join(f"{name}={value!r}" for name, value in words.items() if value is not None)

    def _size(self, losses: Tensor, targets: Tensor) -> Tensor | int:
        """What the mean divides by."""
        if targets.is_floating_point():
            return losses.numel()
        labels = targets.long()
        kept = labels != self.ignore_index
        if self.weight is None:
            return kept.sum()
        return (self.weight.to(losses)[labels.masked_fill(~kept, 0)] * kept).sum()

    def _weight_like(self, logits: Logits) -> Tensor | None:
        return None if self.weight is None else self.weight.to(logits)

    def _require_weight(self, logits: Logits) -> None:
        K = logits.shape[1]
        if self.weight is not None and self.weight.shape != (K,):
            raise InputError(
                f"expected a class weight for each of {K} classes, got shape {tuple(self.weight.shape)}; "
                "give weight as a tensor of K numbers"
            )


class StrengthLoss(Loss):
    """A loss whose added part has a strength: `alpha`, or `alpha` at the first epoch to `alpha_end` at the last."""

    def __init__(
        self,
        *,
        alpha: float = 0.1,
        alpha_end: float | None = None,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(weight=weight, reduction=reduction, ignore_index=ignore_index)
        self.alpha_begin = self.number("alpha", alpha, self.strengths)
        self.alpha_end = None if alpha_end is None else self.number("alpha_end", alpha_end, self.strengths)
        self.alpha, self.started = self.alpha_begin, False

    def per_sample(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sample; InputError where it changes with the epochs and was told of none."""
        if self.training and self.changes and not self.started:
            raise InputError(
                f"the loss {self.name!r} changes from epoch to epoch and was told of none; "
                "call loss.start_epoch(epoch, epochs) as each begins, epoch from 0"
            )
        return super().per_sample(logits, targets)

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Say that an epoch begins; epochs count from 0. Sets alpha where it goes from `alpha` to `alpha_end`."""
        end = self.alpha_begin if self.alpha_end is None else self.alpha_end
        alpha, self.started = linear_schedule(self.alpha_begin, end, epoch=epoch, epochs=epochs), True
        if self.alpha_end is not None:
            self.alpha = alpha

    @property
    def changes(self) -> bool:
        """Whether epochs differ, so that it must be told of each."""
        return self.alpha_end is not None and self.alpha_end != self.alpha_begin

    @property
    def strength(self) -> float:
        """Alpha, which such a loss always has."""
        assert self.alpha is not None
        return self.alpha


class PenalisedLoss(StrengthLoss):
    """Cross entropy plus alpha times a term."""

    def value(self, logits: Logits, targets: Targets) -> PerSample:
        """The fit plus alpha (sum_k w_k s_k) term."""
        added = self.strength * self.sample_weights(logits, targets) * self.term(logits, targets)
        return self.fit(logits, targets) + added

    def term(self, logits: Logits, targets: Targets) -> PerSample:
        """What is added, without alpha and class weights."""
        raise NotImplementedError
