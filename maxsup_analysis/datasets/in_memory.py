"""Labelled images as one array, in memory or memory-mapped."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from PIL import Image
from torch import Tensor

from maxsup_analysis.datasets.images import ImageReader, sized
from maxsup_analysis.datasets.samples import Fetched, Reader
from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Preprocessing

HASHED_AT_ONCE = 1024


@dataclass(frozen=True)
class LabelledImages:
    """N images of one size, bytes or values from 0 to 1, and their labels.

    chosen: their positions in the whole split; None where this is the whole.
    """

    name: str
    split: str
    images: Float32[Tensor, "N C H W"] | UInt8[Tensor, "N C H W"]
    labels: Int64[Tensor, " N"]
    class_names: tuple[str, ...]
    chosen: Int64[Tensor, " N"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sorted_classes(self) -> bool:
        """Their labels came as numbers."""
        return False

    @property
    def numbers(self) -> Int64[Tensor, " N"]:
        """The position of each image in the whole split."""
        return torch.arange(len(self)) if self.chosen is None else self.chosen

    def first(self, count: int | None) -> "LabelledImages":
        """The first `count` images, or all."""
        if count is None:
            return self
        if not 1 <= count <= len(self):
            raise InputError(
                f"expected 1 to {len(self)} samples of {self.name} {self.split}, got {count}; "
                "ask for as many as there are"
            )
        chosen = None if self.chosen is None else self.chosen[:count]
        return replace(self, images=self.images[:count], labels=self.labels[:count], chosen=chosen)

    @property
    def fingerprint(self) -> str:
        """Digest of images and labels: the same only for the same samples in the same order."""
        return _digest((*_parts(self.images), self.labels))

    def state(self, *, hash_contents: bool) -> str:
        """Digest of the images, of every byte in any case."""
        return _digest(_parts(self.images))

    def called(self, id: int) -> str:  # noqa: A002
        """Its number in the whole split."""
        return _called(id if self.chosen is None else int(self.chosen[id]))

    def with_classes(self, class_names: tuple[str, ...], order: Sequence[int]) -> "LabelledImages":
        """The same samples, class k called order[k] and named anew."""
        return replace(self, labels=torch.tensor(order)[self.labels], class_names=class_names)

    def with_labels(self, labels: Int64[Tensor, " N"]) -> "LabelledImages":
        """The same images under other labels."""
        return replace(self, labels=labels)

    def at(self, ids: Int64[Tensor, " M"]) -> "LabelledImages":
        """These images only, copied."""
        return replace(self, images=self.images[ids], labels=self.labels[ids], chosen=self.numbers[ids])

    def reader(self, preprocessing: Preprocessing) -> Reader:
        """Images of the model's size as they are; bytes of another size are resized and cropped."""
        if tuple(self.images.shape[1:]) == preprocessing.size:
            return _Rows(self.images)
        if self.images.dtype == torch.uint8:
            return ImageReader(ArrayImages(self.images), preprocessing)
        raise InputError(
            f"the model takes images of {sized(preprocessing.size)} but those of {self.name} have "
            f"{sized(self.images.shape[1:])}; pass --data for the data it was trained on, or say with "
            "--image-size, --mean and --std what it takes"
        )


@dataclass(frozen=True)
class _Rows:
    """Rows of an array, as they are."""

    images: Float32[Tensor, "N C H W"] | UInt8[Tensor, "N C H W"]

    def fetch(self, ids: Sequence[int]) -> Fetched:
        """The rows of these numbers."""
        rows = torch.tensor(ids, dtype=torch.int64)
        return Fetched(rows, self.images[rows])


@dataclass(frozen=True)
class ArrayImages:
    """The images of an array of bytes, to be resized."""

    pixels: UInt8[Tensor, "N C H W"]

    def __len__(self) -> int:
        return len(self.pixels)

    def image(self, number: int) -> Image.Image:
        """One image, grey if it has one channel."""
        pixels = self.pixels[number].permute(1, 2, 0).contiguous().numpy()
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)

    def called(self, number: int) -> str:
        """Its number."""
        return _called(number)


def _called(number: int) -> str:
    return f"image {number}"


def _parts(images: Tensor) -> Iterator[Tensor]:
    return (images[start : start + HASHED_AT_ONCE] for start in range(0, len(images), HASHED_AT_ONCE))


def _digest(parts: Iterator[Tensor] | tuple[Tensor, ...]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part.numpy()).data)
    return digest.hexdigest()
