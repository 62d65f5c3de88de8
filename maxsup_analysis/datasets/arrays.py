"""Images and labels in arrays: `.npz`, `.npy` and IDX files."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from maxsup_analysis.datasets.classes import class_labels, class_names, names_beside
from maxsup_analysis.datasets.idx import read_idx
from maxsup_analysis.datasets.in_memory import LabelledImages
from maxsup_analysis.datasets.splits import usual_split
from maxsup_analysis.errors import InputError

IDX_IMAGES = re.compile(r"(?P<stem>.*)images(?P<dot>[-.])idx3-ubyte(\.gz)?")
CHANNELS = (1, 3)


def names_arrays(name: str) -> bool:
    """Whether this is a file of arrays, or a folder with images in an IDX file."""
    path = Path(name)
    if path.is_dir():
        return any(_idx_images(path))
    return path.is_file() and (path.suffix in (".npz", ".npy") or IDX_IMAGES.fullmatch(path.name) is not None)


def array_samples(name: str, split: str | None, data_dir: Path | None = None) -> LabelledImages:
    """The images and labels of a `.npz`, of a `.npy` and the labels beside it, or of a pair of IDX files."""
    path = Path(name)
    if path.suffix == ".npz":
        return _samples(path, split, *_in_npz(path))
    if path.suffix == ".npy":
        labels = _loaded(_labels_beside(path))
        return _samples(path, split, _loaded(path), labels)
    return _idx_samples(path, split)


def _samples(path: Path, split: str | None, pixels: np.ndarray, values: object) -> LabelledImages:
    labels, images = class_labels(values, str(path)), _images(pixels, path)
    if len(images) != len(labels):
        raise InputError(
            f"expected as many labels as images in {path}, got {len(labels)} and {len(images)}; check the files"
        )
    names = class_names(labels, names_beside(path.parent), str(path.parent))
    return LabelledImages(path.name.partition(".")[0], usual_split(split) or "all", images, labels, names)


def _images(pixels: np.ndarray, path: Path) -> UInt8[Tensor, "N C H W"] | Float32[Tensor, "N C H W"]:
    """Channels first; a memory map stays one where pixels are bytes or float32."""
    shape, known = pixels.shape, pixels.dtype == np.uint8 or pixels.dtype.kind == "f"
    if not known or not _has_images(shape):
        raise InputError(
            f"expected images N x H x W, N x H x W x C or N x C x H x W of bytes, or of values from 0 to 1, in {path}, "
            f"got {pixels.dtype} of shape {shape}; save them so"
        )
    images = torch.from_numpy(pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32, copy=False))
    if images.is_floating_point() and not 0 <= float(images.min()) <= float(images.max()) <= 1:
        raise InputError(
            f"expected values from 0 to 1 in {path}, got {float(images.min()):.3g} to {float(images.max()):.3g}; "
            "save images before they are normalised"
        )
    if len(shape) == 3:
        return images[:, None]
    return images.permute(0, 3, 1, 2) if shape[3] in CHANNELS else images


def _has_images(shape: tuple[int, ...]) -> bool:
    channelled = len(shape) == 4 and (shape[3] in CHANNELS or shape[1] in CHANNELS)
    return 0 not in shape and (len(shape) == 3 or channelled)


def _in_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if {"images", "labels"} <= set(arrays.files):
                return arrays["images"], arrays["labels"]
            held = ", ".join(arrays.files) or "nothing"
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as reason:
        raise _not_arrays(path, reason) from None
    raise InputError(f"expected the arrays images and labels in {path}, got {held}; save them by these names")


def _loaded(path: Path) -> np.ndarray:
    """A memory map that copies what is written to, so that torch takes it without a warning."""
    try:
        return np.load(path, allow_pickle=False, mmap_mode="c")
    except (OSError, ValueError, EOFError) as reason:
        raise _not_arrays(path, reason) from None


def _not_arrays(path: Path, reason: Exception) -> InputError:
    detail = " ".join(str(reason).split())[:120]
    return InputError(f"expected arrays of numbers in {path}, got something else ({detail}); save it again")


def _labels_beside(path: Path) -> Path:
    names = (f"{path.stem}_labels.npy", f"{path.stem}-labels.npy", "labels.npy")
    for name in names:
        if path.with_name(name).is_file():
            return path.with_name(name)
    raise InputError(f"expected the labels of {path} beside it, as {', '.join(names)}; found none of them")


def _idx_samples(path: Path, split: str | None) -> LabelledImages:
    images = _idx_of_split(path, split) if path.is_dir() else path
    found = IDX_IMAGES.fullmatch(images.name)
    assert found is not None
    stem = f"{found['stem']}labels{found['dot']}idx1-ubyte"
    labels = next((file for name in (stem, f"{stem}.gz") if (file := images.with_name(name)).is_file()), None)
    if labels is None:
        raise InputError(f"expected the labels of {images} beside it, as {stem} or {stem}.gz; found neither")
    pixels = read_idx(images, dimensions=3).copy()
    return _samples(images, split or _split_of(images), pixels, read_idx(labels, dimensions=1))


def _idx_images(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if IDX_IMAGES.fullmatch(path.name))


def _idx_of_split(folder: Path, split: str | None) -> Path:
    """The images of a split; those that there are, where there is one pair only."""
    by_split = {_split_of(path): path for path in _idx_images(folder)}
    wanted = usual_split(split) or (next(iter(by_split)) if len(by_split) == 1 else None)
    if wanted not in by_split:
        raise InputError(f"{folder} has the splits {', '.join(by_split)}; name one of them with --split")
    return by_split[str(wanted)]


def _split_of(images: Path) -> str:
    return "train" if "train" in images.name else "test"
