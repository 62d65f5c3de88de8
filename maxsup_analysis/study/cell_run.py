"""One run of a study from nothing, or from where it was, to its measurements: train, extract, measure."""

import json
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from maxsup_analysis.errors import sentence_of
from maxsup_analysis.files import write_durably
from maxsup_analysis.leftovers import sweep
from maxsup_analysis.study.asking import measured_part
from maxsup_analysis.study.contents import settings_of
from maxsup_analysis.study.description import Cell, Measure
from maxsup_analysis.study.kept import Part, is_kept, keep
from maxsup_analysis.training import train

CHECKPOINT = "checkpoint.pt"
STATE = "checkpoint.state"
ERROR = "error.json"
SETTINGS = "settings.json"
LOG = "log.txt"
LOCK = "run.lock"


@dataclass(frozen=True)
class Job:
    """A cell, its folder, and what is to be measured of it, part by part."""

    cell: Cell
    folder: Path
    measure: Measure
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a job. failure: why it did not end well, in one line."""

    failure: str | None = None


def run_job(job: Job, device: str) -> Outcome:
    """Do what is missing of a cell. What goes wrong is kept in its folder, and is not raised."""
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        with _alone(job.folder), _logged(job.folder / LOG):
            sweep(job.folder)
            _run(job, device)
            (job.folder / ERROR).unlink(missing_ok=True)
    except Busy as reason:
        return Outcome(str(reason))
    except Exception as reason:  # A cell that fails must not take the others with it.
        return Outcome(_failure(job, reason))
    return Outcome()


def missing_parts(job: Job) -> list[Part]:
    """What is still to be measured of a cell."""
    return [part for part in job.parts if not is_kept(job.folder, part)]


def is_trained(folder: Path) -> bool:
    """Whether the run of this folder has been trained to its end: checkpoints are whole or absent."""
    return (folder / CHECKPOINT).is_file()


def failure_of(folder: Path) -> str | None:
    """Why the cell of this folder failed when it was last tried."""
    try:
        return str(json.loads((folder / ERROR).read_text())["error"])
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"{folder / ERROR} cannot be read"


def record_failure(folder: Path, sentence: str) -> None:
    """Keep why a cell failed, as far as the disk lets us."""
    try:
        write_durably(folder / ERROR, json.dumps({"error": sentence}).encode())
    except OSError:
        return  # The disk is full: the next call tries the cell again in any case.


class Busy(Exception):
    """Another process is at this cell."""


def _run(job: Job, device: str) -> None:
    plan = replace(job.cell.plan, device=device)
    threads = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        if not is_trained(job.folder):
            _write_settings(job)
            train(plan, job.folder / CHECKPOINT, state=job.folder / STATE)
        # What was killed between writing the checkpoint and removing the state.
        (job.folder / STATE).unlink(missing_ok=True)
        for part in missing_parts(job):
            keep(job.folder, part, measured_part(part, job.folder / CHECKPOINT, plan, job.measure))
    finally:
        torch.set_num_threads(threads)


def _write_settings(job: Job) -> None:
    document = {"levels": dict(job.cell.levels), "plan": settings_of(job.cell.plan)}
    write_durably(job.folder / SETTINGS, json.dumps(document, indent=1).encode())


def _failure(job: Job, reason: Exception) -> str:
    """One line for people; what only a developer can use goes to the log."""
    sentence = sentence_of(reason)
    if isinstance(reason, OSError) and reason.filename is None:
        # Of a file that was open already: one that the cell writes.
        sentence = f"cannot write to {job.folder} ({reason.strerror or reason})"
    if sentence is None:
        sentence = f"{type(reason).__name__}: {reason}; the traceback is in {job.folder / LOG}"
        _log(job.folder / LOG, traceback.format_exception(reason))
    sentence = " ".join(sentence.split())
    record_failure(job.folder, sentence)
    return sentence


def _log(path: Path, lines: Sequence[str]) -> None:
    try:
        with path.open("a", encoding="utf-8") as log:
            log.writelines(lines)
    except OSError:
        return  # The failure itself is what counts.


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise Busy(
            f"another process is at {folder} at this moment; run the study again once it is done"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """What is said on stderr meanwhile goes to a file."""
    with path.open("a", encoding="utf-8", buffering=1) as log, redirect_stderr(log):
        yield
