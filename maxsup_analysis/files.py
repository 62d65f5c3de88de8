"""Outputs are whole or absent: written beside their place under another name, then renamed."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from maxsup_analysis.errors import NO_ROOM, InputError
from maxsup_analysis.leftovers import REPLACED, remove_leftover_folders, temporary_file, temporary_folder

ELSEWHERE = "choose another output with -o"
ROOM = "make room there, or choose another output with -o"


def require_absent(path: Path, *, overwrite: bool) -> None:
    """Raise InputError where writing to `path` would replace something unasked."""
    if path.exists() and not overwrite:
        raise InputError(
            f"{path} exists already; choose another output with -o, or replace it with --overwrite"
        )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, that becomes `path` when the block ends well and vanishes when it does not."""
    with _sibling(path) as folder:
        partial = folder / path.name
        yield partial
        _sync(partial)
        os.replace(partial, path)
        sync_folder(path.parent)


def write_durably(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file that is on the disk, whole and under its name, once this returns; else it is not there at all.

    A crash at any moment leaves at most a file that `leftovers` finds. Raises OSError, which names the file, where the
    disk is full or fails.
    """
    try:
        partial, descriptor = temporary_file(path)
        try:
            for part in parts:
                _write_all(descriptor, memoryview(part))
            os.fsync(descriptor)
            # Before it is closed, so that nobody takes it for a leftover.
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        sync_folder(path.parent)
    except OSError as reason:
        reason.filename = reason.filename or str(path)
        raise


@contextmanager
def path_as_text(path: Path) -> Iterator[str]:
    """A path to read from, for libraries that take no other names than text; names may be any bytes.

    A name that is no text stands for an open file then, as /dev/fd/3.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            yield f"/dev/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        yield str(path)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, part: memoryview) -> None:
    """A write may take less than it was given: on a disk that fills up, for one."""
    while part:
        part = part[os.write(descriptor, part) :]


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, that becomes `path` when the block ends well and vanishes when it does not."""
    with _sibling(path) as folder:
        partial = folder / path.name
        partial.mkdir()
        yield partial
        if path.exists():
            # Two renames, so that there is no moment with half of either.
            os.replace(path, folder / REPLACED)
        os.replace(partial, path)
        sync_folder(path.parent)


@contextmanager
def refusing_to_write(place: Path, advice: str) -> Iterator[None]:
    """What the system says of writing to a place, as an InputError."""
    try:
        yield
    except OSError as reason:
        raise InputError(f"cannot write to {place} ({reason.strerror or reason}); {advice}") from None


@contextmanager
def _sibling(path: Path) -> Iterator[Path]:
    """A folder beside a path, on the same disk. A disk that is full is an InputError that names the path."""
    if not path.name:
        raise InputError(f"expected an output with a name, got {path}; {ELSEWHERE}")
    with ExitStack() as until_done:
        with refusing_to_write(path.parent, ELSEWHERE), _naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftover_folders(path.parent)
            folder = until_done.enter_context(temporary_folder(path.parent))
        with _naming(path):
            yield folder


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors of a full disk say which output was written: a file that was open already has no name."""
    try:
        yield
    except OSError as reason:
        full = reason.errno in NO_ROOM
        if full or reason.filename is None:
            advice = ROOM if full else ELSEWHERE
            said = os.strerror(reason.errno) if full and reason.errno else reason.strerror or reason
            raise InputError(f"cannot write to {path} ({said}); {advice}") from None
        raise
