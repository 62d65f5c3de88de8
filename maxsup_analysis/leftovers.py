"""Temporary files and folders, and what killed writers left of them: a lock tells which are in use."""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and nothing is taken for a leftover.
    fcntl = None

TEMPORARY = ".tmp"
FILE = re.compile(r"\.[0-9a-f]{8}\.tmp")
FOLDER = re.compile(r"\.partial-maxsup-[0-9a-f]{8}")
# What is replaced lies here, for a moment.
REPLACED = ".replaced"
# How often a name may be lost to another process that takes it for a leftover in the moment before it is locked.
TRIES = 100


def temporary_file(path: Path) -> tuple[Path, int]:
    """A new file beside `path`, open to write to; nobody takes it for a leftover until its descriptor is closed."""
    for _ in range(TRIES):
        place = path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        _lock(descriptor)
        if place.exists():
            return place, descriptor
        os.close(descriptor)
    raise FileNotFoundError(2, "temporary files vanish", str(path.parent))


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, that goes with the block; nobody takes it for a leftover meanwhile."""
    folder, descriptor = _locked_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder where the system keeps such, that goes with the block; those of killed processes go first."""
    parent = Path(tempfile.gettempdir())
    remove_leftover_folders(parent)
    with temporary_folder(parent) as folder:
        yield folder


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of a file left beside it."""
    for entry in _entries(path.parent):
        if entry.name.startswith(path.name) and FILE.fullmatch(entry.name[len(path.name) :]):
            _remove(entry, Path.unlink)


def remove_leftover_folders(parent: Path) -> None:
    """Remove the temporary folders of killed processes; a replacement that was half done is done."""
    for entry in _entries(parent):
        if FOLDER.fullmatch(entry.name):
            _remove(entry, _end_of_folder)


def sweep(folder: Path) -> None:
    """Remove all that killed writers left in a folder that is this program's own."""
    remove_leftover_folders(folder)
    for entry in _entries(folder):
        if FILE.search(entry.name[-len(".01234567.tmp") :]):
            _remove(entry, Path.unlink)


def _end_of_folder(folder: Path) -> None:
    """What was there before lies aside while its successor takes its place: then the successor is whole."""
    for entry in _entries(folder) if (folder / REPLACED).exists() else ():
        place = folder.parent / entry.name
        if entry.name != REPLACED and not os.path.lexists(place):
            os.rename(entry, place)
    shutil.rmtree(folder)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _locked_folder(parent: Path) -> tuple[Path, int | None]:
    for _ in range(TRIES):
        folder = parent / f".partial-maxsup-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        if fcntl is None:
            return folder, None
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            _lock(descriptor)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)
    raise FileNotFoundError(2, "temporary folders vanish", str(parent))


def _lock(descriptor: int) -> None:
    # Some file systems have no locks.
    with suppress(OSError):
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def _remove(entry: Path, remove: Callable[[Path], object]) -> None:
    """Remove what nobody holds; a link is no file of ours."""
    if fcntl is None or entry.is_symlink():
        return
    with suppress(OSError):
        descriptor = os.open(entry, os.O_RDONLY | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(entry)
        finally:
            os.close(descriptor)
