"""Random command lines over every command and flag there is, and what becomes of them.

The same number always makes the same one. Each runs in a process of its own, forked from this one, in a folder with a
store, a checkpoint, arrays, a study, a pipe, a folder, an empty file and text.
"""

import os
import random
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import typer

from maxsup_analysis import cli

PLACES = (
    ".", "/", "", "..", "missing", "missing/deeper.pt", "folder", "empty", "text.txt", "pipe", "run.pt",
    "arrays.npz", "arrays.features", "study.toml", "/dev/null", "nul\x00", "caf\u00e9", "\u202e", "a" * 300,
    "run.pt/x", "~", "-", "*", "arrays.features/manifest.json", "\udcff.pt", "name=arrays.features", "=", "a=,b",
    "a=arrays.npz,arrays.npz", "a=",
)  # fmt: skip
NUMBERS = (
    "0", "1", "2", "-1", "1e3", "1.5", "nan", "inf", "-inf", "", " ", "x", "9" * 25, "9" * 5000, "1_0", "٣", "0x10",
    "1,2", "64", "2147483648", "true",
)  # fmt: skip
WORDS = (
    "", " ", "ce", "LS", "test", "train", "all", "nc", "accuracy", "digits", "class", "auto", "cpu", "cuda:99",
    "mps", "bf16", "a=1", "a=[", "a=" + "(" * 300, "--", "\x1b[31m", "\u202e", "\udcff", "%s%n{}", "9" * 400,
    "0.5,0.5", "fail", "os:system", "x.py:f", "hf:.", "timm/resnet18", "none", "1/2", "3/2", "0,1,2", "umap",
    "metrics",
)  # fmt: skip
# What is asked of the longest commands, so that those that are valid end soon.
SHORT = {
    "train": ("--epochs", "1", "--train-samples", "40"),
    "demo": ("--epochs", "-1"),
    "ablate": ("--dry-run",),
}
# What there is of what an argument of this name takes.
SOUND = {"study": ("study.toml",), "checkpoint": ("run.pt",), "store": ("arrays.features",)}
KINDS = ("umap", "metrics", "logits", "templates", "spectrum", "reliability", "all", "")
CPU_SECONDS, WALL_SECONDS, MEMORY = 20, 90, 8 << 30


@cache
def commands() -> dict[tuple[str, ...], Any]:
    """Every command by its words."""
    return dict(_commands(typer.main.get_command(cli.app), ()))


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    nested = getattr(command, "commands", {})
    if not nested:
        yield words, command
    for name, one in nested.items():
        yield from _commands(one, (*words, name))


def line(number: int, seed: int) -> list[str]:
    """The words of a command line, without the program."""
    draw = random.Random(f"{seed} {number}")
    words, command = draw.choice(sorted(commands().items()))
    given = [*words]
    options = [one for one in command.params if one.param_type_name == "option"]
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    for one in draw.sample(options, k=min(len(options), draw.choice((0, 1, 1, 2, 3)))):
        for _ in range(draw.choice((1, 1, 1, 2))):
            given += _flag(one, draw)
    for one in arguments:
        given += [_place(one.name or "", draw) for _ in range(draw.choice((0, 1, 1, 1, 2)))]
    if any("--output" in one.opts for one in options) and draw.random() < 0.6:
        given += ["-o", draw.choice(("out/new", "out/new.pdf", "out/new.png", "out/new.npz", *PLACES[:8]))]
    if draw.random() < 0.1:
        given.insert(
            draw.randrange(len(given) + 1), draw.choice(("--debugg", "--", "-", "--json=3", "-\u202e", ""))
        )
    return [*given, *SHORT.get(words[0], ())]


def _flag(option: Any, draw: random.Random) -> list[str]:
    name = draw.choice([*option.opts, *option.secondary_opts])
    if option.is_flag and not draw.random() < 0.05:
        return [name]
    # Which of typer's versions is installed decides where the type is.
    kind = repr(getattr(option, "type", None) or getattr(option, "type_descriptor", "")).lower()
    numeric = "int" in kind or "float" in kind
    pool = NUMBERS if numeric else PLACES if "path" in kind else (*WORDS, *NUMBERS, *PLACES)
    return [name, draw.choice(pool)]


def _place(name: str, draw: random.Random) -> str:
    if name == "kind":
        return draw.choice(KINDS)
    sound = SOUND.get(name, ("run.pt", "arrays.npz", "arrays.features", "study.toml"))
    return draw.choice(sound if draw.random() < 0.4 else PLACES)


def furnish(folder: Path) -> None:
    """Make what the lines speak of."""
    from maxsup_analysis.feature_store.importing import import_store
    from maxsup_analysis.training import TrainingPlan, train

    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    np.savez(
        folder / "arrays.npz",
        features=rng.normal(size=(30, 4)),
        labels=labels,
        logits=rng.normal(size=(30, 3)),
    )
    import_store(folder / "arrays.npz", folder / "arrays.features")
    train(TrainingPlan(epochs=1, train_samples=40, model_args={"widths": [2, 2, 2]}), folder / "run.pt")
    (folder / "folder").mkdir()
    (folder / "empty").touch()
    (folder / "text.txt").write_text("one\ntwo\n")
    (folder / "study.toml").write_text("[train]\nepochs = 1\ntrain_samples = 40\n")
    os.mkfifo(folder / "pipe")


@dataclass(frozen=True)
class Outcome:
    """What became of a line. code: of the process, negative where a signal ended it. said: on stderr."""

    code: int
    said: str
    seconds: float

    @property
    def fault(self) -> str | None:
        """Why a user would complain, if they would."""
        lines = self.said.splitlines()
        if self.code not in (0, 1, 2):
            return f"exit code {self.code}"
        if "Traceback" in self.said or "this is a bug" in self.said:
            return "a traceback"
        if self.code == 2 and sum(text.startswith("error: ") for text in lines) > 1:
            return "several errors"
        return None


def outcome(given: list[str], folder: Path, said: Path) -> Outcome:
    """Run a line in the folder."""
    child = os.fork()
    if child == 0:
        _run(given, folder, said)
    _, status, used = os.wait4(child, 0)
    text = said.read_text(encoding="utf-8", errors="replace")
    return Outcome(os.waitstatus_to_exitcode(status), text, used.ru_utime + used.ru_stime)


def _mapped() -> int:
    """Bytes of addresses that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _run(given: list[str], folder: Path, said: Path) -> None:
    code = 99
    try:
        signal.alarm(WALL_SECONDS)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        # Beside the addresses of the process that this is a fork of, which may have run other tests before.
        most = _mapped() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode) for n, mode in ((0, "r"), (1, "w"), (2, "w")))
        sys.argv = ["maxsup-analyze", *given]
        cli.main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
