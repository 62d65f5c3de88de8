"""Wrong labels made on purpose, the same for the same seed."""

import torch
from jaxtyping import Int64
from torch import Tensor

from maxsup_analysis.errors import InputError

KINDS = ("symmetric", "pair")


def noisy_labels(
    labels: Int64[Tensor, " N"], classes: int, *, rate: float, kind: str, seed: int
) -> Int64[Tensor, " N"]:
    """Labels of which each is wrong with probability `rate`; those given are left as they are.

    symmetric: another class, each of the K - 1 equally likely (Patrini et al. 2017, arXiv:1609.03683; Han et al. 2018,
    arXiv:1804.06872). So `rate` is the share of wrong labels. Where the new label is drawn among all K (Zhang et al.
    2017, arXiv:1611.03530; Li et al. 2020, arXiv:2002.07394) only rate (K - 1)/K are wrong. DisturbLabel draws among
    all K too, and anew in each epoch: it is a loss, not a data set.
    pair: the next class, k + 1 modulo K (Han et al. 2018).

    Each label is decided by itself, as Han et al. do, so the count is binomial and differs between classes; some
    draw int(rate N) samples instead. With one seed, labels that are wrong at one rate are wrong at every higher one,
    and in the same way.

    Raises InputError for a rate outside 0 to 1, another kind, labels that are no class, or where no class is another.

    Example:
        >>> import torch
        >>> noisy_labels(torch.tensor([0, 1, 2, 2]), 3, rate=1.0, kind="pair", seed=0)
        tensor([1, 2, 0, 0])
    """
    if not 0 <= rate <= 1 or kind not in KINDS:
        raise InputError(f"expected noise {' or '.join(KINDS)} of a rate from 0 to 1, got {kind!r} of {rate}")
    if rate == 0:
        return labels
    if classes < 2:
        raise InputError(f"expected 2 classes or more to confuse, got {classes}; leave label_noise out")
    _require_classes(labels, classes)
    generator = torch.Generator().manual_seed(seed)
    wrong = torch.rand(len(labels), generator=generator) < rate
    # Drawn after the chances, whatever the rate and the kind: they are the same for every rate.
    shifts = torch.randint(1, classes, (len(labels),), generator=generator)
    return torch.where(wrong, (labels + (1 if kind == "pair" else shifts)) % classes, labels)


def _require_classes(labels: Int64[Tensor, " N"], classes: int) -> None:
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        raise InputError(f"expected labels from 0 to {classes - 1}, got {int(labels[outside][0])}")
