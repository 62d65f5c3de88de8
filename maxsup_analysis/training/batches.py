"""From images and labels to batches that a model takes: moved, normalised, erased, mixed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from maxsup_analysis.preprocessing import Preprocessing
from maxsup_analysis.training.augmentation import Geometry, erased
from maxsup_analysis.training.data import TrainingData
from maxsup_analysis.training.learner import Batch
from maxsup_analysis.training.mixing import Mixing
from maxsup_analysis.training.parallel import Share, Team
from maxsup_analysis.training.pictures import Source
from maxsup_analysis.training.seeds import order, reseed


@dataclass(frozen=True)
class Batches:
    """The batches of a run. size: samples in each, over all processes; erasing: a probability."""

    data: TrainingData
    source: Source
    preprocessing: Preprocessing
    geometry: Geometry
    erasing: float
    mixing: Mixing | None
    size: int
    seed: int
    team: Team

    def of_epoch(self, epoch: int, first: int) -> Iterator[Batch]:
        """Those of an epoch from step `first` on, both counted from 0.

        Before each is made, random numbers are set to what seed, epoch, step and rank give: its augmentation, and what
        the model and the loss draw after it, depend on nothing that was drawn before.
        """
        whole = order(len(self.data), self.seed, epoch).split(self.size)[first:]
        shares = [self.team.share(positions) for positions in whole]
        images = self.source.batches(epoch, [share.positions for share in shares])
        for step, (positions, share, pictures) in enumerate(zip(whole, shares, images, strict=True), first):
            reseed(self.team.device, self.seed, "step", epoch, step, self.team.rank)
            yield self._batch(pictures, share, len(positions))

    def _batch(self, pictures: Tensor, share: Share, size: int) -> Batch:
        device = self.team.device
        images = self._seen(pictures.to(device, non_blocking=True))
        labels, clean = (column[share.positions].to(device) for column in (self.data.labels, self.data.clean))
        counted = share.counted.to(device)
        if self.mixing is None:
            return Batch(images, labels, labels, clean, counted, size)
        images, shares = self.mixing(images, torch.stack([labels, clean], 1), self.data.classes)
        larger: Sequence[Tensor] = shares.argmax(2).unbind(1)
        return Batch(images, shares[:, 0], larger[0], larger[1], counted, size)

    def _seen(self, pictures: Tensor) -> Tensor:
        """As the model sees them, before they are mixed."""
        moved = pictures if self.source.are_moved(pictures) else self.geometry(pictures)
        images = self.preprocessing.normalised(moved)
        return erased(images, self.erasing) if self.erasing else images
