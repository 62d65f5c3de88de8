"""Tests for decoding in other processes: order, processes that die, and shared memory that is too small."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from maxsup_analysis.datasets import Fetched
from maxsup_analysis.errors import InputError
from maxsup_analysis.loading import Loader

WANTED = [range(start, start + 5) for start in range(0, 100, 5)]


@dataclass(frozen=True)
class Numbers:
    """Images that are their own numbers. deadly: the number at which its process dies, while `once` is not there."""

    deadly: int | None = None
    once: Path | None = None
    parent: int = 0

    def fetch(self, ids) -> Fetched:
        numbers = list(ids)
        if self.deadly in numbers and os.getpid() != self.parent and not (self.once and self.once.exists()):
            if self.once:
                self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        images = torch.tensor(numbers, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
        return Fetched(torch.tensor(numbers), images.contiguous())


@dataclass(frozen=True)
class Silent(Numbers):
    """Its processes come to the deadly number and no further."""

    def fetch(self, ids) -> Fetched:
        if self.deadly in list(ids) and os.getpid() != self.parent:
            time.sleep(1000)
        return super().fetch(ids)


@dataclass(frozen=True)
class Growing(Numbers):
    """Images of another size from batch to batch: they do not fit in the shared memory."""

    def fetch(self, ids) -> Fetched:
        fetched = super().fetch(ids)
        return replace(fetched, images=fetched.images.repeat(1, 1, 1, 1 + next(iter(ids))).contiguous())


def ids(loader: Loader) -> list[list[int]]:
    found = []
    for fetched in loader.batches(WANTED):
        assert fetched.images[:, 0, 0, 0].tolist() == fetched.ids.tolist()
        found.append(fetched.ids.tolist())
    return found


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_the_order_asked(workers: int):
    assert ids(Loader(Numbers(), workers)) == [list(batch) for batch in WANTED]


@pytest.mark.parametrize("shapes", ["the same", "others"])
def test_workers_make_nothing_in_the_systems_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shapes: str
):
    """A tensor that a worker sends by itself goes through a socket there, which stays when the worker is killed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delitem(multiprocessing.current_process()._config, "tempdir", raising=False)  # type: ignore[attr-defined]
    reader = Numbers() if shapes == "the same" else Growing()
    for _ in Loader(reader, 2).batches(WANTED):
        assert not list(tmp_path.iterdir())


def test_a_worker_that_is_killed_is_survived(tmp_path: Path, capsys):
    reader = pickle.loads(pickle.dumps(Numbers(42, tmp_path / "died", os.getpid())))
    assert ids(Loader(reader, 3)) == [list(batch) for batch in WANTED]
    assert "warning: a process that decodes images died" in capsys.readouterr().err


def test_an_image_that_kills_every_process_is_named(capsys):
    start = time.monotonic()
    with pytest.raises(
        InputError, match=r"keeps dying, on one of the samples (30 to 44|35 to 49|40 to 54); find the image"
    ):
        ids(Loader(Numbers(42, None, os.getpid()), 4))
    assert time.monotonic() - start < 60 and capsys.readouterr().err.count("going on with") == 2


SMALL = """
import torch
from maxsup_analysis.datasets import Fetched
from maxsup_analysis.loading import Loader

class Large:
    def fetch(self, ids):
        return Fetched(torch.tensor(list(ids)), torch.zeros(len(ids), 3, 1000, 1000, dtype=torch.uint8))

found = [fetched.ids.tolist() for fetched in Loader(Large(), 2).batches([range(n, n + 4) for n in range(0, 20, 4)])]
assert found == [list(range(n, n + 4)) for n in range(0, 20, 4)]
"""


def test_batches_that_are_given_up_leave_no_thread_and_no_process():
    threads = set(threading.enumerate())
    for _ in range(3):
        batches = Loader(Numbers(), 2).batches(WANTED)
        next(batches)
        batches.close()
        assert set(threading.enumerate()) == threads and not multiprocessing.active_children()


def test_too_little_shared_memory_is_survived():
    mounting = 'mount -t tmpfs -o size=4m tmpfs /dev/shm && exec "$0" -c "$1"'
    run = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounting, sys.executable, SMALL],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "unshare" in run.stderr or "mount:" in run.stderr:
        pytest.skip(f"no mounts of its own here: {run.stderr[:100]}")
    assert run.returncode == 0, run.stderr
    assert "warning: /dev/shm has 4 MB free, too little for more than no processes" in run.stderr


def test_a_worker_that_falls_silent_is_survived(monkeypatch, capsys):
    monkeypatch.setattr("maxsup_analysis.loading.PATIENCE", 3)
    start = time.monotonic()
    assert ids(Loader(Silent(42, None, os.getpid()), 1)) == [list(batch) for batch in WANTED]
    assert "a process that decodes images was silent for 3 s; going on with none" in capsys.readouterr().err
    assert time.monotonic() - start < 20


def test_other_errors_of_a_worker_are_errors():
    class Broken:
        def fetch(self, ids):
            raise ZeroDivisionError("a bug")

    for workers in (0, 1):
        with pytest.raises(ZeroDivisionError, match="a bug"):
            ids(Loader(Broken(), workers))
