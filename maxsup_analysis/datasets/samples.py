"""Labelled samples in a fixed order, so that an id always means the same image."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from maxsup_analysis.preprocessing import Preprocessing


@dataclass(frozen=True)
class Unreadable:
    """A sample that could not be read, and why, in a few words."""

    id: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} (sample {self.id}) cannot be read as an image: {self.reason}"


@dataclass(frozen=True)
class Fetched:
    """What was asked for, as far as it could be read: B images of the model's size, not normalised.

    images: bytes, or values from 0 to 1.
    rotated: how many carry an EXIF orientation that turns or mirrors them, which is not applied.
    """

    ids: Int64[Tensor, " B"]
    images: UInt8[Tensor, "B C H W"] | Float32[Tensor, "B C H W"]
    unreadable: tuple[Unreadable, ...] = ()
    rotated: int = 0


@runtime_checkable
class Reader(Protocol):
    """Reads samples by id; it can be pickled, and works in several processes at once."""

    def fetch(self, ids: Sequence[int]) -> Fetched:
        """The samples in the order asked; what cannot be read is listed, never replaced by another."""
        ...


@runtime_checkable
class Samples(Protocol):
    """N labelled samples in a fixed order; the id of a sample is its position among them."""

    @property
    def name(self) -> str:
        """What the data set is called."""
        ...

    @property
    def split(self) -> str:
        """Which part of the data set this is."""
        ...

    @property
    def labels(self) -> Int64[Tensor, " N"]:
        """The class of each sample."""
        ...

    @property
    def numbers(self) -> Int64[Tensor, " N"]:
        """The position of each sample in the whole split, where these are some of its samples; else its id."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """What class k is called."""
        ...

    @property
    def sorted_classes(self) -> bool:
        """Whether classes are numbered in the order of their names as text, which not every program does."""
        ...

    def __len__(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """Digest of names, sizes and labels: the same for a copy of the data elsewhere."""
        ...

    def state(self, *, hash_contents: bool) -> str:
        """Digest of names, sizes and times of change, or of every byte; labels do not count.

        It differs when a sample was added, removed, renamed, touched or, with `hash_contents`, changed at all.
        """
        ...

    def called(self, id: int) -> str:  # noqa: A002
        """What a person calls a sample."""
        ...

    def with_classes(self, class_names: tuple[str, ...], order: Sequence[int]) -> "Samples":
        """The same samples, class k called order[k] and named anew."""
        ...

    def with_labels(self, labels: Int64[Tensor, " N"]) -> "Samples":
        """The same samples under other labels of the same classes."""
        ...

    def at(self, ids: Int64[Tensor, " M"]) -> "Samples":
        """These samples only, in this order."""
        ...

    def reader(self, preprocessing: Preprocessing) -> Reader:
        """What reads the samples for a model; InputError where they cannot be brought to its size."""
        ...


def digest_of(lines: Iterable[str]) -> str:
    """SHA-256 of lines of text, whatever code points they hold."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
