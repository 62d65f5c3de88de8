"""What a study would do: its cells, how far each is, and what is missing in time and disk."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from maxsup_analysis.datasets import Samples, open_data
from maxsup_analysis.leftovers import scratch_folder
from maxsup_analysis.progress import duration
from maxsup_analysis.study.cell_run import is_trained
from maxsup_analysis.study.running import Status, StudyFolder, missing, status_of
from maxsup_analysis.training import TrainingPlan, train
from maxsup_analysis.training.data import drawn_from, training_data

# Batches of an epoch that is timed, and the epochs of the two runs whose difference is that of so many more.
BATCHES, SHORT, LONG = 8, 1, 4
# A learning rate at which no plan diverges; it changes no time.
SMALL = 1e-9


@dataclass(frozen=True)
class Calibration:
    """A short run of a plan. start: seconds before the first batch. batch: seconds each. checkpoint: bytes."""

    start: float
    batch: float
    checkpoint: int

    def seconds(self, plan: TrainingPlan, samples: int) -> float:
        """Of a whole training."""
        return self.start + self.batch * plan.epochs * math.ceil(samples / plan.batch_size)


@dataclass(frozen=True)
class Rehearsal:
    """The cells of a study and an estimate of what is missing."""

    statuses: Mapping[str, Status]
    seconds: float
    disk: int
    processes: int

    def to_text(self) -> str:
        """One line a cell, then the sums."""
        counts = {
            status: list(self.statuses.values()).count(status)
            for status in dict.fromkeys(self.statuses.values())
        }
        lines = [f"{name}: {status}" for name, status in self.statuses.items()]
        lines.append(
            f"{len(self.statuses)} cells: "
            + ", ".join(f"{count} {status}" for status, count in counts.items())
        )
        lines.append(
            f"about {duration(self.seconds)} of training with {self.processes} at a time, and "
            f"{self.disk / 1e6:,.0f} MB of checkpoints; features and measuring come on top"
        )
        return "\n".join(lines)


class Sizes:
    """How many samples runs are trained on; each split is opened once, however many runs draw from it."""

    def __init__(self) -> None:
        self._opened: dict[tuple[object, ...], Samples] = {}
        self._known: dict[tuple[object, ...], int] = {}

    def of(self, plan: TrainingPlan) -> int:
        """Those of one run."""
        split = (plan.data, plan.data_dir, plan.split)
        if split not in self._opened:
            self._opened[split] = open_data(plan.data, plan.split, plan.data_dir)
        drawn = (*split, plan.train_samples, plan.samples_per_class, plan.imbalance, plan.seed)
        if drawn not in self._known:
            self._known[drawn] = len(drawn_from(self._opened[split], plan))
        return self._known[drawn]


def rehearse(folder: StudyFolder, slots: Sequence[str]) -> Rehearsal:
    """Look at every cell, and train a few batches of each kind of run that is missing."""
    statuses: dict[str, Status] = {job.cell.name: status_of(job) for job in folder.jobs}
    untrained = [job for job in missing(folder.jobs) if not is_trained(job.folder)]
    calibrations: dict[tuple[object, ...], Calibration] = {}
    sizes, seconds, disk = Sizes(), 0.0, 0
    for job in untrained:
        plan = replace(job.cell.plan, device=slots[0])
        kind = _kind(plan)
        if kind not in calibrations:
            calibrations[kind] = _calibrated(plan)
        seconds += calibrations[kind].seconds(plan, sizes.of(plan))
        disk += calibrations[kind].checkpoint
    return Rehearsal(statuses, seconds / max(1, min(len(slots), len(untrained))), disk, len(slots))


def _kind(plan: TrainingPlan) -> tuple[object, ...]:
    """What decides how long a batch takes."""
    return (
        plan.data, plan.model, json.dumps(dict(plan.model_args), sort_keys=True), plan.batch_size, plan.accumulate,
        plan.amp, plan.compile, plan.ema is None,
    )  # fmt: skip


def _calibrated(plan: TrainingPlan) -> Calibration:
    samples = min(BATCHES * plan.batch_size, len(training_data(plan)))
    short = replace(
        plan,
        train_samples=samples,
        samples_per_class=None,
        imbalance=1.0,
        warmup_epochs=0,
        learning_rate=SMALL,
        keep_every=None,
    )
    seconds = []
    with scratch_folder() as folder:
        output = folder / "run.pt"
        # The first run loads what later ones find loaded.
        for epochs in (SHORT, SHORT, LONG):
            began = time.monotonic()
            train(replace(short, epochs=epochs), output)
            seconds.append(time.monotonic() - began)
        size = output.stat().st_size
    batches = (LONG - SHORT) * math.ceil(samples / plan.batch_size)
    batch = max(seconds[2] - seconds[1], 0.0) / batches
    return Calibration(max(seconds[1] - SHORT * batches / (LONG - SHORT) * batch, 0.0), batch, size)
