"""Bounded reading: no read asks for more than the file has, whatever its lengths claim."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from maxsup_analysis.errors import InputError

LINE_LIMIT = 1 << 16


class Window:
    """A part of a file that reads as a file of its own."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self.file, self.start, self.size = file, start, size
        self.place = 0

    def read(self, count: int = -1) -> bytes:
        """Up to `count` bytes, all that is left by default."""
        left = max(self.size - self.place, 0)
        count = left if count < 0 else min(count, left)
        self.file.seek(self.start + self.place)
        data = self.file.read(count)
        self.place += len(data)
        return data

    def readline(self) -> bytes:
        """Up to the next newline; InputError where none comes for long."""
        self.file.seek(self.start + self.place)
        line = self.file.readline(min(LINE_LIMIT, max(self.size - self.place, 0)))
        if len(line) == LINE_LIMIT:
            raise InputError(
                f"it has a line of text of more than {LINE_LIMIT:,} bytes where a name should be"
            )
        self.place += len(line)
        return line

    def tell(self) -> int:
        """Where the next byte comes from, counted from the start of the part."""
        return self.place

    def seek(self, place: int) -> None:
        """Go on reading from there."""
        self.place = place

    def at(self, place: int, count: int) -> bytes:
        """Exactly `count` bytes from `place`; InputError where the part is shorter."""
        if place < 0 or count < 0 or place + count > self.size:
            raise InputError(f"it is cut off: {count:,} bytes expected at {place:,} of {self.size:,}")
        self.seek(place)
        return self.read(count)


@contextmanager
def opened(path: Path) -> Iterator[Window]:
    """A regular file to read from; InputError for pipes, devices and what cannot be opened."""
    if not path.is_file():
        raise InputError("it is no regular file; name the file or the folder of a checkpoint")
    with path.open("rb") as file:
        yield Window(file, 0, os.fstat(file.fileno()).st_size)


def confined(folder: Path, name: str) -> Path:
    """A file of the folder, by the name that an index gives it; InputError where it leads out of the folder."""
    if len(name) > 1000:
        raise InputError(f"its index names a file of {len(name):,} characters")
    path = folder / name
    inside = any(path.resolve().is_relative_to(place) for place in _own_places(folder))
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name or not inside:
        raise InputError(f"its index names a file outside of the folder ({name[:80]!r})")
    if not path.is_file():
        raise InputError(f"its index names {name[:80]!r}, which is not there; copy the whole folder")
    return path


def _own_places(folder: Path) -> tuple[Path, ...]:
    """Where the files of a folder may lie: in it; of a snapshot in Hugging Face's cache in `blobs` beside it too."""
    home = folder.resolve()
    return (home, home.parents[1] / "blobs") if home.parent.name == "snapshots" else (home,)
