"""What a training run is asked for."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

from maxsup_analysis.errors import InputError

Optimiser = Literal["sgd", "adamw"]
Schedule = Literal["one-cycle", "cosine", "step", "constant"]
NoiseKind = Literal["symmetric", "pair"]
Amp = Literal["bf16", "fp16"]
# Where a run takes place, not what it computes.
PLACES = ("data_dir", "device", "workers")


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that decides the weights of a run, and where it runs.

    data, data_dir, split: what is trained on, as `--data` names it. test_split: whose accuracy is taken after each
    epoch; None takes none.
    train_samples: the first so many images. samples_per_class: then so many of each class, drawn. imbalance: then the
    largest class has so many times the images of the smallest, exponentially in between; 1 leaves it out.
    label_noise: the share of labels that are replaced; label_noise_kind: by any other class, or by the next one.

    loss, loss_args: see `LOSSES`. alpha: the strength of its added term, None for its default. alpha_end: the strength
    in the last epoch, reached linearly; None keeps alpha.
    model, model_args: a small model of this package, `timm/NAME`, `torchvision/NAME` or `file.py:factory`.
    image_size: the side of the images that the model sees; None leaves images in memory as they are, and takes what
    the model was published for, else the size of the first one, for images that are decoded.

    batch_size: the images of one optimiser step, over all processes and parts. accumulate: in how many parts a batch
    goes through the model; less memory, the same gradients.
    momentum: of SGD, with Nesterov's step. decay_norms_and_biases: whether weight decay takes all parameters.
    schedule: of the learning rate, whose peak is learning_rate; see `schedule.py`. warmup_epochs: linear, before it.
    step_epochs, step_factor: of the step schedule. clip_norm: the largest norm of the gradient, None for any.

    crop_padding: pixels by which images are moved. flip: left to right, every other. resized_crop: a random part, at
    full size. erasing: the probability that a rectangle becomes noise. mixup, cutmix: the parameter of their Beta
    distribution, 0 for none; with both, one of them for each batch.

    ema: the decay of the average of the weights, which is saved beside them; None keeps none.
    amp: half precision under autocast. compile: by torch.compile. sync_batchnorm: under torchrun, statistics of all.
    seed: of the first weights, the order, augmentation, noise and subsets. threads: of torch on the CPU.
    keep_every: a checkpoint of every so many epochs beside the last one.
    workers: processes that decode images; None for what suits the machine.
    """

    data: str = "digits"
    data_dir: Path | None = None
    split: str = "train"
    test_split: str | None = None
    train_samples: int | None = None
    samples_per_class: int | None = None
    imbalance: float = 1.0
    label_noise: float = 0.0
    label_noise_kind: NoiseKind = "symmetric"
    loss: str = "ce"
    alpha: float | None = None
    alpha_end: float | None = None
    loss_args: Mapping[str, object] = field(default_factory=dict)
    model: str = "small_cnn"
    model_args: Mapping[str, object] = field(default_factory=dict)
    image_size: int | None = None
    epochs: int = 15
    batch_size: int = 64
    accumulate: int = 1
    optimiser: Optimiser = "sgd"
    learning_rate: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay_norms_and_biases: bool = True
    schedule: Schedule = "one-cycle"
    warmup_epochs: int = 0
    step_epochs: int = 30
    step_factor: float = 0.1
    clip_norm: float | None = None
    crop_padding: int = 0
    flip: bool = False
    resized_crop: bool = False
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float | None = None
    amp: Amp | None = None
    compile: bool = False
    sync_batchnorm: bool = False
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    keep_every: int | None = None
    workers: int | None = None

    def require_sense(self) -> None:
        """Raise InputError for the first value that cannot be meant; it names the field."""
        from maxsup_analysis.training.sense import problems

        for problem in problems(self):
            raise InputError(problem.sentence(problem.field))

    def steps_per_epoch(self, samples: int) -> int:
        """Optimiser steps in an epoch of so many images; the last batch may be smaller."""
        return math.ceil(samples / self.batch_size)

    def to_plain(self) -> dict[str, object]:
        """As JSON, what a reader asks for first at the front."""
        first = ("loss", "alpha", "alpha_end", "seed")
        plain = asdict(self) | {"data_dir": None if self.data_dir is None else str(self.data_dir)}
        ordered = {name: plain[name] for name in (*first, *(key for key in plain if key not in first))}
        return json.loads(json.dumps(ordered))


def first_difference(plan: TrainingPlan, other: Mapping[str, object]) -> str | None:
    """The first field in which a plan that was written differs, where places do not count."""
    mine = plan.to_plain()
    names = [item.name for item in fields(plan) if item.name not in PLACES]
    return next((name for name in names if name not in other or mine[name] != other[name]), None)
