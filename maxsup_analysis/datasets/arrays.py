"""Images and labels in arrays: `.npz`, `.npy` and IDX files."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from maxsup_analysis.datasets.classes import class_labels, class_names, names_beside
from maxsup_analysis.datasets.idx import read_idx
from maxsup_analysis.datasets.in_memory import LabelledImages
from maxsup_analysis.datasets.numpy_files import labelled_arrays, mapped_array
from maxsup_analysis.datasets.splits import chosen_split, only_split, split_in
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
    if path.suffix not in (".npz", ".npy"):
        return _idx_samples(path, split)
    title = only_split(split, split_in(path.stem), name)
    if path.suffix == ".npz":
        images, labels = labelled_arrays(path)
        return _samples(path, title, images, labels)
    labels = mapped_array(_labels_beside(path))
    return _samples(path, title, mapped_array(path), labels)


def _samples(path: Path, split: str, pixels: np.ndarray, values: object) -> LabelledImages:
    labels, images = class_labels(values, str(path)), _images(pixels, path)
    if len(images) != len(labels):
        raise InputError(
            f"expected as many labels as images in {path}, got {len(labels)} and {len(images)}; check the files"
        )
    names = class_names(labels, names_beside(path.parent), str(path.parent))
    return LabelledImages(path.name.partition(".")[0], split, images, labels, names)


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


def _labels_beside(path: Path) -> Path:
    names = (f"{path.stem}_labels.npy", f"{path.stem}-labels.npy", "labels.npy")
    for name in names:
        if path.with_name(name).is_file():
            return path.with_name(name)
    raise InputError(f"expected the labels of {path} beside it, as {', '.join(names)}; found none of them")


def _idx_samples(path: Path, split: str | None) -> LabelledImages:
    images, title = _idx_of_split(path, split)
    found = IDX_IMAGES.fullmatch(images.name)
    assert found is not None
    stem = f"{found['stem']}labels{found['dot']}idx1-ubyte"
    labels = next((file for name in (stem, f"{stem}.gz") if (file := images.with_name(name)).is_file()), None)
    if labels is None:
        raise InputError(f"expected the labels of {images} beside it, as {stem} or {stem}.gz; found neither")
    pixels = read_idx(images, dimensions=3).copy()
    return _samples(images, title, pixels, read_idx(labels, dimensions=1))


def _idx_images(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if IDX_IMAGES.fullmatch(path.name))


def _idx_of_split(path: Path, asked: str | None) -> tuple[Path, str]:
    """The images of a split, and what it is called; of one file what its name says."""
    if path.is_file():
        return path, only_split(asked, _split_of(path), str(path))
    by_split: dict[str, Path] = {}
    for images in _idx_images(path):
        stated = _split_of(images) or images.name
        if stated in by_split:
            raise InputError(
                f"{path} has {by_split[stated].name} and {images.name}, both of the split {stated}; name one of them "
                "with --data"
            )
        by_split[stated] = images
    if len(by_split) == 1:
        (images,) = by_split.values()
        return images, only_split(asked, _split_of(images), str(path))
    name = chosen_split(asked, by_split, str(path))
    return by_split[name], name


def _split_of(images: Path) -> str | None:
    """MNIST's t10k is its test split."""
    return "test" if "t10k" in images.name else split_in(images.name)
