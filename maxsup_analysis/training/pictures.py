"""Where the images of a batch come from: a tensor in memory, or processes that decode them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float32, Int64, UInt8
from PIL.Image import Image
from torch import Tensor

from maxsup_analysis.datasets import Fetched, LabelledImages, Reader
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import workers_for
from maxsup_analysis.loading import Loader
from maxsup_analysis.preprocessing import Preprocessing
from maxsup_analysis.training.augmentation import Geometry, geometry_of
from maxsup_analysis.training.data import TrainingData
from maxsup_analysis.training.plan import TrainingPlan
from maxsup_analysis.training.seeds import reseed

Pictures = Float32[Tensor, "B C H W"] | UInt8[Tensor, "B C H W"]
CPU = torch.device("cpu")


@runtime_checkable
class Source(Protocol):
    """Images by their position among the training samples: bytes, or values from 0 to 1, of the model's size."""

    def batches(self, epoch: int, parts: Sequence[Tensor]) -> Iterator[Pictures]:
        """The images of these positions, part by part; each lasts until the next one is asked for."""
        ...

    def are_moved(self, images: Tensor) -> bool:
        """Whether crops and flips have been made already."""
        ...


@dataclass(frozen=True)
class InMemory:
    """Rows of a tensor. rows: the row of each position."""

    images: Float32[Tensor, "M C H W"] | UInt8[Tensor, "M C H W"]
    rows: Int64[Tensor, " N"]

    def batches(self, epoch: int, parts: Sequence[Tensor]) -> Iterator[Pictures]:
        """Copies of the rows."""
        return (self.images[self.rows[part]] for part in parts)

    def are_moved(self, images: Tensor) -> bool:
        """They never are."""
        return False


@dataclass(frozen=True)
class Decoded:
    """Images that are read when their turn comes, cropped and flipped where they are decoded."""

    reader: Reader
    ids: Int64[Tensor, " N"]
    seed: int
    workers: int
    pinned: bool

    def batches(self, epoch: int, parts: Sequence[Tensor]) -> Iterator[Pictures]:
        """Decoded ahead; InputError for the first image that cannot be."""
        loader = Loader(AugmentingReader(self.reader, self.seed, epoch), self.workers, self.pinned)
        for fetched in loader.batches([self.ids[part].tolist() for part in parts]):
            if fetched.unreadable:
                raise InputError(f"{fetched.unreadable[0]}; training needs every image: mend or remove it")
            yield fetched.images

    def are_moved(self, images: Tensor) -> bool:
        """Those that were pictures; tensors of values from 0 to 1 come as they are."""
        return images.dtype == torch.uint8


@dataclass(frozen=True)
class AugmentingReader:
    """Reads images one by one, each under random numbers of its own: who reads it and when does not matter."""

    reader: Reader
    seed: int
    epoch: int

    def fetch(self, ids: Sequence[int]) -> Fetched:
        """The samples in the order asked."""
        return _joined([self._fetched(number) for number in ids])

    def _fetched(self, number: int) -> Fetched:
        reseed(CPU, self.seed, "image", self.epoch, number)
        return self.reader.fetch([number])


@dataclass(frozen=True)
class MovingPreprocessing(Preprocessing):
    """Preprocessing whose geometry is drawn at random, for every reader that takes one."""

    moves: Geometry = Geometry()  # noqa: RUF009

    @property
    def geometry(self) -> Callable[[Image], Tensor]:
        """From a PIL image to bytes of the model's size, by torchvision."""
        from torchvision.transforms import InterpolationMode, v2

        channels, *side = self.size
        steps = [super().geometry]
        if self.moves.resized_crop:
            crop = v2.RandomResizedCrop(side, interpolation=InterpolationMode(self.interpolation))
            steps = [*([v2.Grayscale()] if channels == 1 else []), crop, v2.PILToTensor()]
        if self.moves.crop_padding:
            steps.append(v2.RandomCrop(side, padding=self.moves.crop_padding))
        return v2.Compose([*steps, v2.RandomHorizontalFlip()] if self.moves.flip else steps)


def source_of(
    plan: TrainingPlan, data: TrainingData, preprocessing: Preprocessing, device: torch.device
) -> Source:
    """The images of a plan: those that are in memory stay there, resized once if need be."""
    if isinstance(data.samples, LabelledImages):
        if tuple(data.samples.images.shape[1:]) == preprocessing.size:
            return InMemory(data.samples.images, data.ids)
        images = data.samples.reader(preprocessing).fetch(data.ids.tolist()).images
        return InMemory(images, torch.arange(len(images)))
    moving = MovingPreprocessing(**vars(preprocessing), moves=geometry_of(plan))
    workers = workers_for(data.samples, plan.workers)
    reader = data.samples.reader(moving)
    return Decoded(reader, data.ids, plan.seed, workers, device.type == "cuda")


def _joined(parts: Sequence[Fetched]) -> Fetched:
    """In their order; bytes become values from 0 to 1 where not all are bytes."""
    images = [part.images for part in parts]
    if len({one.dtype for one in images if len(one)}) > 1:
        images = [one / 255 if one.dtype == torch.uint8 else one for one in images]
    kept = [one for one in images if len(one)] or images[:1]
    return Fetched(
        torch.cat([part.ids for part in parts]),
        torch.cat(kept),
        tuple(one for part in parts for one in part.unreadable),
        sum(part.rotated for part in parts),
    )
