"""How the strength of a loss goes from the first epoch to the last."""

from maxsup_analysis.errors import InputError


def linear_schedule(begin: float, end: float, *, epoch: int, epochs: int) -> float:
    """The strength in an epoch that counts from 0: `begin` in the first and `end` in the last.

    The paper's 0.1 + 0.1 t/T, reaching both ends as in the authors' DeiT and ResNet code. begin == end is
    the fixed strength. A run of one epoch has `begin`.

    Example:
        >>> [round(linear_schedule(0.1, 0.2, epoch=epoch, epochs=3), 2) for epoch in range(3)]
        [0.1, 0.15, 0.2]
    """
    if not 0 <= epoch < epochs:
        raise InputError(f"expected an epoch from 0 to {epochs - 1}, got {epoch}; epochs count from 0")
    return begin + (end - begin) * epoch / max(epochs - 1, 1)
