"""Products of a matrix with its own transpose, for half the work."""

import torch
from jaxtyping import Float
from torch import Tensor

STRIP = 256  # columns of the product that are computed at once


def half_product(rows: Float[Tensor, "B D"]) -> Float[Tensor, "D D"]:
    """The upper half of the sum of r r^T over rows: some columns at a time, with those to their right.

    What is below is not to be looked at.

    Example:
        >>> import torch
        >>> half_product(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).triu()
        tensor([[10., 14.],
                [ 0., 20.]])
    """
    D = rows.shape[1]
    half = rows.new_zeros(D, D)
    for start in range(0, D, STRIP):
        strip = rows[:, start : start + STRIP]
        torch.mm(strip.T, rows[:, start:], out=half[start : start + STRIP, start:])
    return half


def mirrored(half: Float[Tensor, "D D"]) -> Float[Tensor, "D D"]:
    """A symmetric matrix from its upper half."""
    upper = half.triu()
    return upper + upper.triu(1).T
