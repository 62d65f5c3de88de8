"""Reading a container in a child process that may not use much memory or time, write, or reach out."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from maxsup_analysis.containers.contents import Contents, contents_as_plain, contents_from_plain
from maxsup_analysis.errors import InputError

MEMORY = 640 << 20
SECONDS = 4
PLAN_LIMIT = 1 << 28
# What the child may do, by the name of Python's audit event: it reads files and imports the standard library.
FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.remove", "os.rename", "os.mkdir",
    "os.rmdir", "os.link", "os.symlink", "os.truncate", "subprocess.Popen", "pty.spawn", "shutil.", "ctypes.",
    "marshal.", "pickle.find_class", "code.__new__",
)  # fmt: skip
# `-I -S`: nothing of the user's environment or site-packages is imported, so there is nothing to name either.
CHILD = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from maxsup_analysis.containers.sandbox import child
child(sys.argv[2])
"""


def read_in_child(path: Path) -> Contents:
    """The contents of a file or folder; raises InputError where it is refused or costs too much."""
    package = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-I", "-S", "-c", CHILD, str(package), os.path.abspath(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=2 * SECONDS + _work(path), check=False, env={}
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{path}: it takes too long to read, which no honest checkpoint does") from None
    if done.returncode or len(done.stdout) > PLAN_LIMIT:
        raise InputError(
            f"{path}: it takes more memory or time to read than its size explains, which no honest checkpoint "
            "does; save its state dict alone and try again"
        )
    answer = json.loads(done.stdout)
    if "refusal" in answer:
        raise InputError(f"{path}: {answer['refusal']}")
    return contents_from_plain(answer)


def child(path: str) -> None:
    """In the child: limits first, then the reading, then its plan on stdout."""
    from maxsup_analysis.containers.parse import parse

    limit(_bytes(Path(path)))
    sys.addaudithook(forbid)
    answer = answer_of(lambda: parse(Path(path)))
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)


def answer_of(read: Callable[[], Contents]) -> dict[str, object]:
    """The plan, or the refusal, as JSON."""
    try:
        return contents_as_plain(read())
    except InputError as refusal:
        return {"refusal": str(refusal)}
    except MemoryError:
        return {
            "refusal": "it takes more memory to read than its size explains, which no honest checkpoint does"
        }


def limit(size: int) -> None:
    """Bound this process; a pickle of arrays holds its bytes in memory, so the bound grows with the file."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the counts in the readers still hold.
        return
    memory, seconds = MEMORY + 3 * min(size, 1 << 33), SECONDS + size // (1 << 28)
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def forbid(event: str, arguments: tuple) -> None:
    """An audit hook: what a reader has no use for ends the process."""
    writes = event == "open" and len(arguments) > 1 and any(letter in str(arguments[1]) for letter in "wax+")
    if writes or (event.startswith(("socket.", *FORBIDDEN)) and event != "marshal.loads"):
        os._exit(99)


def _bytes(path: Path) -> int:
    """The bytes that a reader may have to hold: a zip or safetensors file is only described."""
    try:
        # Opening a pipe would wait for someone to write to it.
        if not path.is_file():
            return 0
        with path.open("rb") as file:
            pickled = file.read(1) == b"\x80"
        return path.stat().st_size if pickled else 0
    except OSError:
        return 0


def _work(path: Path) -> int:
    """Extra seconds for the largest of files."""
    return _bytes(path) // (1 << 28)
