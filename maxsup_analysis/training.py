"""Train one run with one loss."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from maxsup_analysis.architectures.build import build_module
from maxsup_analysis.checkpoints import save_checkpoint
from maxsup_analysis.classifiers import ARCHITECTURES
from maxsup_analysis.datasets import LabelledImages, load
from maxsup_analysis.devices import device_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.losses import LOSSES, linear_schedule
from maxsup_analysis.preprocessing import Preprocessing
from maxsup_analysis.progress import track
from maxsup_analysis.version import __version__


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that decides the weights of a run.

    alpha_end: the strength of the loss in the last epoch, reached linearly; None keeps alpha.
    train_samples: the first so many training images; None takes all.
    """

    data: str = "digits"
    loss: str = "ce"
    alpha: float = 0.1
    alpha_end: float | None = None
    model: str = "small_cnn"
    epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 0.2
    weight_decay: float = 5e-4
    seed: int = 0
    train_samples: int | None = None
    data_dir: Path | None = None
    device: str = "auto"

    def strength(self, epoch: int) -> float:
        """Alpha in an epoch that counts from 0."""
        end = self.alpha if self.alpha_end is None else self.alpha_end
        return linear_schedule(self.alpha, end, epoch=epoch, epochs=self.epochs)

    def require_sense(self) -> None:
        """Raise InputError where a number cannot be meant."""
        positive = {"--epochs": self.epochs, "--batch-size": self.batch_size, "--lr": self.learning_rate}
        for flag, value in positive.items():
            if not value > 0:
                raise InputError(f"expected {flag} above 0, got {value}")
        for flag, value in (("--alpha", self.alpha), ("--alpha-end", self.alpha_end or 0.0)):
            if not 0 <= value < 1:
                raise InputError(f"expected {flag} from 0 to below 1, got {value}")


def train(plan: TrainingPlan, output: Path) -> float:
    """Train and write the checkpoint; the accuracy on the training samples after the last epoch.

    SGD with Nesterov momentum 0.9 under a one-cycle schedule, no augmentation. The same plan gives the same
    weights on the same machine.
    """
    plan.require_sense()
    loss, data = LOSSES[plan.loss], load(plan.data, "train", plan.data_dir).first(plan.train_samples)
    channels, height, width = data.images.shape[1:]
    mean, std = data.images.mean((0, 2, 3)), data.images.std((0, 2, 3))
    scaling = Preprocessing((channels, height, width), tuple(mean.tolist()), tuple(std.tolist()))
    arguments = _arguments(plan.model, data)
    torch.manual_seed(plan.seed)
    module = build_module(plan.model, arguments, ARCHITECTURES).to(device_of(plan.device))
    images, labels = scaling.normalised(data.images), data.labels
    optimiser, schedule = _optimiser(module, plan, len(labels))
    for epoch in track(range(plan.epochs), plan.epochs, f"training {loss.title}, seed {plan.seed}"):
        _train_epoch(plan, epoch, module, optimiser, schedule, images, labels)
    metadata = {
        "architecture": {"name": plan.model, "arguments": arguments},
        "classes": list(data.class_names),
        "preprocessing": scaling.to_plain(),
        "data": plan.data,
        "split": "test",
        "training": _training_metadata(plan, len(labels)),
        "package_version": __version__,
    }
    save_checkpoint(output, {name: part.cpu() for name, part in module.state_dict().items()}, metadata)
    return _accuracy(module, images, labels)


def _train_epoch(
    plan: TrainingPlan,
    epoch: int,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    images: Tensor,
    labels: Tensor,
) -> None:
    module.train()
    device, compute, alpha = next(module.parameters()).device, LOSSES[plan.loss].compute, plan.strength(epoch)
    for chosen in torch.randperm(len(labels)).split(plan.batch_size):
        logits = module(images[chosen].to(device))
        loss = compute(logits, labels[chosen].to(device), alpha).mean()
        if not loss.isfinite():
            raise InputError(f"the training loss became {loss.item()} in epoch {epoch + 1}; lower --lr")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def _optimiser(
    module: nn.Module, plan: TrainingPlan, samples: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimiser = torch.optim.SGD(
        module.parameters(),
        lr=plan.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=plan.weight_decay,
    )
    steps = plan.epochs * -(-samples // plan.batch_size)
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.learning_rate, total_steps=steps)


def _arguments(model: str, data: LabelledImages) -> dict[str, object]:
    """What the architecture has to know of the data, in its own words."""
    channels, classes = data.images.shape[1], len(data.class_names)
    if model.startswith("timm/"):
        return {"in_chans": channels, "num_classes": classes}
    return {"channels": channels, "classes": classes}


def _training_metadata(plan: TrainingPlan, samples: int) -> dict[str, object]:
    return {
        "loss": plan.loss,
        "alpha": plan.alpha,
        "alpha_end": plan.alpha if plan.alpha_end is None else plan.alpha_end,
        "seed": plan.seed,
        "epoch": plan.epochs,
        "batch_size": plan.batch_size,
        "learning_rate": plan.learning_rate,
        "weight_decay": plan.weight_decay,
        "split": "train",
        "samples": samples,
    }


def _accuracy(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    module.eval()
    device = next(module.parameters()).device
    with torch.inference_mode():
        hits = [
            (module(images[part].to(device)).argmax(1).cpu() == labels[part]).sum()
            for part in _parts(len(labels))
        ]
    return float(sum(hits)) / len(labels)


def _parts(samples: int) -> Iterator[slice]:
    return (slice(start, start + 512) for start in range(0, samples, 512))
