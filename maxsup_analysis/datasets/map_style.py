"""Data sets of items by number, as torch has them: torchvision's, and those that the user's own code makes."""

import hashlib
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from PIL import Image
from torch import Tensor

from maxsup_analysis.datasets.classes import class_labels, class_names
from maxsup_analysis.datasets.decoding import UnreadableImage
from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label

LABEL_ATTRIBUTES = ("targets", "labels", "_labels", "y")
SAMPLED = 64


@runtime_checkable
class MapStyle(Protocol):
    """Items by number; each is an image and a label."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int) -> Any: ...


@dataclass(frozen=True)
class MapStyleImages:
    """The images of a data set that is made, once in each process, by calling `make`.

    stamped: what tells whether it is still the same.
    """

    name: str
    make: Callable[[], object]
    stamped: Callable[["MapStyleImages", bool], Iterator[str]]

    @cached_property
    def dataset(self) -> MapStyle:
        """The data set; InputError where it does not give items by number."""
        dataset = self.make()
        if not isinstance(dataset, MapStyle) or not len(dataset):
            raise InputError(
                f"expected {self.name} to give items by number (__len__ and __getitem__), got "
                f"{type(dataset).__name__} without any; make a map-style data set"
            )
        return dataset

    @cached_property
    def labels(self) -> Int64[Tensor, " N"]:
        """The labels that the data set lists, else those of its items, one by one."""
        for attribute in LABEL_ATTRIBUTES:
            listed = getattr(self.dataset, attribute, None)
            if isinstance(listed, Sized) and len(listed) == len(self.dataset):
                return class_labels(listed, self.name)
        return class_labels([self._label(number) for number in range(len(self.dataset))], self.name)

    def __getstate__(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def image(self, number: int) -> Image.Image | Tensor:
        """The image of one item; values from 0 to 1 stay a tensor."""
        try:
            return picture(self.dataset[number][0])
        except UnreadableImage:
            raise
        except Exception as reason:  # The data set may be anybody's code.
            raise UnreadableImage(_in_short(reason)) from None

    def _label(self, number: int) -> int:
        try:
            return int(self.dataset[number][1])
        except Exception as reason:  # The data set may be anybody's code.
            raise InputError(
                f"expected (image, label) as item {number} of {self.name}, got {_in_short(reason)}; give it a label"
            ) from None

    def called(self, number: int) -> str:
        """Its number."""
        return f"image {number}"

    def entries(self) -> Iterator[str]:
        """The number of each image, and the pixels of some."""
        some = set(evenly(len(self.dataset)))
        return (
            f"{self.called(number)}\0{pixel_digest(self, number) if number in some else ''}"
            for number in range(len(self.dataset))
        )

    def stamps(self, *, hash_contents: bool) -> Iterator[str]:
        """What this kind of data set goes by."""
        return self.stamped(self, hash_contents)


def map_style_samples(split: str, source: MapStyleImages) -> ImageSamples:
    """The items of a data set; InputError where they are not images and labels."""
    names = getattr(source.dataset, "classes", None)
    names = None if names is None else [_class_name(one) for one in names]
    return ImageSamples(
        source.name, split, source, source.labels, class_names(source.labels, names, source.name)
    )


def picture(image: Any) -> Image.Image | Tensor:
    """A PIL image of what a data set gives; a tensor of values from 0 to 1 stays as it is.

    A PIL image, an array of bytes H x W or H x W x C, or a tensor C x H x W of bytes or of values from 0 to 1.
    """
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, Tensor) and image.ndim == 3:
        if not image.is_floating_point():
            image = image.permute(1, 2, 0).numpy()
        elif 0 <= float(image.min()) <= float(image.max()) <= 1:
            return image.to(torch.float32)
        else:
            span = f"{float(image.min()):.3g} to {float(image.max()):.3g}"
            raise UnreadableImage(f"values from {span}, expected 0 to 1 (not normalised)")
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3):
        return Image.fromarray(image[:, :, 0] if image.shape[2:] == (1,) else image)
    kind = f"{image.dtype} of shape {tuple(image.shape)}" if hasattr(image, "dtype") else type(image).__name__
    raise UnreadableImage(f"{kind}, expected a PIL image, H x W x C bytes or a C x H x W tensor")


def _in_short(reason: Exception) -> str:
    return clean_label(" ".join(f"{type(reason).__name__}: {reason}".split()), 160)


def _class_name(name: object) -> str:
    """One name of the several that torchvision's ImageNet gives a class, as they are."""
    return ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def pixel_digest(images: MapStyleImages, number: int) -> str:
    """Digest of the pixels of an image, or why it has none."""
    try:
        image = images.image(number)
        pixels = image.numpy() if isinstance(image, Tensor) else np.asarray(image)
    except (UnreadableImage, OSError, ValueError, SyntaxError) as reason:
        return f"unreadable: {clean_label(str(reason), 160)}"
    head = f"{pixels.dtype} {pixels.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def evenly(count: int) -> Sequence[int]:
    """The numbers of up to 64 items, from the first to the last.

    Example:
        >>> evenly(3), len(evenly(1000)), evenly(1000)[-1]
        ([0, 1, 2], 64, 999)
    """
    return np.linspace(0, count - 1, min(count, SAMPLED)).round().astype(int).tolist()
