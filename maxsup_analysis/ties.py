"""What counts as equal: numbers that rounding alone tells apart.

Scores of two samples that the same logits give in another order of the classes differ in their last digits. A ranking
that believed these digits would depend on the order of the classes.
"""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

# A sum of K terms of one sign, and the few functions that make a score of it, err by less than this share.
TIED = 16 * torch.finfo(torch.float64).eps


def tied_groups(
    ordered: Float64[Tensor, " N"], floor: float = 0.0
) -> tuple[Int64[Tensor, " N"], Int64[Tensor, " G"]]:
    """For sorted numbers the number of the group of equal ones that each is in, and the sizes of the groups.

    floor: the size below which numbers are no more precise, such as 1 for logarithms.

    Example:
        >>> tied_groups(torch.tensor([0.3, 0.1 + 0.2, 0.4], dtype=torch.float64))
        (tensor([0, 0, 1]), tensor([2, 1]))
    """
    if len(ordered) == 0:
        return torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long)
    first, second = ordered[:-1], ordered[1:]
    sizes = torch.minimum(first.abs(), second.abs()).clamp_(min=floor)
    # Infinities are equal, though their difference is no number.
    apart = ~((first == second) | ((first - second).abs() <= TIED * sizes))
    places = torch.nn.functional.pad(apart.cumsum(0), (1, 0))
    return places, torch.bincount(places)


def first_largest(scores: Float[Tensor, "B K"], rounding: Float[Tensor, " B"]) -> Int64[Tensor, " B"]:
    """Where the largest score of each row is, the first of those that are equal up to their rounding.

    Example:
        >>> first_largest(torch.tensor([[0.3, 0.1 + 0.2]], dtype=torch.float64), torch.tensor([1e-15]))
        tensor([0])
    """
    best = scores.amax(1)
    return (scores >= (best - rounding)[:, None]).max(1).indices
