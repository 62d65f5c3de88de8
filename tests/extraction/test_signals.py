"""Tests for runs that are told to stop: they end soon, leave nothing behind, and say how to go on."""

import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maxsup_analysis.feature_store import open_store
from maxsup_analysis.feature_store.checks import faults
from tests.extraction.processes import command_line, gone, start
from tests.extraction.setting import write_checkpoint

FOLDERS, EACH = 10, 900


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9,000 names of ten grey images: links, so that they are made at once."""
    root = tmp_path_factory.mktemp("photographs")
    noise = np.random.default_rng(0)
    for label in range(FOLDERS):
        folder = root / "images" / str(label)
        folder.mkdir(parents=True)
        Image.fromarray(noise.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / "0.png")
        for number in range(1, EACH):
            os.link(folder / "0.png", folder / f"{number}.png")
    write_checkpoint(root / "net.pt")
    return root


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_ends_the_run_and_the_same_line_goes_on(photographs: Path, number: int, workers: int):
    output = photographs / f"{number}-{workers}.features"
    arguments = (
        photographs / "net.pt",
        "--data",
        photographs / "images",
        "-o",
        output,
        "-j",
        workers,
        "-b",
        32,
    )
    rng, interrupted = random.Random(f"{number} {workers}"), 0
    while interrupted < 4:
        log = photographs / "log"
        run = start(log, command_line, "features", *arguments)
        time.sleep(0.1 + rng.random() * 1.2)
        assert run.pid is not None
        with suppress(ProcessLookupError):
            os.kill(run.pid, number)
        run.join(10)
        # Ended by the signal itself: it had hardly begun, or was done and about to leave.
        assert run.exitcode in (0, 128 + number, -number), log.read_text()
        assert gone(run.pid, 10)
        assert not list(photographs.glob("*/*.tmp"))
        if run.exitcode == 128 + number:
            interrupted += 1
            last = log.read_text().splitlines()[-1]
            assert last.startswith("interrupted; "), log.read_text()
            command = f"to go on: maxsup-analyze features {photographs}/net.pt --data"
            assert "nothing half-written is left" in last or (
                "are done and kept in" in last and command in last
            )
        else:
            shutil.rmtree(output, ignore_errors=run.exitcode == -number)
    run = start(photographs / "log", command_line, "features", *arguments)
    run.join(120)
    assert (
        run.exitcode == 0
        and not list(faults(open_store(output)))
        and open_store(output).size == FOLDERS * EACH
    )


def test_a_second_signal_ends_it_at_once(photographs: Path):
    run = start(photographs / "log", patient)
    assert run.pid is not None
    for _ in range(2):
        time.sleep(1)
        os.kill(run.pid, signal.SIGTERM)
    run.join(2)
    assert run.exitcode == -signal.SIGTERM


def patient() -> None:
    """A command that cleans up for a long time."""
    from maxsup_analysis import cli

    @cli.app.command()
    def clean_up() -> None:
        try:
            time.sleep(60)
        finally:
            time.sleep(60)

    command_line("clean-up")
