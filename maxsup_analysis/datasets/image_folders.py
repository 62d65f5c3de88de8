"""A folder with a folder of images for each class."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from maxsup_analysis.datasets.decoding import IMAGE_ENDINGS, opened
from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.splits import SPLIT_NAMES, usual_split
from maxsup_analysis.datasets.stamps import file_stamp, size_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label


@dataclass(frozen=True)
class ImageFiles:
    """Files below a folder; paths are relative to it."""

    root: Path
    paths: tuple[str, ...]

    def image(self, number: int) -> Image.Image:
        """The image in a file."""
        return opened(self._file(number))

    def called(self, number: int) -> str:
        """Its path in the folder."""
        return self.paths[number]

    def entries(self) -> Iterator[str]:
        """Path and size of each file."""
        return (f"{path}\0{size_of(self._file(number))}" for number, path in enumerate(self.paths))

    def stamps(self, *, hash_contents: bool) -> Iterator[str]:
        """Time of change of each file, or its SHA-256."""
        return (
            file_stamp(self._file(number), hash_contents=hash_contents) for number in range(len(self.paths))
        )

    def _file(self, number: int) -> str:
        return os.path.join(self.root, self.paths[number])


def image_folder(root: Path, split: str | None) -> ImageSamples:
    """A folder with a folder of images for each class; of one with train and val in it, the split named.

    Raises InputError where classes are missing or empty, or the split is ambiguous.
    """
    folder, split = _split_folder(root, split)
    classes = sorted(entry.name for entry in _folders(folder) if not entry.name.startswith("."))
    if not classes:
        raise InputError(f"expected a folder of images for each class in {folder}, found none; check --data")
    paths, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(_images_below(os.path.join(folder, name), name))
        if not found:
            raise InputError(
                f"the class folder {clean_label(str(folder / name), 400)} has no images ({', '.join(IMAGE_ENDINGS)})"
            )
        paths += found
        labels += [label] * len(found)
    name = root.name or root.resolve().name
    return ImageSamples(name, split, ImageFiles(folder, tuple(paths)), torch.tensor(labels), tuple(classes))


def _images_below(folder: str, name: str) -> Iterator[str]:
    """Paths of the images in a class folder and the folders in it, each beginning with the name of the class.

    Links are followed, but none to a folder that leads to the link, and no folder is entered twice.
    """
    start = os.path.realpath(folder)
    return _walk(folder, name, (start,), {start})


def _walk(folder: str, name: str, above: tuple[str, ...], entered: set[str]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = f"{name}/{entry.name}"
        if _is_folder(entry):
            real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
            if real not in entered and not any(_is_within(place, real) for place in above):
                entered.add(real)
                yield from _walk(entry.path, path, (*above, real), entered)
        elif entry.name.lower().endswith(IMAGE_ENDINGS):
            yield path


def _is_within(place: str, folder: str) -> bool:
    return place.startswith(folder.rstrip(os.sep) + os.sep)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link that leads to itself.
        return False


def _folders(folder: Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if _is_folder(entry)]


def _split_folder(root: Path, split: str | None) -> tuple[Path, str]:
    present = {
        name: root / folder
        for name, folders in SPLIT_NAMES.items()
        for folder in reversed(folders)
        if (root / folder).is_dir()
    }
    wanted = usual_split(split)
    if wanted in present:
        return present[wanted], str(wanted)
    others = [entry for entry in _folders(root) if root / entry.name not in present.values()]
    if present and not others:
        if "test" in present and split is None:
            return present["test"], "test"
        raise InputError(f"{root} has the splits {', '.join(present)}; name one of them with --split")
    return root, str(wanted or "all")
