"""Outputs are whole or absent: written beside their place under another name, then renamed."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maxsup_analysis.errors import InputError


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
        os.replace(partial, path)


TEMPORARY = ".tmp"


def write_durably(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file that is on the disk, whole and under its name, once this returns; else it is not there at all.

    A crash at any moment leaves at most a file that ends in TEMPORARY. Raises OSError where the disk is full or fails.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            for part in parts:
                _write_all(descriptor, memoryview(part))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(partial, path)
        sync_folder(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
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
            os.replace(path, folder / "replaced")
        os.replace(partial, path)


@contextmanager
def refusing_to_write(place: Path, advice: str) -> Iterator[None]:
    """What the system says of writing to a place, as an InputError."""
    try:
        yield
    except OSError as reason:
        raise InputError(f"cannot write to {place} ({reason.strerror or reason}); {advice}") from None


@contextmanager
def _sibling(path: Path) -> Iterator[Path]:
    with refusing_to_write(path.parent, "choose another output with -o"):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
