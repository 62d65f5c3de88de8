"""A study from its file to trained, measured cells: what is there is used, what is missing is done."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from maxsup_analysis.devices import cores, device_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.files import refusing_to_write, write_durably
from maxsup_analysis.labels import clean_file_name
from maxsup_analysis.leftovers import sweep
from maxsup_analysis.progress import say
from maxsup_analysis.study.asking import parts_of
from maxsup_analysis.study.cell_run import (
    LOG,
    STATE,
    Job,
    Outcome,
    failure_of,
    is_trained,
    missing_parts,
    record_failure,
    run_job,
)
from maxsup_analysis.study.contents import name_of
from maxsup_analysis.study.description import Cell, Study
from maxsup_analysis.study.workers import Died, each_done

CELLS = "cells"
COPY = "study.toml"
Status = Literal["done", "to measure", "begun", "failed", "to do"]
# Seconds without news after which the runs say where they are.
PATIENCE = 60.0


@dataclass(frozen=True)
class StudyFolder:
    """A study and the folder that holds its cells and results."""

    study: Study
    path: Path

    @cached_property
    def jobs(self) -> Sequence[Job]:
        """One a cell, in the order of the study."""
        measure = self.study.measure
        parts = parts_of(measure)
        return [Job(cell, self._folder_of(cell), measure, parts) for cell in self.study.cells]

    def _folder_of(self, cell: Cell) -> Path:
        """The folder of the cell's content, whatever its levels were called when it was made."""
        content = name_of(cell.plan)
        existing = sorted((self.path / CELLS).glob(f"*-{content}"))
        return (
            existing[0] if existing else self.path / CELLS / f"{clean_file_name(cell.name, '.,=')}-{content}"
        )

    def prepare(self, text: str) -> None:
        """Make the folder, and keep the study's file in it; InputError where something else is there."""
        mark = self.path / COPY
        if self.path.exists() and not mark.is_file() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise InputError(f"{self.path} was not written by a study; choose another folder with -o")
        with refusing_to_write(self.path, "choose another output with -o"):
            self.path.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, *(self.path / CELLS).glob("*")):
                sweep(folder)
            write_durably(mark, text.encode())


def status_of(job: Job) -> Status:
    """How far a cell is."""
    if is_trained(job.folder):
        return "to measure" if missing_parts(job) else "done"
    if failure_of(job.folder) is not None:
        return "failed"
    return "begun" if (job.folder / STATE).exists() else "to do"


def missing(jobs: Sequence[Job]) -> list[Job]:
    """Those that are not done; cells of the same content are one run."""
    return [job for job in _runs(jobs) if status_of(job) != "done"]


def slots_of(devices: str, jobs: int | None, study: Study) -> list[str]:
    """The device of each process: `--jobs` on each device; without it as many as a CPU has room for, one a GPU."""
    named = [name for name in devices.split(",") if name]
    if not named or (jobs is not None and jobs < 1):
        raise InputError(
            f"expected devices such as cuda:0,cuda:1 and --jobs above 0, got {devices!r} and {jobs}"
        )
    if named == ["auto"] and torch.cuda.device_count() > 1:
        named = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    slots = []
    for name in named:
        kind = device_of(name).type
        slots += [name] * (jobs or (_room(study) if kind == "cpu" else 1))
    return slots


def run_cells(jobs: Sequence[Job], slots: Sequence[str]) -> Mapping[str, str]:
    """Do what is missing; cell name -> why it failed, for those that did."""
    left, count = missing(jobs), len(_runs(jobs))
    if done := count - len(left):
        say(f"{done} of {count} cells are done already")
    failures: dict[str, str] = {}
    answers = each_done(run_job, left, slots, started=_say_start, waiting=_say_waiting, patience=PATIENCE)
    for number, (job, answer) in enumerate(answers, done + 1):
        failure = _failure(job, answer)
        if failure is not None:
            failures[job.cell.name] = failure
        say(f"[{number}/{count}] {job.cell.name}: {f'failed: {failure}' if failure else 'done'}")
    return failures


@contextmanager
def saying_what_is_kept(jobs: Sequence[Job]) -> Iterator[None]:
    """Whatever ends the block says how many cells are done."""
    try:
        yield
    except BaseException as reason:
        done = sum(status_of(job) == "done" for job in jobs)
        reason.add_note(f"{done} of {len(jobs)} cells are done, and begun ones go on from their last epoch")
        raise


def _runs(jobs: Sequence[Job]) -> list[Job]:
    return list({job.folder: job for job in jobs}.values())


def _failure(job: Job, answer: Outcome | Died) -> str | None:
    if isinstance(answer, Outcome):
        return answer.failure
    record_failure(job.folder, str(answer))
    return str(answer)


def _say_start(job: Job) -> None:
    words = {"begun": "goes on", "to measure": "is measured", "failed": "is tried again"}
    say(f"{job.cell.name} {words.get(status_of(job), 'starts')}")


def _say_waiting(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if line := _last_line(job.folder / LOG):
            say(f"{job.cell.name}: {line}")


def _last_line(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line), "")


def _room(study: Study) -> int:
    return max(1, cores() // max(cell.plan.threads for cell in study.cells))
