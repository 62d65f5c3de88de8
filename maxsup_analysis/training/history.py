"""What is told of an epoch, and the sums that it is made of."""

import math
from dataclasses import asdict, dataclass, field, fields

import torch
from torch import Tensor

from maxsup_analysis.errors import InputError


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    epoch: from 1. loss: mean of the loss that was minimised, over its samples. accuracy: share of its samples that
    were right in training mode, as they were augmented, by the labels trained on; of a mixed image by the label with
    the larger share. clean_accuracy: by the data's own labels, where those differ.
    test_accuracy, averaged_accuracy: of the weights, and of their average, on the test split after the epoch.
    learning_rate: of its last step. alpha: the strength of the loss. seconds: how long it took.
    """

    epoch: int
    loss: float
    accuracy: float
    clean_accuracy: float | None
    test_accuracy: float | None
    averaged_accuracy: float | None
    learning_rate: float
    alpha: float | None
    seconds: float

    def to_plain(self) -> dict[str, object]:
        """As JSON, without how long it took: checkpoints of equal runs are equal, byte by byte."""
        return {name: value for name, value in asdict(self).items() if name != "seconds"}


class Diverged(InputError):
    """The loss is no number any more."""


@dataclass
class Tally:
    """Sums over the steps of an epoch so far; those of the last steps may still be on the device.

    Not frozen: it grows with every step.
    """

    loss: float = 0.0
    right: float = 0.0
    clean: float = 0.0
    count: int = 0
    steps: int = 0
    seconds: float = 0.0
    waiting: list[Tensor] = field(default_factory=list)

    def add(self, sums: Tensor, count: int) -> None:
        """Sums of loss, right and clean-right over the samples of a step."""
        self.waiting.append(sums)
        self.count += count

    def settle(self, epoch: int) -> None:
        """Fetch what is on the device; Diverged where a loss is not finite. epoch: from 0."""
        rows = torch.stack(self.waiting).tolist() if self.waiting else []
        self.waiting.clear()
        for loss, right, clean in rows:
            self.steps += 1
            if not math.isfinite(loss):
                raise Diverged(
                    f"the training loss became {loss} in epoch {epoch + 1}, step {self.steps}; lower learning_rate "
                    "(--lr), or add warmup_epochs or clip_norm"
                )
            self.loss, self.right, self.clean = self.loss + loss, self.right + right, self.clean + clean

    def to_plain(self) -> dict[str, object]:
        """As JSON, once settled."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "waiting"}

    @property
    def words(self) -> str:
        """What a person wants to see meanwhile."""
        count = max(self.count, 1)
        return f"loss {self.loss / count:.4f}, accuracy {self.right / count:.4f}"
