"""Labelled images that are read when they are asked for, wherever they lie."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from PIL import Image
from torch import Tensor

from maxsup_analysis.datasets.decoding import UnreadableImage, in_rgb, is_rotated, require_room
from maxsup_analysis.datasets.samples import Fetched, Reader, Unreadable, digest_of
from maxsup_analysis.labels import clean_label
from maxsup_analysis.preprocessing import Preprocessing

NAME_LIMIT = 200


@runtime_checkable
class Images(Protocol):
    """Images by number; it can be pickled."""

    def image(self, number: int) -> Image.Image | Tensor:
        """An image, its pixels perhaps not read yet, or values from 0 to 1; UnreadableImage where there is none."""
        ...

    def called(self, number: int) -> str:
        """What it is called where it lies."""
        ...


@runtime_checkable
class ImageSource(Images, Protocol):
    """N images and what tells whether they are still the same."""

    def entries(self) -> Iterator[str]:
        """Name and size of each image, the same for a copy elsewhere."""
        ...

    def stamps(self, *, hash_contents: bool) -> Iterator[str]:
        """What changes when an image is touched, or, with `hash_contents`, when one byte of it changes."""
        ...


@dataclass(frozen=True)
class SomeImages:
    """Some of the images of a source, in an order of their own."""

    source: ImageSource
    chosen: Int64[Tensor, " M"]

    def image(self, number: int) -> Image.Image | Tensor:
        """The image of the source that has this place."""
        return self.source.image(int(self.chosen[number]))

    def called(self, number: int) -> str:
        """What it is called where it lies."""
        return self.source.called(int(self.chosen[number]))

    def entries(self) -> Iterator[str]:
        """Name and size of each of these."""
        entries = list(self.source.entries())
        return (entries[number] for number in self.chosen.tolist())

    def stamps(self, *, hash_contents: bool) -> Iterator[str]:
        """Those of the whole source, which may not have one for each image."""
        return self.source.stamps(hash_contents=hash_contents)


@dataclass(frozen=True)
class ImageSamples:
    """Images of a source and their labels.

    sorted_classes: whether classes are numbered in the order of their names.
    """

    name: str
    split: str
    source: ImageSource
    labels: Int64[Tensor, " N"]
    class_names: tuple[str, ...]
    sorted_classes: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def numbers(self) -> Int64[Tensor, " N"]:
        """The position of each image in the whole split."""
        return self.source.chosen if isinstance(self.source, SomeImages) else torch.arange(len(self))

    @property
    def fingerprint(self) -> str:
        """Digest of names, sizes and labels."""
        entries = zip(self.source.entries(), self.labels.tolist(), strict=True)
        return digest_of(f"{entry}\0{label}" for entry, label in entries)

    def state(self, *, hash_contents: bool) -> str:
        """Digest of names, sizes and times of change, or of every byte."""
        stamps = digest_of(self.source.stamps(hash_contents=hash_contents))
        return digest_of((digest_of(self.source.entries()), stamps))

    def called(self, id: int) -> str:  # noqa: A002
        """The name that its source has for it, fit to be shown."""
        return clean_label(self.source.called(id), NAME_LIMIT)

    def with_classes(self, class_names: tuple[str, ...], order: Sequence[int]) -> "ImageSamples":
        """The same samples, class k called order[k] and named anew."""
        return replace(
            self, labels=torch.tensor(order)[self.labels], class_names=class_names, sorted_classes=False
        )

    def with_labels(self, labels: Int64[Tensor, " N"]) -> "ImageSamples":
        """The same images under other labels."""
        return replace(self, labels=labels)

    def at(self, ids: Int64[Tensor, " M"]) -> "ImageSamples":
        """These images only."""
        whole = self.source.source if isinstance(self.source, SomeImages) else self.source
        return replace(self, source=SomeImages(whole, self.numbers[ids]), labels=self.labels[ids])

    def reader(self, preprocessing: Preprocessing) -> Reader:
        """Decodes, resizes and crops."""
        return ImageReader(self.source, preprocessing)


@dataclass(frozen=True)
class ImageReader:
    """Reads, resizes and crops images; it can be pickled."""

    images: Images
    preprocessing: Preprocessing
    geometry: Callable[[Image.Image], Tensor] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "geometry", self.preprocessing.geometry)

    def fetch(self, ids: Sequence[int]) -> Fetched:
        """The images that can be read, in the order asked."""
        read, pixels, unreadable, rotated = [], [], [], 0
        for number in ids:
            try:
                prepared, turned = self._prepared(number)
            except UnreadableImage as reason:
                name = clean_label(self.images.called(number), NAME_LIMIT)
                unreadable.append(Unreadable(number, name, str(reason)))
                continue
            read.append(number)
            pixels.append(prepared)
            rotated += turned
        return Fetched(
            torch.tensor(read, dtype=torch.int64), self._stacked(pixels), tuple(unreadable), rotated
        )

    def _prepared(self, number: int) -> tuple[Tensor, bool]:
        image = self.images.image(number)
        if isinstance(image, Tensor):
            return self._of_right_size(image), False
        with image:
            require_room(image, self.preprocessing.shorter_side, self.preprocessing.size[2])
            return self.geometry(in_rgb(image)), is_rotated(image)

    def _of_right_size(self, values: Tensor) -> Tensor:
        """Values from 0 to 1 as they are: they are not resized."""
        if tuple(values.shape) != self.preprocessing.size:
            raise UnreadableImage(
                f"values of {sized(values.shape)} from 0 to 1, the model takes {sized(self.preprocessing.size)}"
            )
        return values

    def _stacked(self, pixels: list[Tensor]) -> Tensor:
        """As bytes where all are; else as values from 0 to 1."""
        if not pixels:
            return torch.empty(0, *self.preprocessing.size, dtype=torch.uint8)
        if len({one.dtype for one in pixels}) > 1:
            pixels = [one / 255 if one.dtype == torch.uint8 else one for one in pixels]
        return torch.stack(pixels)


def sized(size: Sequence[int]) -> str:
    """A size as people write it.

    Example:
        >>> sized((3, 32, 32))
        '3 x 32 x 32'
    """
    return " x ".join(str(length) for length in size)
