"""What tells that a file was touched or changed."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISREG


def file_stamp(path: str | Path, *, hash_contents: bool) -> str:
    """Size and time of change of a file, or its SHA-256; why not where it cannot be read."""
    try:
        if not hash_contents:
            status = os.stat(path)
            return f"{status.st_size} {status.st_mtime_ns}"
        if not S_ISREG(os.stat(path).st_mode):
            return "unreadable: no regular file"
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as reason:
        return f"unreadable: {reason.strerror}"


def file_stamps(paths: Iterable[Path], root: Path, *, hash_contents: bool) -> Iterator[str]:
    """The stamp of each file after its path in a folder, in the order of the paths."""
    for path in sorted(paths):
        yield f"{os.path.relpath(path, root)}\0{file_stamp(path, hash_contents=hash_contents)}"


def size_of(path: str | Path) -> str:
    """The size of a file, or why it has none."""
    try:
        return str(os.stat(path).st_size)
    except OSError as reason:
        return f"unreadable: {reason.strerror}"
