"""Tests for the processes of a study: every job once, a death is an answer, nobody is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from maxsup_analysis.datasets import Fetched
from maxsup_analysis.loading import Loader
from maxsup_analysis.study.workers import Died, each_done


def doubled(job: int, slot: str) -> tuple[int, str, int]:
    return 2 * job, slot, os.getpid()


def fatal(job: int, slot: str) -> int:
    if job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if job == 3:
        os._exit(7)
    return job


def slow(job: float, slot: str) -> float:
    time.sleep(job)
    return job


def test_every_job_is_done_once_and_processes_are_reused():
    answers = dict(each_done(doubled, range(7), ["cpu", "cuda:1"]))
    assert {job: answer[0] for job, answer in answers.items()} == {job: 2 * job for job in range(7)}  # type: ignore[index]
    assert len({answer[2] for answer in answers.values()}) <= 2  # type: ignore[index]
    assert {answer[1] for answer in answers.values()} <= {"cpu", "cuda:1"}  # type: ignore[index]


def test_no_jobs_start_no_process():
    assert list(each_done(doubled, [], ["cpu"])) == []


def test_a_process_that_dies_fails_its_job_and_no_other():
    answers = dict(each_done(fatal, range(6), ["cpu"]))
    assert answers.pop(2) == Died(-signal.SIGKILL) and answers.pop(3) == Died(7)
    assert answers == {0: 0, 1: 1, 4: 4, 5: 5}


def test_deaths_in_words():
    assert str(Died(-9)) == "its process was ended by SIGKILL (the system does so when memory runs out)"
    assert str(Died(-11)) == "its process was ended by SIGSEGV"
    assert str(Died(7)) == "its process ended with exit code 7"


def test_news_of_what_runs_while_nothing_ends():
    heard: list[list[float]] = []
    started: list[float] = []
    answers = each_done(
        slow,
        [2.5],
        ["cpu"],
        started=started.append,
        waiting=lambda jobs: heard.append(list(jobs)),
        patience=0.2,
    )
    assert dict(answers) == {2.5: 2.5}
    assert heard and set(map(tuple, heard)) == {(2.5,)} and started == [2.5]


def test_leaving_early_ends_the_processes():
    answers: Any = each_done(doubled, range(100), ["cpu"])
    _, (_, _, process) = next(answers)  # type: ignore[misc]
    answers.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_parent_that_is_killed_takes_its_processes_along(tmp_path: Path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys, time\n"
        "from maxsup_analysis.study.workers import each_done\n"
        "def work(job, slot):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    list(each_done(work, [1], ['cpu']))\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)


class Unpicklable:
    """A reader that only a forked process can have."""

    def __init__(self) -> None:
        self.pixels = lambda ids: torch.tensor(ids, dtype=torch.uint8)[:, None, None, None]

    def fetch(self, ids: Sequence[int]) -> Fetched:
        return Fetched(torch.tensor(ids), self.pixels(ids))


def decoded(job: int, slot: str) -> int:
    return sum(int(fetched.images.sum()) for fetched in Loader(Unpicklable(), 1).batches([[1, 2], [job, 4]]))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems spawn")
def test_processes_that_decode_are_forked_from_those_that_were_spawned():
    assert list(each_done(decoded, [3], ["cpu"])) == [(3, 10)]
