"""Some of the samples: a few a class, or a long tail of classes; the same for the same seed."""

import torch
from jaxtyping import Int64
from torch import Tensor

from maxsup_analysis.datasets.seeds import seed_of
from maxsup_analysis.errors import InputError


def long_tail(
    labels: Int64[Tensor, " N"], classes: int, *, ratio: float | int, seed: int
) -> Int64[Tensor, " M"]:
    """Positions of a sample of classes whose sizes fall exponentially, the last having 1/ratio of the first's.

    Class k of K keeps int(n ratio^(-k/(K - 1))) of its samples (Cui et al. 2019, arXiv:1901.05555; Cao et al. 2019,
    arXiv:1906.07413, whose CIFAR-LT this is with ratio 10, 50 or 100). n is the size of the smallest class there is, so
    that every class has enough; one class alone keeps all. Which samples stay depends on the seed and their class
    only: a longer tail is part of a shorter one. Positions are in order.

    Raises InputError for a ratio below 1, where a class has no samples, and where one would be left without any.

    Example:
        >>> import torch
        >>> labels = torch.arange(3).repeat(100)
        >>> torch.bincount(labels[long_tail(labels, 3, ratio=100, seed=0)]).tolist()
        [100, 10, 1]
    """
    if not 1 <= ratio < float("inf"):
        raise InputError(f"expected an imbalance of 1 or more, got {ratio}")
    sizes = torch.bincount(labels, minlength=classes)
    smallest = int(sizes.min())
    if smallest == 0:
        raise InputError(
            f"expected samples of every class for a long tail, class {int(sizes.argmin())} has none"
        )
    counts = [_kept(smallest, ratio ** (-k / max(classes - 1, 1))) for k in range(classes)]
    if counts[-1] == 0:
        raise InputError(
            f"an imbalance of {ratio:g} leaves nothing of {smallest} samples for class {classes - 1}; expected "
            f"{smallest} or less"
        )
    return _of_each(labels, counts, "long tail", seed)


def some_per_class(
    labels: Int64[Tensor, " N"], classes: int, *, samples: int, seed: int
) -> Int64[Tensor, " M"]:
    """Positions of `samples` samples of each class, or all where it has fewer; in order.

    Which they are depends on the seed and their class only: fewer samples are part of more.

    Raises InputError for fewer than one.

    Example:
        >>> import torch
        >>> labels = torch.tensor([0, 1, 1, 0, 1])
        >>> torch.bincount(labels[some_per_class(labels, 2, samples=2, seed=0)]).tolist()
        [2, 2]
    """
    if samples < 1:
        raise InputError(f"expected 1 sample a class or more, got {samples}")
    return _of_each(labels, [samples] * classes, "some per class", seed)


def _kept(size: int, share: float) -> int:
    """A tiny share more, so that 100 * 0.01 is one sample and not none."""
    return int(size * share * (1 + 1e-12))


def _of_each(labels: Int64[Tensor, " N"], counts: list[int], purpose: str, seed: int) -> Int64[Tensor, " M"]:
    """The draw of a class does not depend on how many of another are taken."""
    parts = []
    for k, count in enumerate(counts):
        mine = (labels == k).nonzero()[:, 0]
        generator = torch.Generator().manual_seed(seed_of(purpose, seed, k))
        parts.append(mine[torch.randperm(len(mine), generator=generator)[:count]])
    return torch.cat(parts).sort().values
