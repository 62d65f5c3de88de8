"""Outputs are whole or absent: written beside their place under another name, then renamed."""

import os
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
def _sibling(path: Path) -> Iterator[Path]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=path.parent))
    except OSError as reason:
        raise InputError(
            f"cannot write to {path.parent} ({reason.strerror}); choose another output with -o"
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
