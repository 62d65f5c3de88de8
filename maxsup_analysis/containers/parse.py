"""From a path to its contents, in this process; `read` does the same in a child with limits."""

from dataclasses import replace
from pathlib import Path

from maxsup_analysis.containers.contents import Contents
from maxsup_analysis.containers.folders import read_folder, read_sidecars
from maxsup_analysis.containers.single import read_file
from maxsup_analysis.errors import InputError


def parse(path: Path) -> Contents:
    """The contents of a file or folder; raises InputError without its name, and nothing else."""
    try:
        return _parsed(path)
    except OSError as reason:
        raise InputError(f"it cannot be read ({reason.strerror or reason})") from None


def _parsed(path: Path) -> Contents:
    if path.is_dir():
        return read_folder(path)
    if not path.exists():
        raise InputError("there is no such file; check the path")
    contents = read_file(path)
    return replace(contents, sidecars={**contents.sidecars, **read_sidecars(path.parent)})
