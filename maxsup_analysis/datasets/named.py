"""Data sets that are known by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from maxsup_analysis.datasets.cifar import CACHE, CIFAR10_CLASSES, CIFAR100_CLASSES, cifar10, cifar100
from maxsup_analysis.datasets.classes import class_labels
from maxsup_analysis.datasets.idx import read_idx
from maxsup_analysis.datasets.in_memory import LabelledImages
from maxsup_analysis.datasets.splits import chosen_split
from maxsup_analysis.errors import InputError
from maxsup_analysis.table import Table

SPLITS = ("train", "test")
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
DIGITS_TRAINING = 1197


@dataclass(frozen=True)
class DataSource:
    """A named data set: how to open one of its splits, from a folder where it needs one.

    open: gives grey images N x H x W of values from 0 to 1, or bytes N x C x H x W; and their labels.
    """

    name: str
    summary: str
    classes: tuple[str, ...]
    open: Callable[[str, Path | None], tuple[np.ndarray, np.ndarray]]


DATASETS: Table[DataSource] = Table("data set")


def open_named_data(name: str, split: str | None, data_dir: Path | None) -> LabelledImages:
    """A split of a data set by name, by any name of the split; it has to be said."""
    source = DATASETS[name]
    return load(name, chosen_split(split, SPLITS, source.name), data_dir)


def load(name: str, split: str, data_dir: Path | None = None) -> LabelledImages:
    """A split of a data set; raises InputError where there is none of that name or its files are missing."""
    source = DATASETS[name]
    if split not in SPLITS:
        raise InputError(f"expected a split of {name}: {' or '.join(SPLITS)}, got {split!r}")
    images, labels = source.open(split, data_dir)
    return LabelledImages(
        name=name,
        split=split,
        images=_tensor(images),
        labels=class_labels(labels, name),
        class_names=source.classes,
    )


def _tensor(images: np.ndarray) -> Float32[Tensor, "N 1 H W"] | UInt8[Tensor, "N C H W"]:
    if images.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(images))
    return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]


def _digits(split: str, data_dir: Path | None) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    images, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    part = slice(None, DIGITS_TRAINING) if split == "train" else slice(DIGITS_TRAINING, None)
    return images.reshape(-1, 8, 8)[part] / 16, labels[part]


def _fashion_mnist(split: str, data_dir: Path | None) -> tuple[np.ndarray, np.ndarray]:
    folder = data_dir or (
        DEBIAN_FASHION_MNIST if DEBIAN_FASHION_MNIST.is_dir() else _downloaded_fashion_mnist()
    )
    prefix = "train" if split == "train" else "t10k"
    images = read_idx(_idx_file(folder, f"{prefix}-images-idx3-ubyte"), dimensions=3)
    labels = read_idx(_idx_file(folder, f"{prefix}-labels-idx1-ubyte"), dimensions=1)
    if len(images) != len(labels):
        raise InputError(
            f"expected as many labels as images in {folder}, got {len(labels)} and {len(images)}"
        )
    return images / np.float32(255), labels


def _idx_file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(
        f"expected {name} or {name}.gz in {folder}; name the folder that has them with --data-dir"
    )


def _downloaded_fashion_mnist() -> Path:
    """The folder where torchvision keeps its download, which it makes if need be."""
    from torchvision.datasets import FashionMNIST

    try:
        return Path(FashionMNIST(str(CACHE), download=True).raw_folder)
    except (OSError, RuntimeError) as reason:
        raise InputError(
            f"Fashion-MNIST is neither on this machine nor could it be downloaded ({str(reason)[:80]}); name "
            "the folder of its four IDX files with --data-dir, or install Debian's dataset-fashion-mnist"
        ) from None


DATASETS.add(
    "digits",
    DataSource(
        "digits",
        "1,797 handwritten digits of 8 x 8 pixels, in scikit-learn: the first 1,197 train, the last 600 test",
        tuple(str(digit) for digit in range(10)),
        _digits,
    ),
)
DATASETS.add(
    "fashion-mnist",
    DataSource(
        "fashion-mnist",
        "70,000 images of clothes of 28 x 28 pixels: 60,000 train, 10,000 test, from the original IDX files",
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        _fashion_mnist,
    ),
)
DATASETS.add(
    "cifar10",
    DataSource(
        "cifar10",
        "60,000 photographs of 32 x 32 pixels of 10 kinds of things: 50,000 train, 10,000 test",
        CIFAR10_CLASSES,
        cifar10,
    ),
)
DATASETS.add(
    "cifar100",
    DataSource(
        "cifar100",
        "60,000 photographs of 32 x 32 pixels of 100 kinds of things: 50,000 train, 10,000 test",
        CIFAR100_CLASSES,
        cifar100,
    ),
)
