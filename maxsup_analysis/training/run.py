"""One training run, from its plan to its checkpoint."""

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from errno import EACCES
from pathlib import Path

from maxsup_analysis.errors import InputError
from maxsup_analysis.files import refusing_to_write
from maxsup_analysis.leftovers import remove_leftovers
from maxsup_analysis.losses import LOSSES, Loss, build_loss
from maxsup_analysis.progress import say
from maxsup_analysis.training.augmentation import geometry_of
from maxsup_analysis.training.batches import Batches
from maxsup_analysis.training.course import Course
from maxsup_analysis.training.data import TrainingData, preprocessing_of, training_data
from maxsup_analysis.training.evaluation import evaluation_of
from maxsup_analysis.training.history import Diverged, Epoch
from maxsup_analysis.training.keeping import Keeper, Progress, alone, saying_what_is_kept
from maxsup_analysis.training.learner import Learner
from maxsup_analysis.training.meter import TrainingMeter
from maxsup_analysis.training.mixing import mixing_of
from maxsup_analysis.training.models import architecture_of, built
from maxsup_analysis.training.numerics import fixed_numerics
from maxsup_analysis.training.parallel import Team, team
from maxsup_analysis.training.pictures import source_of
from maxsup_analysis.training.plan import TrainingPlan
from maxsup_analysis.training.schedule import Rates
from maxsup_analysis.training.writing import Record, labels_beside, write_checkpoint, write_labels

SAVE_EVERY = 60.0


@dataclass(frozen=True)
class TrainingOutcome:
    """What a run gave. data: its samples, with the labels that were trained on and those of the data."""

    checkpoint: Path
    history: tuple[Epoch, ...]
    data: TrainingData = field(repr=False)

    @property
    def last(self) -> Epoch:
        """The last epoch."""
        return self.history[-1]


@dataclass(frozen=True)
class Keeping:
    """Where and how often the state of a run is kept; replace: start over where it is another's."""

    state: Path | None
    every: float
    replace: bool


def train(
    plan: TrainingPlan,
    output: Path,
    *,
    state: Path | None = None,
    save_every: float = SAVE_EVERY,
    replace_state: bool = False,
) -> TrainingOutcome:
    """Train and write the checkpoint.

    The same plan gives the same weights on the same machine, on the CPU to the last bit. Under torchrun every process
    calls this, and the first one writes.

    state: a file that keeps the run after every epoch, and every `save_every` seconds within one. Where it is there
    already the run goes on from it, to the same end as if it had never been interrupted; it is removed once the
    checkpoint is written. replace_state: start over where it is of another training, which is an error otherwise.

    Raises:
        InputError: a value cannot be meant, data or model are missing or do not fit, the disk is full, or the loss
            became infinite or NaN.
    """
    plan.require_sense()
    with ExitStack() as held:
        members = held.enter_context(team(plan.device))
        if plan.amp == "fp16" and members.device.type != "cuda":
            raise InputError(
                f"expected a CUDA device for amp fp16, got {members.device.type}; use bf16 there"
            )
        held.enter_context(alone(state, needed=members.leads))
        held.enter_context(fixed_numerics(plan.threads, members.device))
        _require_place(output)
        return _trained(plan, output, members, Keeping(state, save_every, replace_state))


def _require_place(output: Path) -> None:
    """Find out before the training, not after it, that the checkpoint has no place."""
    with refusing_to_write(output.parent, "choose another output with -o"):
        output.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(output.parent, os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))


def _trained(plan: TrainingPlan, output: Path, members: Team, keeping: Keeping) -> TrainingOutcome:
    data = training_data(plan)
    course = _course(plan, output, members, data)
    keeper = Keeper(keeping.state, plan, data, keeping.every, members.leads)
    with saying_what_is_kept(keeper):
        begun = _brought_back(course.learner, keeper, replace=keeping.replace)
        try:
            history = course.run(begun, keeper)
        except Diverged:
            keeper.discard()  # The same steps would lead there again.
            raise
        if members.leads:
            _write(output, course, data, history)
        keeper.discard()
    return TrainingOutcome(output, history, data)


def _write(output: Path, course: Course, data: TrainingData, history: tuple[Epoch, ...]) -> None:
    """The checkpoint last: where it is, all is there."""
    for path in (output, labels_beside(output)):
        remove_leftovers(path)
    if data.is_changed:
        write_labels(labels_beside(output), data)
    write_checkpoint(output, course.learner, course.record, history)


def _course(plan: TrainingPlan, output: Path, members: Team, data: TrainingData) -> Course:
    """All parts of a run, made from its plan."""
    preprocessing = preprocessing_of(plan, data)
    architecture = architecture_of(plan, preprocessing.size[0], data.classes)
    module = built(architecture, preprocessing.size, data.classes, plan.seed)
    loss, steps = _loss(plan, data.classes), plan.steps_per_epoch(len(data))
    source = source_of(plan, data, preprocessing, members.device)
    moves = geometry_of(plan), plan.erasing, mixing_of(plan)
    return Course(
        plan,
        output,
        Batches(data, source, preprocessing, *moves, plan.batch_size, plan.seed, members),
        Learner(module, loss, plan, members, Rates(plan, steps)),
        evaluation_of(plan, data.samples.class_names, preprocessing),
        Record(plan, architecture, data, preprocessing, _strengths(plan, data.classes)),
        TrainingMeter(f"training {LOSSES[plan.loss].title}, seed {plan.seed}", plan.epochs * len(data)),
    )


def _brought_back(learner: Learner, keeper: Keeper, *, replace: bool) -> Progress:
    """How far the run was, the learner as it was then."""
    found = keeper.found(replace=replace)
    if found is None:
        return Progress()
    progress, state = found
    learner.restore(state)
    if learner.team.leads:
        say(f"going on after {progress}, from {keeper.path}")
    return progress


def _loss(plan: TrainingPlan, classes: int) -> Loss:
    return build_loss(
        plan.loss, classes=classes, alpha=plan.alpha, alpha_end=plan.alpha_end, arguments=plan.loss_args
    )


def _strengths(plan: TrainingPlan, classes: int) -> tuple[float | None, float | None]:
    """Alpha in the first and in the last epoch, as the loss itself says it."""
    loss = _loss(plan, classes)
    loss.start_epoch(0, plan.epochs)
    begin = loss.alpha
    loss.start_epoch(plan.epochs - 1, plan.epochs)
    return begin, loss.alpha
