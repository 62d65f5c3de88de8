"""Sums of values that add, in an order that depends on their number only."""

from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import islice
from operator import iadd
from typing import Protocol, TypeVar, runtime_checkable

RUN = 16
LEVELS = 8  # enough for 16^8 parts
T = TypeVar("T")


@runtime_checkable
class Adds(Protocol):
    """A value that adds."""

    def __add__(self: T, other: T, /) -> T: ...


Sum = TypeVar("Sum", bound=Adds)


def added(parts: Iterable[Sum]) -> Sum | None:
    """The sum of values that add; None where there are none. They are spent: what adds in place does.

    They are added in runs of 16, the sums of runs again in runs of 16, and so on. So the order depends on
    their number only, and a cluster, whose workers add a run each, comes to the same bits.

    Example:
        >>> added(range(100))
        4950
    """
    values = iter(parts)
    for _ in range(LEVELS):
        values = _sums_of_runs(values)
    return next(values, None)


def _sums_of_runs(parts: Iterator[Sum]) -> Iterator[Sum]:
    """One sum at a time, each in order: no more than a run's sum and the next part are in memory."""
    return (reduce(iadd, islice(parts, RUN - 1), first) for first in parts)
