"""Files of a store, opened only where they are files, and known again later."""

import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

# Not of every system: no link is followed, and a pipe that nobody writes to keeps nobody waiting.
FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)
KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link; `cp -rL` makes a copy of the store that has the file itself",
    stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


class NoFile(OSError):
    """What has the name of a file is something else."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"it is no file but {kind}")


class TooLarge(OSError):
    """A file is larger than any that this package writes."""

    def __init__(self, most: int) -> None:
        super().__init__(f"it is larger than {most:,} bytes")


@dataclass(frozen=True)
class Stamp:
    """Tells whether a file is still the one that was looked at.

    inode: None on another machine, which may number files anew.
    """

    inode: int | None
    size: int
    modified: int

    @property
    def elsewhere(self) -> "Stamp":
        """As another machine may see the file."""
        return replace(self, inode=None)

    def is_of(self, path: Path) -> bool:
        """Whether the path still leads to the file, unchanged."""
        try:
            now = _stamp(path.lstat())
        except OSError:
            return False
        return self == (now if self.inode is not None else now.elsewhere)


def open_file(path: Path) -> BinaryIO:
    """A regular file to read from; raises NoFile for links, folders, pipes and devices, else OSError."""
    _require_file(path.lstat())
    descriptor = os.open(path, FLAGS)
    try:
        _require_file(os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def content_of(path: Path, most: int) -> bytes:
    """All of a regular file that has `most` bytes or fewer; raises NoFile, TooLarge, else OSError."""
    with open_file(path) as file:
        # What is asked for is set aside, whether it is there or not.
        content = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
    if len(content) > most:
        raise TooLarge(most)
    return content


def stamp_of(file: BinaryIO) -> Stamp:
    """The stamp of an opened file."""
    return _stamp(os.fstat(file.fileno()))


def _require_file(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NoFile(KINDS.get(stat.S_IFMT(found.st_mode), "something else"))


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)
