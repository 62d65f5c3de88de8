"""Images of a model's size, batch by batch in the order asked, decoded by other processes where that helps."""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import numpy as np
import torch
from torch import Tensor

from maxsup_analysis.datasets import Fetched, Reader, Unreadable
from maxsup_analysis.errors import InputError
from maxsup_analysis.progress import say

SHARED_MEMORY = "/dev/shm"
# Batches that a worker has in hand, so that it does not wait for the next one.
IN_HAND = 2
# Seconds after which a batch does not come any more.
PATIENCE = 50
# Numbers of a batch of images, whatever their size: those of 256 images of 3 x 256 x 256.
MOST_IN_A_BATCH = 256 * 3 * 256 * 256
# A process that was spawned, such as one of a study, would spawn its own too: 4 s each, for importing torch.
START = multiprocessing.get_context("fork" if sys.platform == "linux" else None)


@dataclass
class Loader:
    """Reads batches of samples with `workers` processes, or in this one where that is 0; fewer where some die.

    Not frozen: it lowers its number of workers as they are lost. pinned: batches in memory that CUDA can copy from.
    """

    reader: Reader
    workers: int
    pinned: bool = False

    def batches(self, wanted: Sequence[Sequence[int]]) -> Generator[Fetched, None, None]:
        """One Fetched for each list of ids, in their order; its images last until the next one is asked for.

        Raises InputError where workers keep dying.
        """
        done = 0
        while done < len(wanted):
            slots = self._slots(wanted)
            if slots is None:
                yield from (self.reader.fetch(ids) for ids in wanted[done:])
                return
            try:
                for fetched in self._from_workers(wanted[done:], slots):
                    yield fetched
                    done += 1
            except (BrokenProcessPool, TimeoutError) as reason:
                self._go_on_with_fewer(wanted[done:], died=isinstance(reason, BrokenProcessPool))

    def _from_workers(self, wanted: Sequence[Sequence[int]], slots: Tensor) -> Iterator[Fetched]:
        free = deque(range(len(slots)))
        waiting: deque[tuple[int, Future]] = deque()
        with _pool(self.workers, self.reader, slots) as pool:
            for ids in wanted:
                if not free:
                    yield self._arrived(*waiting[0], slots)
                    free.append(waiting.popleft()[0])
                slot = free.popleft()
                waiting.append((slot, pool.submit(_fetch_into, slot, list(ids))))
            for slot, future in waiting:
                yield self._arrived(slot, future, slots)

    def _arrived(self, slot: int, future: Future, slots: Tensor) -> Fetched:
        ids, own, unreadable, rotated = future.result(PATIENCE)
        images = slots[slot, : len(ids)] if own is None else torch.from_numpy(own)
        return Fetched(
            torch.from_numpy(ids), images.pin_memory() if self.pinned else images, unreadable, rotated
        )

    def _slots(self, wanted: Sequence[Sequence[int]]) -> Tensor | None:
        """Shared memory for the batches in hand; as many workers as it has room for, and none where it has none."""
        if self.workers == 0:
            return None
        like = self.reader.fetch(wanted[0][:1]).images
        size = max(map(len, wanted))
        shape = (size, *like.shape[1:])
        self._keep_to_room(like[:0].element_size() * torch.Size(shape).numel())
        try:
            count = IN_HAND * self.workers + 1
            return torch.empty(count, *shape, dtype=like.dtype).share_memory_() if self.workers else None
        except RuntimeError:
            self.workers = 0
            say(
                f"warning: no room in shared memory ({SHARED_MEMORY}); images are decoded without other processes"
            )
            return None

    def _keep_to_room(self, batch: int) -> None:
        if not os.path.isdir(SHARED_MEMORY):
            return
        free = shutil.disk_usage(SHARED_MEMORY).free
        most = max(0, (free // max(batch, 1) - 1) // IN_HAND)
        if most < self.workers:
            self.workers = most
            say(
                f"warning: {SHARED_MEMORY} has {free / 1e6:.0f} MB free, too little for more than {most or 'no'} "
                "processes that decode images; make it larger (--shm-size of containers), or lower --batch-size"
            )

    def _go_on_with_fewer(self, wanted: Sequence[Sequence[int]], *, died: bool) -> None:
        if died and self.workers == 1:
            in_hand = wanted[: IN_HAND + 1]
            raise InputError(
                f"the process that decodes images keeps dying, on one of the samples {in_hand[0][0]} to "
                f"{in_hand[-1][-1]}; find the image that does it with -j 0, or give the machine more memory"
            )
        self.workers //= 2
        cause = "died, as when memory runs out" if died else f"was silent for {PATIENCE} s"
        say(f"warning: a process that decodes images {cause}; going on with {self.workers or 'none'}")


def images_at_once(size: tuple[int, int, int]) -> int:
    """The most images of a size in a batch: large ones would fill the memory, and are as fast in smaller batches.

    Example:
        >>> images_at_once((3, 224, 224)), images_at_once((3, 1024, 1024))
        (334, 16)
    """
    return max(1, MOST_IN_A_BATCH // prod(size))


@contextmanager
def ending_workers() -> Iterator[None]:
    """Processes that begin in the block end with it, whatever was interrupted where."""
    others = set(multiprocessing.active_children())
    try:
        yield
    finally:
        _end(set(multiprocessing.active_children()) - others)


@contextmanager
def _pool(workers: int, reader: Reader, slots: Tensor) -> Iterator[ProcessPoolExecutor]:
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, START, initializer=_begin_worker, initargs=(reader, slots))
    try:
        yield pool
        pool.shutdown()
    finally:
        ended = _end(set(multiprocessing.active_children()) - others)
        # Its thread ends with the workers, and has to before Python does; but some processes cannot be killed.
        pool.shutdown(wait=ended, cancel_futures=True)


def _end(children: set[BaseProcess]) -> bool:
    """End processes, by force where they do not; whether they all have."""
    for child in children:
        child.terminate()
    for child in children:
        if not _has_ended(child):
            child.kill()
    return all(map(_has_ended, children))


def _has_ended(child: BaseProcess) -> bool:
    """Whether it does within some seconds; not by waiting for it, which another thread may do at the same time."""
    return bool(wait([child.sentinel], PATIENCE / 10))


# What a worker works with: it has one reader and one piece of shared memory for its life.
_WORK: dict[str, object] = {}


def _begin_worker(reader: Reader, slots: Tensor) -> None:
    """Signals are the parent's; one thread each, since there are several of these; and no life without the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _WORK.update(reader=reader, slots=slots)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _fetch_into(
    slot: int, ids: list[int]
) -> tuple[np.ndarray, np.ndarray | None, tuple[Unreadable, ...], int]:
    """Read a batch into shared memory; what is unlike the others is sent as it is.

    As arrays: a tensor would go through a socket in a folder of the system's, which a process that is killed leaves.
    """
    reader, slots = _WORK["reader"], _WORK["slots"]
    fetched: Fetched = reader.fetch(ids)  # type: ignore[attr-defined]
    place: Tensor = slots[slot, : len(fetched.ids)]  # type: ignore[index]
    if fetched.images.dtype == place.dtype and fetched.images.shape == place.shape:
        place.copy_(fetched.images)
        return fetched.ids.numpy(), None, fetched.unreadable, fetched.rotated
    return fetched.ids.numpy(), fetched.images.numpy(), fetched.unreadable, fetched.rotated
