"""WebDataset's tar files: which are read, and the samples in them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import islice, product
from pathlib import Path

import numpy as np
from PIL import Image

from maxsup_analysis.datasets.classes import class_labels, class_names, names_beside
from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.left_out import LeftOut
from maxsup_analysis.datasets.pieces import image_in, piece_of
from maxsup_analysis.datasets.split_folders import folders_in, split_folder
from maxsup_analysis.datasets.split_paths import split_of_paths
from maxsup_analysis.datasets.splits import chosen_split, meaning_of, only_split, split_in
from maxsup_analysis.datasets.stamps import file_stamps
from maxsup_analysis.datasets.tar_members import COMPRESSED, samples_of
from maxsup_analysis.errors import InputError

# Names that a pattern with {000..010} may stand for.
MOST_NAMES = 100_000


@dataclass(frozen=True)
class TarImages:
    """Images in tars: for each the number of its tar, its name there, and where it starts and how long it is."""

    tars: tuple[Path, ...]
    tar: np.ndarray
    names: tuple[str, ...]
    start: np.ndarray
    size: np.ndarray

    def image(self, number: int) -> Image.Image:
        """One image, read from its place."""
        tar = self.tars[self.tar[number]]
        return image_in(piece_of(tar, int(self.start[number]), int(self.size[number])))

    def called(self, number: int) -> str:
        """The name of its tar and its name there."""
        return f"{self.tars[self.tar[number]].name}/{self.names[number]}"

    def entries(self) -> Iterator[str]:
        """Name and size of each image."""
        return (f"{self.called(number)}\0{size}" for number, size in enumerate(self.size))

    def stamps(self, *, hash_contents: bool) -> Iterator[str]:
        """Size and time of change of each tar, or its SHA-256."""
        return file_stamps(self.tars, self.tars[0].parent, hash_contents=hash_contents)


def names_tars(name: str) -> bool:
    """Whether this is a tar, a pattern of tars, or a folder that holds nothing but tars."""
    if name.lower().endswith((".tar", *COMPRESSED)):
        return True
    return Path(name).is_dir() and (_holds_tars(Path(name)) or _holds_splits_of_tars(Path(name)))


def tar_samples(name: str, split: str | None, data_dir: Path | None = None) -> ImageSamples:
    """The samples of the tars that a name stands for, in the order of the names of the tars.

    InputError where there are none, where one is compressed or damaged, or where an image has no label.
    """
    tars, title = _tars_of_split(name, split)
    left_out = LeftOut(name, "no images with a label")
    found = [(number, one) for number, tar in enumerate(tars) for one in samples_of(tar, left_out)]
    if not found:
        raise InputError(f"expected images (KEY.jpg with KEY.cls) in {tars[0]}, found none; check --data")
    if title is None:
        inside = split_of_paths([one.image.name for _, one in found], split, name)
        title, kept = inside.name, set(inside.numbers)
        found = [pair for number, pair in enumerate(found) if number in kept]
    left_out.say()
    labels = class_labels([one.label for _, one in found], name)
    images = TarImages(
        tars,
        np.array([number for number, _ in found]),
        tuple(one.image.name for _, one in found),
        np.array([one.image.start for _, one in found]),
        np.array([one.image.size for _, one in found]),
    )
    names = class_names(labels, names_beside(tars[0].parent), str(tars[0].parent))
    called = tars[0].stem if len(tars) == 1 else tars[0].resolve().parent.name
    return ImageSamples(called, title, images, labels, names)


def _tars_of_split(name: str, split: str | None) -> tuple[tuple[Path, ...], str | None]:
    """The tars to read, and the split that their names or folders state; None where they state none."""
    root = Path(name)
    if root.is_dir() and not _holds_tars(root):
        place, split = split_folder(root, split)
        return _tars_of(str(place)), split
    tars = _tars_of(name)
    stated = {tar: split_in(tar.stem) for tar in tars}
    present = dict.fromkeys(one for one in stated.values() if one)
    if not present:
        return tars, None
    if len(present) == 1 and all(stated.values()):
        return tars, only_split(split, next(iter(present)), name)
    chosen = chosen_split(split, present, name)
    return tuple(tar for tar in tars if stated[tar] == chosen), chosen


def expanded(pattern: str) -> list[str]:
    """What a pattern with {000..010} and {a,b} stands for.

    Example:
        >>> expanded("val-{08..10}.tar")
        ['val-08.tar', 'val-09.tar', 'val-10.tar']
    """
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [_choices(part) if number % 2 else [part] for number, part in enumerate(parts)]
    names = ["".join(chosen) for chosen in islice(product(*choices), MOST_NAMES + 1)]
    if len(names) > MOST_NAMES:
        raise InputError(f"{pattern} stands for more than {MOST_NAMES:,} names; name fewer tars")
    return names


def _choices(inside: str) -> list[str]:
    ends = re.fullmatch(r"([0-9]{1,18})\.\.([0-9]{1,18})", inside)
    if not ends:
        return inside.split(",") if "," in inside else ["{" + inside + "}"]
    first, last = ends.groups()
    if int(last) - int(first) >= MOST_NAMES:
        raise InputError(f"{{{inside}}} stands for more than {MOST_NAMES:,} names; name fewer tars")
    return [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]


def _holds_tars(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
    return any(entry.name.endswith(".tar") for entry in shown) and not any(entry.is_dir() for entry in shown)


def _holds_splits_of_tars(root: Path) -> bool:
    folders = folders_in(root).folders
    return any(meaning_of(name) and _holds_tars(root / name) for name in folders)


def _tars_of(name: str) -> tuple[Path, ...]:
    paths = _paths_of(name)
    # Not a pipe either, whose reader would wait for ever.
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        raise InputError(
            f"expected a tar file at {(missing or [name])[0]}, found no file there; check --data"
        )
    return paths


def _paths_of(name: str) -> tuple[Path, ...]:
    """What a folder, a file or a pattern stands for."""
    if Path(name).is_dir():
        return tuple(sorted(Path(name).glob("*.tar")))
    patterns = [name] if Path(name).is_file() else expanded(name)
    return tuple(Path(path) for one in patterns for path in (sorted(glob(one)) if has_magic(one) else [one]))
