"""Processes that each do one job after another; one that dies fails its job, and another takes its place."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

J = TypeVar("J")
R = TypeVar("R")
# A process of its own for every worker, with nothing of this one's threads and devices in it.
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Died:
    """How the process of a job ended without an answer."""

    exit_code: int

    def __str__(self) -> str:
        if self.exit_code < 0:
            name = signal.Signals(-self.exit_code).name
            hint = " (the system does so when memory runs out)" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{hint}"
        return f"its process ended with exit code {self.exit_code}"


class _Worker(Generic[J, R]):
    """A process and the line to it."""

    def __init__(self, work: Callable[[J, str], R], slot: str) -> None:
        self.slot = slot
        self.line, theirs = SPAWN.Pipe()
        self.process: BaseProcess = SPAWN.Process(target=_serve, args=(theirs, work, slot))
        self.process.start()
        theirs.close()
        self.job: J | None = None

    def start(self, job: J) -> None:
        self.job = job
        self.line.send(job)

    def answer(self) -> R | Died:
        """What came of the job; waits for it."""
        self.job = None
        try:
            return self.line.recv()
        except EOFError:
            self.process.join()
            return Died(self.process.exitcode or 0)

    def end(self) -> None:
        """Stop it at once, whatever it does: what a job writes is whole or absent."""
        self.line.close()
        self.process.terminate()
        self.process.join(2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def each_done(
    work: Callable[[J, str], R],
    jobs: Sequence[J],
    slots: Sequence[str],
    *,
    started: Callable[[J], None] = lambda _: None,
    waiting: Callable[[Sequence[J]], None] = lambda _: None,
    patience: float | None = None,
) -> Iterator[tuple[J, R | Died]]:
    """Every job with what `work(job, slot)` gives, as they are done: one process a slot.

    waiting: called with the jobs that run when nothing has happened for `patience` seconds.
    Leaving the iterator early ends the processes.
    """
    left = list(reversed(jobs))
    busy: list[_Worker[J, R]] = []
    try:
        busy = [_Worker(work, slot) for slot in slots[: len(left)]]
        for worker in busy:
            _next(worker, left, started)
        while busy:
            ready = wait([worker.line for worker in busy], patience)
            if not ready:
                waiting([worker.job for worker in busy if worker.job is not None])
            for worker in [worker for worker in busy if worker.line in ready]:
                job, answer = worker.job, worker.answer()
                assert job is not None
                yield job, answer
                busy.remove(worker)
                if isinstance(answer, Died) or not left:
                    worker.end()
                    worker = _Worker(work, worker.slot) if left else None
                if worker is not None:
                    _next(worker, left, started)
                    busy.append(worker)
    finally:
        for worker in busy:
            worker.end()


def _next(worker: _Worker[J, R], left: list[J], started: Callable[[J], None]) -> None:
    job = left.pop()
    started(job)
    worker.start(job)


def _serve(line: Connection, work: Callable[[J, str], R], slot: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A Ctrl-C reaches the whole group; the parent decides.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job = line.recv()
        except EOFError:
            return
        line.send(work(job, slot))


def _end_with_parent() -> None:
    """A parent that was killed takes its workers along: nobody is left to answer to."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
