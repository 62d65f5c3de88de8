"""When the state of a training is written, and whether one that is there is this training's."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from maxsup_analysis.errors import InputError
from maxsup_analysis.files import refusing_to_write
from maxsup_analysis.stated import Stated
from maxsup_analysis.training.data import TrainingData
from maxsup_analysis.training.history import Epoch, Tally
from maxsup_analysis.training.plan import TrainingPlan, first_difference
from maxsup_analysis.training.state import read_state, remove_state, write_state

# Of epochs and of steps, and of any other number that a state holds.
MOST_STEPS, ANY = 10**12, (-math.inf, math.inf)
# At most one part in so many of the time goes into writing.
SPARING = 20.0
R = TypeVar("R")


@dataclass(frozen=True)
class Progress:
    """How far a run is: `step` steps into an epoch that counts from 0, the epochs before it, and its sums so far."""

    epoch: int = 0
    step: int = 0
    history: tuple[Epoch, ...] = ()
    tally: Tally = field(default_factory=Tally)

    def __str__(self) -> str:
        within = f" and {self.step:,} steps of the next" if self.step else ""
        return f"{self.epoch} epochs{within}"


@dataclass
class Keeper:
    """Writes the state of a run to a path, if there is one, and reads it. every: seconds between writings in an epoch.

    Not frozen: it remembers when it wrote last, how long that took, and what is kept.
    """

    path: Path | None
    plan: TrainingPlan
    data: TrainingData
    every: float
    writes: bool
    kept: Progress | None = None
    written: float = field(default_factory=time.monotonic)
    cost: float = 0.0

    def found(self, *, replace: bool) -> tuple[Progress, Mapping[str, dict]] | None:
        """How far the run was, and the learner's state then; None where there is nothing to go on from.

        replace: start over where the state is of another plan or data, which otherwise is an InputError.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            tree = read_state(self.path)
            self._require_same(tree)
            self.kept = progress_in(Stated(tree, self.path.name))
        except InputError:
            if not replace:
                raise
            return None
        return self.kept, tree["learner"]

    def is_due(self, *, epoch_ended: bool) -> bool:
        """Whether it is time: an epoch has ended, or `every` seconds passed, and writing does not take too much."""
        if self.path is None:
            return False
        waited = time.monotonic() - self.written
        return (epoch_ended or waited >= self.every) and waited >= SPARING * self.cost

    def keep(self, progress: Progress, learner: Mapping[str, object]) -> None:
        """Write the state; a process that does not lead only remembers."""
        assert self.path is not None
        began = time.monotonic()
        if self.writes:
            write_state(self.path, self._tree(progress, learner))
        self.kept, self.written = progress, time.monotonic()
        self.cost = self.written - began

    def discard(self) -> None:
        """Remove the state: there is nothing to go on with."""
        self.kept = None
        if self.path is not None and self.writes:
            remove_state(self.path)

    def _tree(self, progress: Progress, learner: Mapping[str, object]) -> dict[str, object]:
        return {
            "plan": self.plan.to_plain(),
            "data": self._data_digest,
            "epoch": progress.epoch,
            "step": progress.step,
            "history": [asdict(epoch) for epoch in progress.history],
            "tally": progress.tally.to_plain(),
            "learner": learner,
        }

    def _require_same(self, tree: Mapping) -> None:
        advice = "go on with that, delete it to start over, or choose another output with -o"
        if not isinstance(tree.get("plan"), Mapping) or not {"data", "learner"} <= set(tree):
            raise InputError(f"{self.path} lacks parts of a training state; delete it to start over")
        name = first_difference(self.plan, tree["plan"])
        if name is not None:
            mine, theirs = self.plan.to_plain()[name], tree["plan"].get(name)
            raise InputError(
                f"{self.path} is the state of another training: {name} is {theirs!r} there, {mine!r} here; {advice}"
            )
        if tree["data"] != self._data_digest:
            raise InputError(f"{self.path} is the state of a training on other data of this name; {advice}")

    @property
    def _data_digest(self) -> str:
        """Tells other samples or labels of the same name."""
        columns = (self.data.ids, self.data.labels, self.data.clean)
        return sha256(b"".join(column.numpy().tobytes() for column in columns)).hexdigest()


def progress_in(said: Stated) -> Progress:
    """How far a state says that the run was; InputError where what it says is not sound."""
    epoch, step, history = (said.item(name) for name in ("epoch", "step", "history"))
    if epoch is None or step is None or history is None:
        raise said.refused("expected epoch, step and history; delete it to start over")
    epochs = tuple(_record(one, Epoch) for one in history.parts(MOST_STEPS))
    tally = said.item("tally")
    return Progress(
        epoch.whole(0, MOST_STEPS),
        step.whole(0, MOST_STEPS),
        epochs,
        Tally() if tally is None else _record(tally, Tally),
    )


def _record(said: Stated, kind: type[R]) -> R:
    """A value of numbers, field by field; InputError where one of them is missing or none."""
    found: dict[str, object] = {}
    for one in fields(kind):  # type: ignore[arg-type]
        number, described = said.item(one.name), str(one.type)
        if number is None and "None" not in described and one.name != "waiting":
            raise said.refused(f"expected {one.name} in it; delete the state to start over")
        if number is not None:
            found[one.name] = number.whole(0, MOST_STEPS) if "int" in described else number.real(*ANY)
        elif one.name != "waiting":
            found[one.name] = None
    return kind(**found)


@contextmanager
def saying_what_is_kept(keeper: Keeper) -> Iterator[None]:
    """Whatever ends the run says what is kept."""
    try:
        yield
    except BaseException as reason:
        if keeper.kept is not None:
            reason.add_note(f"{keeper.kept} are kept in {keeper.path}")
        raise


@contextmanager
def alone(state: Path | None, *, needed: bool) -> Iterator[None]:
    """No other run writes to this state meanwhile; InputError where one does."""
    if state is None or not needed:
        yield
        return
    place = state.with_name(f"{state.name}.lock")
    with refusing_to_write(state.parent, "choose another output with -o"):
        state.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise InputError(
                f"another training writes to {state} at this moment; wait for it, or choose another output with -o"
            ) from None
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        lock.release()
