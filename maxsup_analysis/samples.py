"""Labelled images in a fixed order, held in memory, so that an id always means the same image."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Preprocessing


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


def _sized(size: Sequence[int]) -> str:
    return " x ".join(str(length) for length in size)
