"""The epochs of a run, one after the other."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from maxsup_analysis.training.batches import Batches
from maxsup_analysis.training.evaluation import Evaluation
from maxsup_analysis.training.history import Epoch, Tally
from maxsup_analysis.training.keeping import Keeper, Progress
from maxsup_analysis.training.learner import Learner
from maxsup_analysis.training.meter import TrainingMeter
from maxsup_analysis.training.plan import TrainingPlan
from maxsup_analysis.training.writing import Record, kept_of, write_checkpoint

# Steps between looks at the loss on an accelerator, each of which waits for it.
GLANCE = 50


@dataclass(frozen=True)
class Course:
    """All parts of a run. output: the checkpoint, whose name those of single epochs extend."""

    plan: TrainingPlan
    output: Path
    batches: Batches
    learner: Learner
    evaluation: Evaluation | None
    record: Record
    meter: TrainingMeter

    def run(self, begun: Progress, keeper: Keeper) -> tuple[Epoch, ...]:
        """The epochs that are missing; what is told of all."""
        progress = begun
        with self._shown(begun):
            while progress.epoch < self.plan.epochs:
                progress = self._epoch(progress, keeper)
                if keeper.is_due(epoch_ended=True):
                    keeper.keep(progress, self.learner.state())
        return progress.history

    def _epoch(self, progress: Progress, keeper: Keeper) -> Progress:
        """The rest of an epoch and what is kept of it."""
        epoch, tally = progress.epoch, progress.tally
        began = time.monotonic() - tally.seconds
        self.learner.loss.start_epoch(epoch, self.plan.epochs)
        self.learner.module.train()
        for step, batch in enumerate(self.batches.of_epoch(epoch, progress.step), progress.step):
            tally.add(self.learner.step(batch, epoch * self._steps + step), batch.size)
            tally.seconds = time.monotonic() - began
            self._look(replace(progress, step=step + 1), batch.size, keeper)
        tally.settle(epoch)
        history = (*progress.history, self._told(epoch, tally, began))
        if self.plan.keep_every and not (epoch + 1) % self.plan.keep_every and self.learner.team.leads:
            write_checkpoint(kept_of(self.output, epoch + 1), self.learner, self.record, history)
        return Progress(epoch + 1, 0, history, Tally())

    def _look(self, progress: Progress, size: int, keeper: Keeper) -> None:
        """After a step: see how the loss is, show it, and keep the state, each where it is time for that."""
        due = progress.step < self._steps and keeper.is_due(epoch_ended=False)
        if due or self.learner.team.device.type == "cpu" or not progress.step % GLANCE:
            progress.tally.settle(progress.epoch)
        if self.learner.team.leads:
            words = f"epoch {progress.epoch + 1} of {self.plan.epochs}, {progress.tally.words}"
            self.meter.tell(size, words)
        if due:
            keeper.keep(progress, self.learner.state())

    def _told(self, epoch: int, tally: Tally, began: float) -> Epoch:
        data = self.batches.data
        judged = self.evaluation.accuracies(self.learner) if self.evaluation else []
        test, averaged, *_ = (*judged, None, None)
        return Epoch(
            epoch + 1,
            tally.loss / tally.count,
            tally.right / tally.count,
            tally.clean / tally.count if data.is_noisy else None,
            test,
            averaged,
            self.learner.rates.learning_rate((epoch + 1) * self._steps - 1),
            self.learner.loss.alpha,
            time.monotonic() - began,
        )

    @property
    def _steps(self) -> int:
        return self.plan.steps_per_epoch(len(self.batches.data))

    @contextmanager
    def _shown(self, begun: Progress) -> Iterator[None]:
        """With progress on stderr, of the process that leads."""
        if not self.learner.team.leads:
            yield
            return
        self.meter.total -= begun.epoch * len(self.batches.data) + begun.step * self.plan.batch_size
        with self.meter.running():
            yield
