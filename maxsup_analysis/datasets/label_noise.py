"""Wrong labels made on purpose, the same for the same seed."""

import torch
from jaxtyping import Int64
from torch import Tensor

from maxsup_analysis.errors import InputError

KINDS = ("symmetric", "pair")


def noisy_labels(
    labels: Int64[Tensor, " N"], classes: int, *, rate: float, kind: str, seed: int
) -> Int64[Tensor, " N"]:
    """Labels of which each is wrong with probability `rate`.

    symmetric: another class, each of the K - 1 equally likely; so `rate` is the share of wrong labels, unlike where the
    new label is drawn among all K (as DisturbLabel does), of which rate (K - 1)/K are wrong.
    pair: the next class, k + 1 modulo K.

    Raises InputError for a rate outside 0 to 1, another kind, or where there is no other class.

    Example:
        >>> import torch
        >>> noisy_labels(torch.tensor([0, 1, 2, 2]), 3, rate=0.99, kind="pair", seed=0)
        tensor([1, 2, 0, 0])
    """
    if not 0 <= rate <= 1 or kind not in KINDS:
        raise InputError(f"expected noise {' or '.join(KINDS)} of a rate from 0 to 1, got {kind!r} of {rate}")
    if rate == 0:
        return labels
    if classes < 2:
        raise InputError(f"expected 2 classes or more to confuse, got {classes}; leave label_noise out")
    generator = torch.Generator().manual_seed(seed)
    wrong = torch.rand(len(labels), generator=generator) < rate
    shifts = torch.randint(1, classes, (len(labels),), generator=generator)
    return torch.where(wrong, (labels + (1 if kind == "pair" else shifts)) % classes, labels)
