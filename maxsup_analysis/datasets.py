"""What `--data` may name: labelled images in a fixed order, so that an id always means the same image."""

import gzip
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Preprocessing
from maxsup_analysis.table import Table

SPLITS = ("train", "test")
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
DIGITS_TRAINING = 1197


@dataclass(frozen=True)
class ImageBatch:
    """B samples as a model sees them."""

    ids: Int64[Tensor, " B"]
    labels: Int64[Tensor, " B"]
    images: Float[Tensor, "B C H W"]


@dataclass(frozen=True)
class LabelledImages:
    """N images with values from 0 to 1, their labels, and the numbers that name them within their split."""

    name: str
    split: str
    images: Float32[Tensor, "N C H W"]
    labels: Int64[Tensor, " N"]
    ids: Int64[Tensor, " N"]
    class_names: tuple[str, ...]

    def first(self, count: int | None) -> "LabelledImages":
        """The first `count` images, or all."""
        if count is None:
            return self
        if not 1 <= count <= len(self.labels):
            raise InputError(
                f"expected 1 to {len(self.labels)} samples of {self.name} {self.split}, got {count}; "
                "ask for as many as there are"
            )
        return replace(self, images=self.images[:count], labels=self.labels[:count], ids=self.ids[:count])

    @property
    def fingerprint(self) -> str:
        """Digest of images and labels: the same only for the same samples in the same order."""
        digest = hashlib.sha256(self.images.numpy().tobytes())
        digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()

    def with_classes(self, class_names: tuple[str, ...], order: Sequence[int]) -> "LabelledImages":
        """The same samples, class k called order[k] and named anew."""
        return replace(self, labels=torch.tensor(order)[self.labels], class_names=class_names)

    def batches(self, preprocessing: Preprocessing, batch_size: int, workers: int) -> Iterator[ImageBatch]:
        """All of them in order, normalised; they have to have the size that the model sees."""
        if tuple(self.images.shape[1:]) != preprocessing.size:
            raise InputError(
                f"the model takes images of {_sized(preprocessing.size)} but those of {self.name} have "
                f"{_sized(self.images.shape[1:])}; pass --data for the data it was trained on"
            )
        for start in range(0, len(self.labels), batch_size):
            part = slice(start, start + batch_size)
            yield ImageBatch(self.ids[part], self.labels[part], preprocessing.normalised(self.images[part]))


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
        loader = torch.utils.data.DataLoader(rows, batch_size=batch_size, num_workers=workers)
        place = 0
        for images in loader:
            ids = torch.arange(place, place + len(images))
            yield ImageBatch(ids, self.labels[ids], images)
            place += len(images)


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


Samples = LabelledImages | ImageFolder
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
SPLIT_FOLDERS = {"train": ("train", "training"), "test": ("val", "test", "validation", "valid")}


def _sized(size: Sequence[int]) -> str:
    return " x ".join(str(length) for length in size)


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


def in_the_order_of(data: Samples, outputs: int, names: Sequence[str] | None, file: Path | None) -> Samples:
    """The data with their classes numbered as the model's outputs are.

    names: of the outputs, where the checkpoint gives them. file: what the user says of the order: one class name or
    one number a line (line k is output k), or lines that end in the output of a file, as in ImageNet's zip maps.
    Without either, the classes have to be as many as the outputs, or ImageNet's folder names for 1,000.
    """
    if file is not None:
        return _renumbered(data, outputs, _order_in(file, data, outputs), str(file))
    if names is not None and set(data.class_names) <= set(names):
        return _renumbered(data, outputs, {name: k for k, name in enumerate(names)}, "the checkpoint")
    if len(data.class_names) == outputs:
        return data
    if outputs == 1000 and all(re.fullmatch(r"n\d{8}", name) for name in data.class_names):
        synsets = imagenet_synsets()
        return _renumbered(data, outputs, {name: k for k, name in enumerate(synsets)}, "ImageNet")
    raise InputError(
        f"the checkpoint has {outputs} classes but {data.name} has {len(data.class_names)}; pass --data for the data "
        "it was trained on, or say which output each class is with --class-map FILE (a class name a line)"
    )


def imagenet_synsets() -> tuple[str, ...]:
    """ImageNet's 1,000 folder names in their usual order, that of the alphabet."""
    from timm.data.imagenet_info import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


def _renumbered(data: Samples, outputs: int, places: dict[str, int], source: str) -> Samples:
    missing = [name for name in data.class_names if name not in places]
    if missing:
        raise InputError(f"{source} does not say which output the class {missing[0]!r} is; add it")
    order = [places[name] for name in data.class_names]
    if len(set(order)) != len(order) or not all(0 <= place < outputs for place in order):
        raise InputError(f"expected a different output from 0 to {outputs - 1} for every class in {source}")
    named = {place: name for name, place in places.items()}
    return data.with_classes(tuple(named.get(k, f"class {k}") for k in range(outputs)), order)


def _order_in(file: Path, data: Samples, outputs: int) -> dict[str, int]:
    lines = [line.strip() for line in file.read_text(errors="replace").splitlines() if line.strip()]
    if lines and all(re.fullmatch(r"\d+", line) for line in lines):
        # Line k is the class, in the order of the data, that output k stands for.
        known = [int(line) for line in lines]
        if max(known) >= len(data.class_names) or len(known) != outputs:
            raise InputError(
                f"expected {outputs} numbers below {len(data.class_names)} in {file}, a line each"
            )
        return {data.class_names[label]: output for output, label in enumerate(known)}
    pairs = [re.fullmatch(r"(\S.*?)[\t, ]+(\d+)", line) for line in lines]
    if lines and all(pairs):
        return _order_of_files([(pair[1], int(pair[2])) for pair in pairs if pair], data, file)
    return {line.split(maxsplit=1)[0] if line.split()[0] in data.class_names else line: k
            for k, line in enumerate(lines)}  # fmt: skip


def _order_of_files(pairs: list[tuple[str, int]], data: Samples, file: Path) -> dict[str, int]:
    """Outputs of classes, from those of their files: by a folder in the path, or by the file's name in the data."""
    owners = {Path(path).name: Path(path).parts[0] for path in getattr(data, "paths", ())}
    found: dict[str, int] = {}
    for path, output in pairs:
        parts = [part for part in Path(path).parts if part in data.class_names]
        name = parts[0] if parts else owners.get(Path(path).name)
        if name is not None and found.setdefault(name, output) != output:
            raise InputError(
                f"{file} gives files of the class {name!r} different outputs; it is no map of classes"
            )
    return found


@dataclass(frozen=True)
class DataSource:
    """A named data set: how to open one of its splits, from a folder where it needs one."""

    name: str
    summary: str
    classes: tuple[str, ...]
    open: Callable[[str, Path | None], tuple[np.ndarray, np.ndarray]]


DATASETS: Table[DataSource] = Table("data set")


def open_data(name: str, split: str | None, data_dir: Path | None = None) -> Samples:
    """A data set by name, or a folder with a folder of images for each class."""
    if name not in DATASETS and Path(name).is_dir():
        return image_folder(Path(name), split)
    if name not in DATASETS and ("/" in name or "." in name):
        raise InputError(f"expected a data set or a folder of images, found nothing at {name}; check --data")
    if split is None and DATASETS[name]:
        raise InputError(f"say which split of {name}: --split {' or '.join(SPLITS)}")
    return load(name, str(split), data_dir)


def load(name: str, split: str, data_dir: Path | None = None) -> LabelledImages:
    """A split of a data set; raises InputError where there is none of that name or its files are missing."""
    source = DATASETS[name]
    if split not in SPLITS:
        raise InputError(f"expected a split of {name}: {' or '.join(SPLITS)}, got {split!r}")
    images, labels = source.open(split, data_dir)
    return LabelledImages(
        name=name,
        split=split,
        images=torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None],
        labels=torch.from_numpy(labels.astype(np.int64)),
        ids=torch.arange(len(labels)),
        class_names=source.classes,
    )


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


def read_idx(path: Path, *, dimensions: int) -> np.ndarray:
    """An array of bytes in the IDX format, gzipped or not.

    Raises InputError where the file is not that, or is shorter or longer than its header says.
    """
    raw = path.read_bytes()
    try:
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError) as reason:
        raise InputError(f"{path} is a damaged gzip file ({reason}); fetch it again") from None
    header = 4 + 4 * dimensions
    if raw[:4] != bytes((0, 0, 8, dimensions)) or len(raw) < header:
        raise InputError(
            f"expected an IDX file of bytes with {dimensions} dimensions, got something else: {path}"
        )
    shape = tuple(int(size) for size in np.frombuffer(raw[4:header], ">u4"))
    if len(raw) - header != int(np.prod(shape, dtype=np.int64)):
        raise InputError(f"{path} should hold {shape} bytes but holds {len(raw) - header}; fetch it again")
    return np.frombuffer(raw[header:], np.uint8).reshape(shape)


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

    root = Path.home() / ".cache" / "maxsup-analysis"
    try:
        return Path(FashionMNIST(str(root), download=True).raw_folder)
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
