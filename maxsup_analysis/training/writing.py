"""What a run leaves: checkpoints, and the labels where they are not those of the data."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maxsup_analysis.checkpoints import save_checkpoint
from maxsup_analysis.files import refusing_to_write, write_durably
from maxsup_analysis.preprocessing import Preprocessing
from maxsup_analysis.training.data import TrainingData
from maxsup_analysis.training.history import Epoch
from maxsup_analysis.training.learner import Learner
from maxsup_analysis.training.models import Architecture
from maxsup_analysis.training.plan import TrainingPlan
from maxsup_analysis.version import __version__


@dataclass(frozen=True)
class Record:
    """What checkpoints of a run say of it. strengths: alpha in the first and in the last epoch."""

    plan: TrainingPlan
    architecture: Architecture
    data: TrainingData
    preprocessing: Preprocessing
    strengths: tuple[float | None, float | None]

    def metadata(self, history: Sequence[Epoch]) -> dict[str, object]:
        """After the epochs of a history."""
        return {
            "architecture": self.architecture.to_plain(),
            "classes": list(self.data.samples.class_names),
            "preprocessing": self.preprocessing.to_plain(),
            "data": self.plan.data,
            "split": self.plan.test_split or "test",
            "training": self._training(history),
            "history": [epoch.to_plain() for epoch in history],
            "package_version": __version__,
        }

    def _training(self, history: Sequence[Epoch]) -> dict[str, object]:
        begin, end = self.strengths
        plain = self.plan.to_plain() | {"alpha": begin, "alpha_end": end}
        return plain | {"epoch": len(history), "samples": len(self.data)}


def write_checkpoint(path: Path, learner: Learner, record: Record, history: Sequence[Epoch]) -> None:
    """Write weights, their average, and what they are; InputError where the disk does not take it."""
    save_checkpoint(path, learner.state_dict, record.metadata(history), ema=learner.averaged_state_dict)


def write_labels(path: Path, data: TrainingData) -> None:
    """Write which samples were trained on, under which labels, and what the data say of them."""
    buffer = io.BytesIO()
    columns = {"ids": data.ids, "labels": data.labels, "clean_labels": data.clean}
    np.savez(buffer, allow_pickle=False, **{name: column.numpy() for name, column in columns.items()})
    with refusing_to_write(path, "make room, or choose another output with -o"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, buffer.getbuffer())


def labels_beside(checkpoint: Path) -> Path:
    """`ce.pt` keeps its labels in `ce.labels.npz`."""
    return checkpoint.with_suffix(".labels.npz")


def kept_of(checkpoint: Path, epoch: int) -> Path:
    """`ce.pt` keeps epoch 10, counted from 1, in `ce.epoch-0010.pt`."""
    return checkpoint.with_name(f"{checkpoint.stem}.epoch-{epoch:04d}{checkpoint.suffix}")
