"""A folder with a folder of images for each class, read when they are asked for."""

import hashlib
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Preprocessing
from maxsup_analysis.samples import ImageBatch

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
SPLIT_FOLDERS = {"train": ("train", "training"), "test": ("val", "test", "validation", "valid")}


@dataclass(frozen=True)
class ImageFolder:
    """Images in a folder for each class, in the order of their names, read when they are asked for.

    paths: relative to the root.
    """

    root: Path
    name: str
    split: str
    paths: tuple[str, ...]
    labels: Int64[Tensor, " N"]
    class_names: tuple[str, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Digest of names, sizes and labels of the files."""
        digest = hashlib.sha256()
        for path, label in zip(self.paths, self.labels.tolist(), strict=True):
            digest.update(
                f"{path}\0{(self.root / path).stat().st_size}\0{label}\n".encode("utf-8", "replace")
            )
        return digest.hexdigest()

    def with_classes(self, class_names: tuple[str, ...], order: Sequence[int]) -> "ImageFolder":
        """The same samples, class k called order[k] and named anew."""
        return replace(self, labels=torch.tensor(order)[self.labels], class_names=class_names)

    def batches(self, preprocessing: Preprocessing, batch_size: int, workers: int) -> Iterator[ImageBatch]:
        """All of them in order, decoded by workers; an image that cannot be read is an InputError that names it."""
        rows = _Decoded(self.root, self.paths, preprocessing.transform)
        loader = torch.utils.data.DataLoader(
            rows, batch_size=batch_size, num_workers=workers, worker_init_fn=_leave_signals_to_the_parent
        )
        place = 0
        try:
            for images in loader:
                ids = torch.arange(place, place + len(images))
                yield ImageBatch(ids, self.labels[ids], images)
                place += len(images)
        except InputError as refusal:
            # What a worker raises comes with its traceback; the sentence is the last line.
            sentence = str(refusal).strip().splitlines()[-1]
            raise InputError(sentence.removeprefix("maxsup_analysis.errors.InputError: ")) from None


def _leave_signals_to_the_parent(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Decoded(torch.utils.data.Dataset):
    """One prepared image at a time."""

    def __init__(self, root: Path, paths: tuple[str, ...], transform: Callable) -> None:
        self.root, self.paths, self.transform = root, paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> Tensor:
        from PIL import Image, ImageOps

        path = self.root / self.paths[number]
        try:
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                return self.transform(ImageOps.exif_transpose(image).convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as reason:
            raise InputError(f"{path} cannot be read as an image ({reason}); mend or remove it") from None


def image_folder(root: Path, split: str | None) -> ImageFolder:
    """A folder with a folder of images for each class; of one with train and val in it, the split named.

    Raises InputError where classes are missing or empty, or the split is ambiguous.
    """
    folder, split = _split_folder(root, split)
    classes = sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    if not classes:
        raise InputError(f"expected a folder of images for each class in {folder}, found none; check --data")
    paths, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(
            path.relative_to(folder).as_posix()
            for path in (folder / name).rglob("*")
            if path.suffix.lower() in IMAGE_ENDINGS and path.is_file()
        )
        if not found:
            raise InputError(f"the class folder {folder / name} has no images ({', '.join(IMAGE_ENDINGS)})")
        paths += found
        labels += [label] * len(found)
    return ImageFolder(folder, root.name, split, tuple(paths), torch.tensor(labels), tuple(classes))


def _split_folder(root: Path, split: str | None) -> tuple[Path, str]:
    present = {
        name: root / folder
        for name, folders in SPLIT_FOLDERS.items()
        for folder in reversed(folders)
        if (root / folder).is_dir()
    }
    wanted = next((name for name, folders in SPLIT_FOLDERS.items() if split in (name, *folders)), split)
    if wanted in present:
        return present[wanted], str(wanted)
    others = [entry for entry in root.iterdir() if entry.is_dir() and entry not in present.values()]
    if present and not others:
        if "test" in present and split is None:
            return present["test"], "test"
        raise InputError(f"{root} has the splits {', '.join(present)}; name one of them with --split")
    return root, str(wanted or "all")
