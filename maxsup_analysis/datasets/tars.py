"""WebDataset's tar files: members with one key are one sample, `xyz.jpg` with `xyz.cls` or `xyz.json`."""

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import groupby, product
from pathlib import Path
from re import fullmatch, split

import numpy as np
from PIL import Image

from maxsup_analysis.datasets.classes import class_labels, class_names, names_beside
from maxsup_analysis.datasets.decoding import IMAGE_ENDINGS
from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.pieces import image_in, piece_of
from maxsup_analysis.datasets.splits import usual_split
from maxsup_analysis.datasets.stamps import file_stamps
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True)
class Member:
    """A file in a tar."""

    name: str
    start: int
    size: int

    @property
    def key(self) -> str:
        """The name up to the first dot of its last part."""
        folder, _, name = self.name.rpartition("/")
        return f"{folder}/{name.partition('.')[0]}"

    @property
    def ending(self) -> str:
        """What follows the key."""
        return self.name.rpartition("/")[2].partition(".")[2].lower()


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
    return Path(name).is_dir() and _holds_tars(Path(name))


def tar_samples(name: str, split: str | None, data_dir: Path | None = None) -> ImageSamples:
    """The samples of the tars that a name stands for, in the order of the names of the tars.

    InputError where there are none, where one is compressed or damaged, or where an image has no label.
    """
    tars = _tars_of(name)
    found = [(number, image, label) for number, tar in enumerate(tars) for image, label in _samples_of(tar)]
    if not found:
        raise InputError(f"expected images (KEY.jpg with KEY.cls) in {tars[0]}, found none; check --data")
    labels = class_labels([label for _, _, label in found], name)
    images = TarImages(
        tars,
        np.array([number for number, _, _ in found]),
        tuple(image.name for _, image, _ in found),
        np.array([image.start for _, image, _ in found]),
        np.array([image.size for _, image, _ in found]),
    )
    names = class_names(labels, names_beside(tars[0].parent), str(tars[0].parent))
    title = tars[0].stem if len(tars) == 1 else tars[0].resolve().parent.name
    return ImageSamples(title, usual_split(split) or "all", images, labels, names)


def expanded(pattern: str) -> list[str]:
    """What a pattern with {000..010} and {a,b} stands for.

    Example:
        >>> expanded("val-{08..10}.tar")
        ['val-08.tar', 'val-09.tar', 'val-10.tar']
    """
    parts = split(r"\{([^{}]*)\}", pattern)
    choices = [_choices(part) if number % 2 else [part] for number, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*choices)]


def _choices(inside: str) -> list[str]:
    ends = fullmatch(r"(\d+)\.\.(\d+)", inside)
    if not ends:
        return inside.split(",") if "," in inside else ["{" + inside + "}"]
    first, last = ends.groups()
    return [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]


def _holds_tars(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
    return any(entry.name.endswith(".tar") for entry in shown) and not any(entry.is_dir() for entry in shown)


def _tars_of(name: str) -> tuple[Path, ...]:
    if Path(name).is_dir():
        return tuple(sorted(Path(name).glob("*.tar")))
    patterns = [name] if Path(name).is_file() else expanded(name)
    paths = [path for one in patterns for path in (sorted(glob(one)) if has_magic(one) else [one])]
    missing = [path for path in paths if not Path(path).is_file()]
    if missing or not paths:
        raise InputError(
            f"expected a tar file at {(missing or [name])[0]}, found nothing there; check --data"
        )
    return tuple(Path(path) for path in paths)


def _samples_of(tar: Path) -> Iterator[tuple[Member, int]]:
    """Images and labels of a tar; members of one key stand together."""
    for key, members in groupby(_members(tar), lambda member: member.key):
        files = {member.ending: member for member in members}
        image = next((files[ending] for ending in files if f".{ending}".endswith(IMAGE_ENDINGS)), None)
        if image is not None:
            yield image, _label(tar, key, files)


def _members(tar: Path) -> Iterator[Member]:
    if tar.name.lower().endswith(COMPRESSED):
        raise InputError(
            f"{tar} is compressed, and its images cannot be read by their place; decompress it first"
        )
    try:
        with tarfile.open(tar, "r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # Otherwise it keeps all of them.
                if member.isreg() and not member.issparse():
                    yield Member(member.name, member.offset_data, member.size)
    except (OSError, tarfile.TarError) as reason:
        raise InputError(
            f"{tar} is not a whole tar file without compression ({reason}); fetch it again"
        ) from None


def _label(tar: Path, key: str, files: dict[str, Member]) -> int:
    shown = clean_label(key.strip("/"), 200)
    try:
        if "cls" in files:
            return int(piece_of(tar, files["cls"].start, files["cls"].size))
        if "json" in files:
            return int(json.loads(piece_of(tar, files["json"].start, files["json"].size))["label"])
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"expected a whole number as the label of {shown} in {tar}; number the classes"
        ) from None
    raise InputError(
        f"the image {shown} in {tar} has no label; expected {shown}.cls or {shown}.json with a label"
    )
