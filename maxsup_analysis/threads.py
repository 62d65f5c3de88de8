"""Threads of Python that each have one thread of torch; what they compute comes in order.

Products in float32 are rounded otherwise with another number of torch's threads, and what is measured must not depend
on the machine's cores.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar, runtime_checkable

import torch

from maxsup_analysis.surroundings import cores, torch_threads, work_alone

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Item = TypeVar("Item")
# A block has some 100 MB of matrices while it is looked at.
MOST_THREADS = 8
LARGE = 2**25 - 2**16  # just below the largest piece that glibc would learn from


@runtime_checkable
class Pending(Protocol[T_co]):
    """A result to come, as of a thread pool or of a cluster."""

    def result(self) -> T_co:
        """Wait for it; raises what the computation raised."""
        ...

    def cancel(self) -> object:
        """Give it up."""
        ...


def threaded(function: Callable[[Item], T], items: Iterable[Item], threads: int | None = None) -> Iterator[T]:
    """What the function makes of each item, in their order, as many at once as there are threads.

    threads: one a core by default, up to 8. Raises what an item raises when its turn comes; those after it are given
    up.
    """
    number = threads or min(cores(), MOST_THREADS)
    with one_torch_thread(), ThreadPoolExecutor(number, initializer=work_alone) as pool:

        def submit(item: Item) -> Pending[T]:
            return pool.submit(function, item)

        yield from in_order(submit, items, ahead=number)


def in_order(submit: Callable[[Item], Pending[T]], items: Iterable[Item], *, ahead: int) -> Iterator[T]:
    """Results in the order of the items, `ahead` of them under way while one is looked at."""
    waiting: deque[Pending[T]] = deque()
    try:
        for item in items:
            waiting.append(submit(item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for pending in waiting:
            pending.cancel()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """One thread within an operation of torch, and memory that is kept for the next tile.

    torch's number of threads is one for the whole process, and is put back. As to memory, glibc gives pieces of the
    size of a tile back to the system, to fetch them again at once, until it has seen a larger one freed: some 30 % of
    the time of a sweep.
    """
    with torch_threads(1):
        torch.empty(LARGE, dtype=torch.uint8)
        yield
