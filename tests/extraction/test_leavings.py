"""Tests for what runs with workers leave that are killed: nothing after the next one, in the system's folder either."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from maxsup_analysis.feature_store import open_store
from maxsup_analysis.feature_store.request import partial_of
from tests.extraction.processes import command_line, gone, start
from tests.extraction.setting import write_checkpoint

KILLS = 4
SHARED = Path("/dev/shm")


def photographs(root: Path) -> Path:
    """Names of ten grey images: links, so that they are made at once."""
    noise = np.random.default_rng(0)
    for label in range(10):
        folder = root / "images" / str(label)
        folder.mkdir(parents=True)
        Image.fromarray(noise.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / "0.png")
        for number in range(1, 300):
            os.link(folder / "0.png", folder / f"{number}.png")
    write_checkpoint(root / "net.pt")
    return root


def test_workers_that_are_killed_leave_nothing_after_the_next_run(tmp_path: Path):
    root, scratch = photographs(tmp_path), tmp_path / "scratch"
    scratch.mkdir()
    before = set(SHARED.iterdir()) if SHARED.exists() else set()
    output, chance = root / "s.features", random.Random(1)
    arguments = ("features", root / "net.pt", "--data", root / "images", "-o", output, "-j", 2, "-b", 16)
    environment = {"TMPDIR": str(scratch)}
    for number in range(KILLS):
        run = start(root / "log", command_line, *arguments, environment=environment)
        assert run.pid is not None
        end = time.monotonic() + 20
        while not partial_of(output).exists() and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.5)
        with suppress(ProcessLookupError):
            # A second Ctrl-C, or SIGKILL, of all that runs there.
            os.killpg(run.pid, signal.SIGINT if number % 2 else signal.SIGKILL)
            os.killpg(run.pid, signal.SIGINT if number % 2 else signal.SIGKILL)
        run.join(10)
        assert gone(run.pid, 10)
    run = start(root / "log", command_line, *arguments, environment=environment)
    run.join(120)
    assert run.exitcode == 0, (root / "log").read_text()
    assert open_store(output).size == 3000 and not list(scratch.iterdir())
    assert sorted(path.name for path in root.iterdir()) == [
        "images",
        "log",
        "net.pt",
        "s.features",
        "scratch",
    ]
    left = set(SHARED.iterdir()) - before if SHARED.exists() else set()
    assert not [path for path in left if path.name.startswith(f"torch_{run.pid}")]
