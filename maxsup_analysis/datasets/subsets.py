"""Some of the samples: a few a class, or a long tail of classes; the same for the same seed."""

import torch
from jaxtyping import Int64
from torch import Tensor

from maxsup_analysis.errors import InputError


def long_tail(
    labels: Int64[Tensor, " N"], classes: int, *, ratio: float | int, seed: int
) -> Int64[Tensor, " M"]:
    """Positions of a sample of classes whose sizes fall exponentially, the last having 1/ratio of the first's.

    Class k of K keeps int(n ratio^(-k/(K - 1))) of its samples, n being the size of the smallest class there is, so
    that every class has enough (Cao et al. 2019; Cui et al. 2019). Positions are in order.

    Raises InputError for a ratio below 1, and where a class has no samples.

    Example:
        >>> import torch
        >>> labels = torch.arange(3).repeat(100)
        >>> torch.bincount(labels[long_tail(labels, 3, ratio=100, seed=0)]).tolist()
        [100, 10, 1]
    """
    if not ratio >= 1:
        raise InputError(f"expected an imbalance of 1 or more, got {ratio}")
    counts = torch.bincount(labels, minlength=classes)
    smallest = int(counts.min())
    if smallest == 0:
        raise InputError(
            f"expected samples of every class for a long tail, class {int(counts.argmin())} has none"
        )
    shares = [ratio ** (-k / max(classes - 1, 1)) for k in range(classes)]
    # A tiny share more, so that 100 * 0.01 is one sample and not none.
    return _of_each(labels, [int(smallest * share * (1 + 1e-12)) for share in shares], seed)


def some_per_class(
    labels: Int64[Tensor, " N"], classes: int, *, samples: int, seed: int
) -> Int64[Tensor, " M"]:
    """Positions of `samples` samples of each class, or all where it has fewer; in order.

    Raises InputError for fewer than one.
    """
    if samples < 1:
        raise InputError(f"expected 1 sample a class or more, got {samples}")
    return _of_each(labels, [samples] * classes, seed)


def _of_each(labels: Int64[Tensor, " N"], counts: list[int], seed: int) -> Int64[Tensor, " M"]:
    """The draw of a class does not depend on how many of another are taken."""
    parts = []
    for k, count in enumerate(counts):
        mine = (labels == k).nonzero()[:, 0]
        order = torch.randperm(len(mine), generator=torch.Generator().manual_seed(seed * 1_000_003 + k))
        parts.append(mine[order[:count]])
    return torch.cat(parts).sort().values
