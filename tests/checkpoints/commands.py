"""Whole commands on files, watched, with nobody at the terminal.

Run as `python -m tests.checkpoints.commands` with a JSON list of (command line, folder) on standard input; each runs in
a fork of a process that has the libraries.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from tests.checkpoints.trusting import ROOT

PATIENCE_SECONDS = 240
# What no command has a use for, by the name of Python's audit event.
FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "os.startfile", "socket.connect",
    "socket.getaddrinfo", "socket.gethostbyname", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.",
    "pickle.find_class", "builtins.input", "code.__new__", "marshal.load",
)  # fmt: skip

# What no command may look into, where it is called trap: nor the terminal.
READING = ("open", "os.listdir", "os.scandir", "os.chdir", "os.rename", "os.remove", "shutil.copyfile")


@dataclass(frozen=True)
class Ran:
    """What came of a command.

    offences: audit events that must not be. seconds: of the processor. megabytes: what it took more than before.
    """

    command: list[str]
    code: int
    out: str
    err: str
    offences: list[str]
    seconds: float = 0.0
    megabytes: float = 0.0


class Guard:
    """Notes what must not be; an audit hook cannot be removed, so it lives in a process of its own."""

    def __init__(self) -> None:
        self.offences: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        sandbox = event == "subprocess.Popen" and "-I" in arguments[1]  # pyright: ignore[reportOperatorIssue]
        named = event == "import" and str(arguments[0]).partition(".")[0] in (
            "trapmodule",
            "trap_file",
            "hubconf",
        )
        read = event in READING and str(arguments[0]).rstrip("/").rpartition("/")[2].startswith(
            ("trap", "tty")
        )
        spawned = event == "subprocess.Popen" and not sandbox
        if (event.startswith(FORBIDDEN) and event != "marshal.loads") or spawned or named or read:
            self.offences.append(f"{event} {str(arguments)[:200]}")


def run(command: Sequence[str], folder: str, sink: int) -> None:
    """In the fork: the command line as it is, then what came of it."""
    os.chdir(folder)
    sys.path.insert(0, "")
    sys.argv = ["maxsup-analyze", *command]
    from maxsup_analysis import cli

    outputs = [os.memfd_create(name) for name in ("out", "err")]
    for place, number in enumerate(outputs, 1):
        os.dup2(number, place)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    code, guard, began, held = 0, Guard(), _processor_seconds(), _most_kilobytes()
    try:
        cli.main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0
    except BaseException as error:
        code = 99
        print(type(error).__name__, error, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = (os.pread(number, 1 << 20, 0).decode("utf-8", "replace") for number in outputs)
    cost = (_processor_seconds() - began, (_most_kilobytes() - held) / 1000)
    os.write(sink, json.dumps(asdict(Ran(list(command), code, out, err, guard.offences, *cost))).encode())


def _processor_seconds() -> float:
    return sum(os.times()[:4])


def _most_kilobytes() -> int:
    """The most memory at a time, of this process or of one that it started."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    """Each command line of standard input in a fork."""
    import timm  # noqa: F401 - once, not in each fork
    import torchvision  # noqa: F401

    from maxsup_analysis import cli, features, reporting, transfer  # noqa: F401
    from maxsup_analysis.architectures.known import index

    # Read once, not in each fork.
    known = index()
    assert known.architectures
    assert known.head_spellings
    for command, folder in json.load(sys.stdin):
        source, sink = os.pipe()
        child = os.fork()
        if not child:
            import signal

            signal.alarm(PATIENCE_SECONDS)
            run(command, folder, sink)
            os._exit(0)
        os.close(sink)
        with os.fdopen(source, "rb") as told:
            answer = told.read().decode()
        _, status = os.waitpid(child, 0)
        print(answer or json.dumps(asdict(Ran(command, 1000 + status, "", "died or hung", []))), flush=True)


def ran(commands: Sequence[tuple[list[str], str]], workers: int = 1) -> list[Ran]:
    """What comes of command lines, each in its folder; so many processes share the work, each of which imports all."""

    def worker(share: Sequence[tuple[list[str], str]]) -> list[Ran]:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.checkpoints.commands"], input=json.dumps(share),
            capture_output=True, text=True, cwd=ROOT, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        return [Ran(**json.loads(line)) for line in done.stdout.splitlines()]

    with ThreadPoolExecutor(workers) as pool:
        shares = list(pool.map(worker, [commands[start::workers] for start in range(workers)]))
    return [shares[place % workers][place // workers] for place in range(len(commands))]


if __name__ == "__main__":
    main()
