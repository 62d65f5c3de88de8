"""Samples whose images are corrupted when they are read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from maxsup_analysis.datasets.corruptions.entry import CORRUPTIONS, require_severity
from maxsup_analysis.datasets.corruptions.frost_pictures import require_frost
from maxsup_analysis.datasets.samples import Fetched, Reader, Samples, digest_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Preprocessing

# To be raised whenever a corruption would give other images than before.
RECIPE = 1


@dataclass(frozen=True)
class Damage:
    """A kind of corruption, its severity, and the seed of what is random in it.

    Raises InputError for a kind that there is not, a severity outside 1 to 5, or a negative seed.

    Example:
        >>> str(Damage("fog", 3)), str(Damage("fog", 3, seed=1))
        ('fog:3', 'fog:3:1')
    """

    kind: str
    severity: int
    seed: int = 0

    def __post_init__(self) -> None:
        require_severity(CORRUPTIONS[self.kind].name, self.severity)
        if self.seed < 0:
            raise InputError(f"expected a seed of {self.kind} from 0, got {self.seed}")

    def __str__(self) -> str:
        return ":".join([self.kind, str(self.severity), *([str(self.seed)] if self.seed else [])])

    def done_to(self, image: Tensor, number: int) -> Tensor:
        """An image C x H x W corrupted, in whole 255ths; bytes stay bytes, values from 0 to 1 stay values."""
        values = image.permute(1, 2, 0).numpy().astype(np.float64)
        picture = values / 255 if image.dtype == torch.uint8 else values
        changed = CORRUPTIONS[self.kind](picture, self.severity, seed=self.seed, number=number)
        pixels = torch.from_numpy(np.rint(changed * 255)).permute(2, 0, 1)
        return pixels.to(torch.uint8) if image.dtype == torch.uint8 else (pixels / 255).to(image.dtype)


@dataclass(frozen=True)
class CorruptedSamples:
    """Samples that are corrupted as they are read; what is random depends on the number of each in the whole split."""

    samples: Samples
    damage: Damage

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def name(self) -> str:
        """That of the clean samples."""
        return self.samples.name

    @property
    def split(self) -> str:
        """That of the clean samples, and what was done to them: `test+fog:3`."""
        return f"{self.samples.split}+{self.damage}"

    @property
    def labels(self) -> Int64[Tensor, " N"]:
        """Those of the clean samples."""
        return self.samples.labels

    @property
    def class_names(self) -> tuple[str, ...]:
        """Those of the clean samples."""
        return self.samples.class_names

    @property
    def sorted_classes(self) -> bool:
        """As of the clean samples."""
        return self.samples.sorted_classes

    @property
    def numbers(self) -> Int64[Tensor, " N"]:
        """Those of the clean samples."""
        return self.samples.numbers

    @property
    def fingerprint(self) -> str:
        """Digest of that of the clean samples and of what was done to them."""
        return self._digest(self.samples.fingerprint)

    def state(self, *, hash_contents: bool) -> str:
        """Digest of that of the clean samples and of what was done to them."""
        return self._digest(self.samples.state(hash_contents=hash_contents))

    def called(self, id: int) -> str:  # noqa: A002
        """As the clean sample is."""
        return self.samples.called(id)

    def with_classes(self, class_names: tuple[str, ...], order: Sequence[int]) -> "CorruptedSamples":
        """The same samples, class k called order[k] and named anew."""
        return replace(self, samples=self.samples.with_classes(class_names, order))

    def with_labels(self, labels: Int64[Tensor, " N"]) -> "CorruptedSamples":
        """The same samples under other labels."""
        return replace(self, samples=self.samples.with_labels(labels))

    def at(self, ids: Int64[Tensor, " M"]) -> "CorruptedSamples":
        """These samples only, corrupted as before."""
        return replace(self, samples=self.samples.at(ids))

    def reader(self, preprocessing: Preprocessing) -> Reader:
        """Corrupts the images when they have the model's size."""
        return CorruptingReader(self.samples.reader(preprocessing), self.damage, self.numbers)

    def _digest(self, clean: str) -> str:
        return digest_of((clean, f"corrupted {RECIPE}", str(self.damage)))


@dataclass(frozen=True)
class CorruptingReader:
    """Corrupts what another reader reads; it can be pickled."""

    reader: Reader
    damage: Damage
    numbers: Int64[Tensor, " N"]

    def fetch(self, ids: Sequence[int]) -> Fetched:
        """The samples in the order asked."""
        fetched = self.reader.fetch(ids)
        return replace(fetched, images=self._corrupted(fetched.images, self.numbers[fetched.ids]))

    def _corrupted(
        self, images: UInt8[Tensor, "B C H W"] | Float32[Tensor, "B C H W"], numbers: Int64[Tensor, " B"]
    ) -> UInt8[Tensor, "B C H W"] | Float32[Tensor, "B C H W"]:
        if not len(images):
            return images
        pairs = zip(images, numbers.tolist(), strict=True)
        return torch.stack([self.damage.done_to(image, number) for image, number in pairs])


def corrupted(samples: Samples, kind: str, severity: int, seed: int = 0) -> CorruptedSamples:
    """The samples, each corrupted when it is read: after resizing and cropping, before normalising.

    What happens to an image depends on the seed, its number in the whole split, the kind and the severity: not on the
    batch, the worker, or which others are there. So a subset of corrupted samples is the corrupted subset.

    Raises InputError for a kind that there is not, a severity outside 1 to 5, samples that are corrupted already, and
    for frost where its photographs are not installed.

    Example:
        >>> from maxsup_analysis.datasets import load
        >>> foggy = corrupted(load("digits", "test"), "fog", 3)
        >>> foggy.name, foggy.split, len(foggy)
        ('digits', 'test+fog:3', 600)
    """
    damage = Damage(kind, severity, seed)
    if isinstance(samples, CorruptedSamples):
        raise InputError(f"expected clean samples, got {samples.name} {samples.split}; corrupt them once")
    if kind == "frost":
        require_frost()
    return CorruptedSamples(samples, damage)


def corruption_in(split: str | None) -> tuple[str | None, Damage | None]:
    """The split and what is to be done to it, in `test+fog:3` or `test+fog:3:SEED`; `+fog:3` names no split.

    Raises InputError where something else follows the plus and a colon.

    Example:
        >>> corruption_in("test+fog:3"), corruption_in("test"), corruption_in(None)
        (('test', Damage(kind='fog', severity=3, seed=0)), ('test', None), (None, None))
    """
    clean, plus, rest = (split or "").rpartition("+")
    kind, *numbers = rest.split(":")
    if not plus or not (numbers or kind in CORRUPTIONS):
        return split, None
    if len(numbers) not in (1, 2) or not all(number.isdecimal() for number in numbers):
        raise InputError(f"expected a split as test+KIND:SEVERITY or test+KIND:SEVERITY:SEED, got {split!r}")
    return clean or None, Damage(kind, *(int(number) for number in numbers))
