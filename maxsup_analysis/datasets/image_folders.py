"""A folder with a folder of images for each class."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from maxsup_analysis.datasets.decoding import IMAGE_ENDINGS, begins_as_an_image, opened
from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.left_out import LeftOut
from maxsup_analysis.datasets.split_folders import folders_in, is_folder, split_folder
from maxsup_analysis.datasets.splits import require_one_class
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

    Classes are in the order of their names as text. What is left out is counted on stderr.

    Raises InputError where classes are missing or empty, hold splits, or the split is ambiguous.
    """
    folder, split = split_folder(root, split)
    found, left_out = folders_in(folder), LeftOut(str(folder))
    for entry in found.hidden:
        left_out.add(f"{entry}/")
    for entry in found.files:
        left_out.add(entry)
    classes = sorted(found.folders)
    if not classes:
        raise InputError(f"expected a folder of images for each class in {folder}, found none; check --data")
    paths, labels = [], []
    for label, name in enumerate(classes):
        mine = sorted(_images_below(os.path.join(folder, name), name, left_out))
        _require_one_class(mine, clean_label(str(folder / name), 400))
        paths += mine
        labels += [label] * len(mine)
    left_out.say()
    name = root.name or root.resolve().name
    return ImageSamples(
        name,
        split,
        ImageFiles(folder, tuple(paths)),
        torch.tensor(labels),
        tuple(classes),
        sorted_classes=True,
    )


def _require_one_class(paths: list[str], place: str) -> None:
    if not paths:
        raise InputError(f"the class folder {place} has no images ({', '.join(IMAGE_ENDINGS)})")
    require_one_class({path.split("/")[1] for path in paths if path.count("/") > 1}, place)


def _images_below(folder: str, name: str, left_out: LeftOut) -> Iterator[str]:
    """Paths of the images in a class folder and the folders in it, each beginning with the name of the class.

    Links are followed, but none to a folder that leads to the link, and no folder is entered twice.
    """
    start = os.path.realpath(folder)
    return _walk(folder, name, (start,), {start}, left_out)


def _walk(
    folder: str, name: str, above: tuple[str, ...], entered: set[str], left_out: LeftOut
) -> Iterator[str]:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = f"{name}/{entry.name}"
        if is_folder(entry):
            real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
            if real not in entered and not any(_is_within(place, real) for place in above):
                entered.add(real)
                yield from _walk(entry.path, path, (*above, real), entered, left_out)
        elif _is_image(entry):
            yield path
        else:
            left_out.add(path)


def _is_image(entry: os.DirEntry) -> bool:
    """By its ending; without one by how it begins."""
    if entry.name.lower().endswith(IMAGE_ENDINGS):
        return True
    return "." not in entry.name and begins_as_an_image(entry.path)


def _is_within(place: str, folder: str) -> bool:
    return place.startswith(folder.rstrip(os.sep) + os.sep)
