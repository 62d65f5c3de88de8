"""The model in training, with all that changes from step to step."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from maxsup_analysis.errors import InputError
from maxsup_analysis.hooks import logits_of
from maxsup_analysis.losses import Loss
from maxsup_analysis.training.optimisation import clip, optimiser_of, set_rates
from maxsup_analysis.training.parallel import Team
from maxsup_analysis.training.plan import TrainingPlan
from maxsup_analysis.training.schedule import Rates

if TYPE_CHECKING:
    from timm.utils.model_ema import ModelEmaV3

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Batch:
    """The share of a process in a batch of `size` samples, ready for the model.

    targets: labels, or shares of the classes. labels, clean: what counts as right. counted: which are no padding.
    """

    images: Float32[Tensor, "B C H W"]
    targets: Int64[Tensor, " B"] | Float32[Tensor, "B K"]
    labels: Int64[Tensor, " B"]
    clean: Int64[Tensor, " B"]
    counted: Bool[Tensor, " B"]
    size: int

    def parts(self, count: int) -> list["Batch"]:
        """Up to `count` parts of about the same number of samples, none empty."""
        if count == 1:
            return [self]
        places = torch.arange(len(self.images), device=self.images.device).tensor_split(count)
        return [self._part(place) for place in places if len(place)]

    def _part(self, rows: Tensor) -> "Batch":
        columns = (self.images, self.targets, self.labels, self.clean, self.counted)
        images, targets, labels, clean, counted = (column[rows] for column in columns)
        return Batch(images, targets, labels, clean, counted, self.size)


class Learner:
    """Module, optimiser, loss, the average of the weights, and the scale of gradients: they change with each step."""

    def __init__(self, module: nn.Module, loss: Loss, plan: TrainingPlan, team: Team, rates: Rates) -> None:
        self.plan, self.team, self.rates = plan, team, rates
        # Channels last: a sixth faster for convolutions on a CPU, and more in half precision on a GPU.
        self.module = module.to(team.device).to(memory_format=torch.channels_last)
        self.loss = loss.to(team.device)
        self.averaged = _average(self.module, plan.ema)
        self.optimiser = optimiser_of(self.module, plan)
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=plan.amp == "fp16")
        if plan.compile:
            # In place: the names in the state dict stay what they are.
            self.module.compile()
        self.runner = team.parallel(self.module, sync_batchnorm=plan.sync_batchnorm)

    def step(self, batch: Batch, number: int) -> Tensor:
        """One step of the optimiser, the `number`-th of the run; sums of loss, right and clean-right samples."""
        set_rates(self.optimiser, self.rates.learning_rate(number), self.rates.momentum(number))
        self.optimiser.zero_grad(set_to_none=True)
        parts = batch.parts(self.plan.accumulate)
        sums = [self._backward(part, last=part is parts[-1]) for part in parts]
        self.scaler.unscale_(self.optimiser)
        clip(self.module, self.plan.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.averaged is not None:
            self.averaged.update(self.module)
        return sums[0] if len(sums) == 1 else torch.stack(sums).sum(0)

    def _backward(self, part: Batch, *, last: bool) -> Tensor:
        """Add the gradient of a part's loss, divided by the samples of the whole batch."""
        with self._syncing(last=last):
            outputs = self._outputs(part)
            logits, targets, labels, clean = self._of_all(part, outputs.float())
            losses = self.loss.per_sample(logits, targets)
            # The average over processes that follows is of gradients through their own logits each.
            self.scaler.scale(losses.sum() * (self.team.world / part.size)).backward()
        found = logits.argmax(1)
        return torch.stack([losses.detach().sum(), (found == labels).sum(), (found == clean).sum()])

    def _outputs(self, part: Batch) -> Tensor:
        try:
            with self.autocast():
                return logits_of(self.runner(channels_last(part.images)))
        except ValueError as reason:
            if "more than 1 value per channel" not in str(reason):
                raise
            raise InputError(
                "a batch of 1 image has no statistics that the model could be normalised by; choose a batch_size that "
                "leaves no single image at the end of an epoch, or a smaller accumulate"
            ) from None

    def _of_all(self, part: Batch, logits: Tensor) -> list[Tensor]:
        """Logits, targets, labels and clean labels of all processes, without padding.

        Each process computes the loss of all samples, so that what the loss remembers is the same everywhere.
        """
        columns = [logits, part.targets, part.labels, part.clean]
        if self.team.world == 1:
            return columns
        counted = self.team.together(part.counted.to(torch.uint8)) > 0
        return [self.team.together(column)[counted] for column in columns]

    def _syncing(self, *, last: bool) -> AbstractContextManager:
        """Processes exchange gradients with the last part only."""
        waits = isinstance(self.runner, DistributedDataParallel) and not last
        return self.runner.no_sync() if waits else nullcontext()  # type: ignore[union-attr]

    def autocast(self) -> AbstractContextManager:
        """Half precision, where the plan asks for it."""
        if self.plan.amp is None:
            return nullcontext()
        return torch.autocast(self.team.device.type, HALF[self.plan.amp])

    @property
    def models(self) -> Iterator[nn.Module]:
        """The module, and the average of its weights where there is one."""
        yield self.module
        if self.averaged is not None:
            yield self.averaged.module

    @property
    def state_dict(self) -> dict[str, Tensor]:
        """The weights on the CPU."""
        return _on_cpu(self.module)

    @property
    def averaged_state_dict(self) -> dict[str, Tensor] | None:
        """The average of the weights on the CPU."""
        return None if self.averaged is None else _on_cpu(self.averaged.module)

    def state(self) -> dict[str, object]:
        """All that the next step depends on."""
        return {
            "module": self.module.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "loss": self.loss.state_dict(),
        }

    def restore(self, state: Mapping[str, dict]) -> None:
        """Be as when the state was taken; InputError where it is of another model."""
        try:
            self.module.load_state_dict(state["module"])
            if self.averaged is not None:
                self.averaged.module.load_state_dict(state["averaged"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.scaler.load_state_dict(state["scaler"])
            self.loss.load_state_dict(state["loss"])
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as reason:
            detail = " ".join(str(reason).split())[:160]
            raise InputError(
                f"the training state is of another model: {detail}; delete it to start over"
            ) from None


def channels_last(images: Float32[Tensor, "B C H W"]) -> Float32[Tensor, "B C H W"]:
    """The same images in the layout that convolutions are faster with."""
    B, C, H, W = images.shape
    if C == 1:
        # torch takes one channel for either layout; only strides as these make it choose this one.
        return images.reshape(B, H, W, 1).movedim(3, 1)
    return images.contiguous(memory_format=torch.channels_last)


def _average(module: nn.Module, decay: float | None) -> "ModelEmaV3 | None":
    """The exponential average of timm: decay * average + (1 - decay) * weights after every step, buffers too."""
    if decay is None:
        return None
    from timm.utils.model_ema import ModelEmaV3

    return ModelEmaV3(module, decay)


def _on_cpu(module: nn.Module) -> dict[str, Tensor]:
    return {name: part.detach().cpu().contiguous() for name, part in module.state_dict().items()}
