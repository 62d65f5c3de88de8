"""Opens paths in a process of its own and tells what came of it, one JSON object a path.

Run as `python -m tests.checkpoints.opening parse|read`, the paths as a JSON list on standard input. `parse` opens in
this process, under an audit hook; `read` opens as a user's program would, each path in a fork that is measured.
"""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from maxsup_analysis.errors import InputError

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 25
WORKERS = 2
FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.fork", "subprocess.Popen", "pty.spawn",
    "socket.", "urllib.", "http.", "ftplib.", "pickle.find_class", "ctypes.", "webbrowser.", "shutil.",
    "os.remove", "os.rename", "os.mkdir", "os.chmod", "sys.setprofile", "sys.settrace",
    "function.__new__",
)  # fmt: skip
MAKING_CODE = {"exec", "compile", "marshal.load", "marshal.loads", "code.__new__"}


@dataclass(frozen=True)
class Outcome:
    """What came of one path. peak: MB of the process that grew most; offences: audit events that must not be."""

    path: str
    kind: Literal["opened", "refused", "escaped", "hung", "died"]
    message: str = ""
    tensors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak: float = 0.0
    offences: list[str] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)


class Witness:
    """Holds the audit events of the opening under way; an audit hook cannot be removed, so it is switched."""

    def __init__(self) -> None:
        self.watching = False
        self.offences: list[str] = []
        self.imports: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.watching:
            return
        if event == "import":
            self.imports.append(str(arguments[0]))
        elif event.startswith(FORBIDDEN) or (event in MAKING_CODE and _made_of_text(event, arguments)):
            self.offences.append(f"{event} {str(arguments)[:200]}")


def _made_of_text(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether code comes from anywhere but an import; ast.parse compiles a "<unknown>" that is never run."""
    if event == "compile" and (arguments[0] is None or arguments[1] == "<unknown>"):
        return False
    if event == "exec" and not arguments[0].co_filename.startswith("<"):  # pyright: ignore[reportAttributeAccessIssue]
        return False
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return False
        frame = frame.f_back
    return True


def entry(mode: str) -> Callable[[Path], object]:
    """The reader; the one place that knows its name."""
    from maxsup_analysis.containers import Contents, parse, read
    from maxsup_analysis.containers.verify import verified

    def read_and_verify(path: Path) -> Contents:
        contents = read(path)
        verified(path, contents)
        return contents

    return {"parse": parse, "read": read_and_verify}[mode]


def opened(reader: Callable[[Path], object], path: Path) -> Outcome:
    """What one call of the reader gives."""
    begun = time.monotonic()
    try:
        contents = reader(path)
    except InputError as error:
        return Outcome(str(path), "refused", str(error), seconds=time.monotonic() - begun)
    except BaseException as error:
        text = f"{type(error).__name__}: {str(error)[:500]}"
        return Outcome(str(path), "escaped", text, seconds=time.monotonic() - begun)
    names = [str(name) for name in contents.tensors]  # pyright: ignore[reportAttributeAccessIssue]
    foreign = [str(name) for name in contents.foreign]  # pyright: ignore[reportAttributeAccessIssue]
    return Outcome(str(path), "opened", "", names, foreign, time.monotonic() - begun)


def inspected(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command line on a path; the one place that knows the command."""
    command = [sys.executable, "-m", "maxsup_analysis", "inspect", str(path), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)


def _watched(witness: Witness, reader: Callable[[Path], object], path: Path) -> Outcome:
    witness.offences, witness.imports, witness.watching = [], [], True
    try:
        outcome = opened(reader, path)
    finally:
        witness.watching = False
    return Outcome(**{**asdict(outcome), "offences": witness.offences, "imports": witness.imports})


def _peak() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(usage.ru_maxrss for usage in usages) / 1024


def _forked(reader: Callable[[Path], object], path: Path) -> Outcome:
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        outcome = Outcome(**{**asdict(opened(reader, path)), "peak": _peak()})
        with os.fdopen(sink, "w") as out:
            out.write(json.dumps(asdict(outcome)))
        os._exit(0)
    os.close(sink)
    with os.fdopen(source, "rb") as told:
        answered, _, _ = select.select([told], [], [], PATIENCE_SECONDS)
        if not answered:
            os.killpg(child, signal.SIGKILL)
        answer = told.read()
    _, status = os.waitpid(child, 0)
    if not answer:
        return Outcome(str(path), "died" if answered else "hung", f"wait status {status}")
    return Outcome(**json.loads(answer))


def main(mode: str) -> None:
    paths = [Path(path) for path in json.load(sys.stdin)]
    reader, witness = entry(mode), Witness() if mode == "parse" else None
    for path in paths:
        outcome = _watched(witness, reader, path) if witness else _forked(reader, path)
        print(json.dumps(asdict(outcome)), flush=True)


def _worker(mode: str, paths: Sequence[Path], environment: dict[str, str] | None) -> list[Outcome]:
    command = [sys.executable, "-m", "tests.checkpoints.opening", mode]
    given = json.dumps([str(path) for path in paths])
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, cwd=ROOT, check=False, env=environment
    )
    outcomes = [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
    last_words = done.stderr[-2000:]
    return outcomes + [Outcome(str(path), "died", last_words) for path in paths[len(outcomes) :]]


def outcomes(
    mode: Literal["parse", "read"], paths: Sequence[Path], *, environment: dict[str, str] | None = None
) -> dict[str, Outcome]:
    """What comes of each path, by path; two processes share the work."""
    shares = [share for start in range(WORKERS) if (share := paths[start::WORKERS])]
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = pool.map(lambda share: _worker(mode, share, environment), shares)
    return {outcome.path: outcome for answer in answers for outcome in answer}


if __name__ == "__main__":
    main(sys.argv[1])
