"""Processes of their own, forked from one that has imported everything, so that they start at once."""

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["maxsup_analysis.features", "maxsup_analysis.cli", "timm", "torchvision", "tests.extraction.processes"]
)


def start(
    log: Path, target: Callable[..., object], *arguments: object, environment: dict[str, str] | None = None
) -> ForkServerProcess:
    """Begin a function in a session of its own; what it prints goes into the log."""
    process = CONTEXT.Process(target=_run, args=(log, target, arguments, environment or {}))
    process.start()
    return process


def command_line(*arguments: object) -> None:
    """`maxsup-analyze ARGUMENTS`."""
    from maxsup_analysis.__main__ import main

    sys.argv = ["maxsup-analyze", *map(str, arguments)]
    main()


def _run(log: Path, target: Callable[..., object], arguments: tuple, environment: dict[str, str]) -> None:
    import torch

    # As in a command of its own; what a fork server forks would use that server too.
    multiprocessing.set_start_method("fork", force=True)
    os.setsid()
    torch.set_num_threads(1)
    os.environ.update(environment)
    # As in a command of its own: no folder of the fork server's, and the one that the environment names.
    tempfile.tempdir = None
    multiprocessing.current_process()._config.pop("tempdir", None)  # type: ignore[attr-defined]
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    target(*arguments)


def session_of(pid: int) -> list[int]:
    """The processes that still run in the session that a process began."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def gone(pid: int, seconds: float) -> bool:
    """Whether all of a session has ended, within so many seconds."""
    end = time.monotonic() + seconds
    while session_of(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
