"""Folders of splits: which of the folders below a place is read."""

import os
from dataclasses import dataclass
from pathlib import Path

from maxsup_analysis.datasets.decoding import IMAGE_ENDINGS
from maxsup_analysis.datasets.splits import (
    chosen_split,
    meaning_of,
    only_split,
    require_unlike,
    split_in,
    splits_among,
)
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.progress import say

# Folders with nothing but one folder in them, around the data.
MOST_WRAPPINGS = 4


@dataclass(frozen=True)
class Entries:
    """Names in a folder: folders, hidden folders and those of macOS's archives, files that are not hidden."""

    folders: tuple[str, ...]
    hidden: tuple[str, ...]
    files: tuple[str, ...]


def folders_in(place: Path) -> Entries:
    """What lies in a folder; a link to a folder is one."""
    found: tuple[list[str], list[str], list[str]] = ([], [], [])
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                hidden = entry.name.startswith(".") or entry.name == "__MACOSX"
                if is_folder(entry):
                    found[hidden].append(entry.name)
                elif not hidden:
                    found[2].append(entry.name)
    except OSError as reason:
        shown = clean_label(str(place), 400)
        raise InputError(f"cannot list {shown} ({reason.strerror}); check --data") from None
    folders, hidden, files = (tuple(sorted(names)) for names in found)
    return Entries(folders, hidden, files)


def is_folder(entry: os.DirEntry) -> bool:
    """Whether this is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # A link that leads to itself.
        return False


def split_folder(root: Path, asked: str | None) -> tuple[Path, str]:
    """The folder that has the classes of a split, and what the split is called.

    Splits and classes are looked for in the folder, and in the one folder that it holds where it holds nothing else.
    """
    place = root
    for _ in range(MOST_WRAPPINGS):
        folders = folders_in(place).folders
        if present := splits_in(place, folders, asked):
            if place != root:
                say(f"note: the splits are in {clean_label(str(place), 400)}")
            name = chosen_split(asked, present, str(place))
            return place / name, clean_label(name)
        if len(folders) != 1:
            require_unlike(_inner(place, folders), asked, clean_label(str(place), 400))
            break
        place = place / folders[0]
    named = root.resolve().name
    if place != root and len(folders_in(place).folders) > 1 and holds_folders(place):
        say(f"note: the classes are in {clean_label(str(place), 400)}")
        root = place
    return root, only_split(asked, named if meaning_of(named) else None, str(root))


def _inner(place: Path, folders: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The folders in each folder; of the first alone where that holds images, as those of classes do."""
    found: dict[str, tuple[str, ...]] = {}
    for name in folders:
        found[name] = folders_in(place / name).folders if holds_folders(place / name) else ()
        if not found[name]:
            break
    return found


def splits_in(place: Path, folders: tuple[str, ...], asked: str | None) -> tuple[str, ...]:
    """Those of the folders of a place that are splits."""
    found = splits_among({name: bool(split_in(name)) and holds_folders(place / name) for name in folders})
    exact = asked in folders and asked not in found and (bool(found) or holds_folders(place / str(asked)))
    return (*found, str(asked)) if exact else found


def holds_folders(place: Path) -> bool:
    """Whether there are folders in a folder, and no images beside them."""
    entries = folders_in(place)
    return bool(entries.folders) and not any(name.lower().endswith(IMAGE_ENDINGS) for name in entries.files)
