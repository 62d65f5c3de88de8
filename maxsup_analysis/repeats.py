"""Runs under one name have to be repeats of one experiment: trained with other seeds, and different in nothing else."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maxsup_analysis.errors import InputError

# What of a training's settings may differ between repeats: the seed, and what decides no weights.
FREE = ("seed", "data_dir", "device", "workers", "threads", "keep_every", "samples")
SHOWN = 40
DATA = "two data sets or splits"
Provenance = Mapping[str, object]
Check = Callable[["Run", "Run", Sequence["Run"]], str | None]


@dataclass(frozen=True)
class Run:
    """A store, or another source of features, and what is known of where it is from."""

    path: Path
    provenance: Provenance

    @property
    def checkpoint(self) -> object:
        """The digest of the file of weights."""
        return _table(self.provenance, "checkpoint").get("sha256")

    @property
    def training(self) -> Provenance:
        """The settings of its training, as far as they are known."""
        return _table(self.provenance, "training")

    def __str__(self) -> str:
        return str(self.path)


def require_other_epochs(name: str, runs: Sequence[Run]) -> None:
    """Raise InputError, with what to do instead, where runs of a name are epochs of one training."""
    _require(name, runs, _one_run)


def require_repeats(name: str, runs: Sequence[Run]) -> None:
    """Raise InputError, with what to do instead, where runs of a name differ in more than their seed."""
    for check in (_one_checkpoint, _other_features, _other_training):
        _require(name, runs, check)


def _require(name: str, runs: Sequence[Run], check: Check) -> None:
    for position, other in enumerate(runs):
        for run in runs[:position]:
            if (difference := check(run, other, runs)) is not None:
                raise InputError(f"expected runs of {name} that differ in their seed alone, got {difference}")


def _one_checkpoint(run: Run, other: Run, runs: Sequence[Run]) -> str | None:
    """Two stores of one file of weights."""
    if run.checkpoint is None or run.checkpoint != other.checkpoint:
        return None
    differs = [label for label, read in VIEWS.items() if read(run) != read(other)]
    if not differs:
        return None
    advice = "name one of them" if DATA in differs else _apart(run, other)
    return f"{run} and {other} of one checkpoint ({', '.join(differs)}); {advice}"


def _one_run(run: Run, other: Run, runs: Sequence[Run]) -> str | None:
    """Two epochs of one training, which says which seed it had."""
    mine, theirs = run.training, other.training
    if not _is_same(mine, theirs, ("epoch", *FREE[1:])) or mine.get("epoch") == theirs.get("epoch"):
        return None
    epochs = sorted(
        {one.training.get("epoch") for one in runs if _is_same(mine, one.training, ("epoch", *FREE[1:]))},
        key=str,
    )
    shown = ", ".join(_short(epoch) for epoch in epochs)
    return f"epochs {shown} of one run (seed {_short(mine.get('seed'))}); {_apart(run, other)}"


def _other_features(run: Run, other: Run, runs: Sequence[Run]) -> str | None:
    """Features that are something else: of another data set or layer, or of averaged weights."""
    for label, read in VIEWS.items():
        mine, theirs = read(run), read(other)
        if mine is not None and theirs is not None and mine != theirs:
            return f"{run} and {other} ({label}); extract all of them in one way"
    return None


def _other_training(run: Run, other: Run, runs: Sequence[Run]) -> str | None:
    """Two settings of training, where both are known."""
    mine, theirs = run.training, other.training
    # Of a training whose length is not known, each run may have been stopped when it was best.
    free = FREE if "epochs" in mine else (*FREE, "epoch")
    for label in mine:
        if label in theirs and label not in free and mine[label] != theirs[label]:
            return (
                f"{run} with {label} {_short(mine[label])} and {other} with {label} {_short(theirs[label])}; "
                f"{_apart(run, other)}"
            )
    return None


def _is_same(mine: Provenance, theirs: Provenance, but: Sequence[str]) -> bool:
    """Whether two trainings are one, as far as all that is known; where no seed is known nothing is."""
    if mine.get("seed") is None:
        return False
    return all(mine.get(label) == theirs.get(label) for label in {*mine, *theirs} - set(but))


def _apart(run: Run, other: Run) -> str:
    """Names that work: those of the files, made different where they are the same."""
    first, second = run.path.stem, other.path.stem
    if first == second:
        first, second = f"{first}-1", f"{second}-2"
    named = " ".join(shlex.quote(f"{name}={one.path}") for name, one in ((first, run), (second, other)))
    return f"give each a name of its own, such as {named}"


def _weights(run: Run) -> object:
    return _table(run.provenance, "weights").get("ema")


def _layer(run: Run) -> object:
    return run.provenance.get("layer")


def _data(run: Run) -> object:
    found = [run.provenance.get(label) for label in ("data", "split", "data_sha256")]
    return found if any(found) else None


def _images(run: Run) -> object:
    return run.provenance.get("preprocessing")


VIEWS: Mapping[str, Callable[[Run], object]] = {
    DATA: _data, "plain and averaged weights": _weights, "two layers": _layer,
    "images prepared in two ways": _images,
}  # fmt: skip


def _table(provenance: Provenance, name: str) -> Provenance:
    value = provenance.get(name)
    return value if isinstance(value, Mapping) else {}


def _short(value: object) -> str:
    return str(value)[:SHOWN]
