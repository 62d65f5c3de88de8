"""Sweeps over rows that are on disk: with threads on this machine, or on a Dask cluster.

Either is given one reader a shard, keeps the results in the order of the shards, and adds sums in the order of
`sums.added`: neither the number of threads nor that of workers changes a number.
"""

import asyncio
import logging
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from operator import add, iadd
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast, runtime_checkable

from maxsup_analysis.errors import InputError
from maxsup_analysis.rows import Blocks, Rows
from maxsup_analysis.sums import RUN, Sum, added
from maxsup_analysis.threads import Pending, in_order, one_torch_thread, threaded
from maxsup_analysis.version import __version__

if TYPE_CHECKING:
    from distributed import Client
    from tornado.ioloop import IOLoop

T = TypeVar("T")
Reader = Callable[[], Rows]
PATIENCE = 10  # seconds until a scheduler, or a worker, has to be there
PACKAGE = "maxsup-analysis"
START = "start one with `dask scheduler`, and workers with `dask worker ADDRESS`"


def blocks_of(readers: Sequence[Reader], dask: str | None = None) -> Blocks:
    """One block a reader, swept here or, given the address or file of a Dask scheduler, on its workers."""
    return ThreadedBlocks(tuple(readers)) if dask is None else DaskBlocks(tuple(readers), dask)


@dataclass(frozen=True)
class ThreadedBlocks:
    """Blocks that are read and swept by threads; as many blocks as threads are in memory at once.

    threads: one a core by default, up to 8.
    """

    readers: tuple[Reader, ...]
    threads: int | None = None

    def __iter__(self) -> Iterator[Rows]:
        return _one_by_one(self.readers)

    def map(self, function: Callable[[Rows], T]) -> Iterator[T]:
        """Raises what a block raises when its turn comes; the blocks after it are given up."""
        return threaded(partial(_applied, function), self.readers, self.threads)

    def total(self, function: Callable[[Rows], Sum]) -> Sum | None:
        """The sum of what the function makes of each block."""
        return added(self.map(function))


def _applied(function: Callable[[Rows], T], reader: Reader) -> T:
    found = function(reader())
    _require_unchanged(reader)
    return found


def _one_by_one(readers: Sequence[Reader]) -> Iterator[Rows]:
    for reader in readers:
        yield reader()
        _require_unchanged(reader)


@runtime_checkable
class OfFile(Protocol):
    """A reader of a file that is mapped into memory, where it may change while its rows are looked at."""

    def require_unchanged(self) -> None:
        """Raise InputError where the file is not what it was."""
        ...


def _require_unchanged(reader: Reader) -> None:
    if isinstance(reader, OfFile):
        reader.require_unchanged()


@dataclass(frozen=True)
class Sweep(Generic[T]):
    """What every worker needs, sent to each of them once: tasks then name shards by number."""

    function: Callable[[Rows], T]
    readers: tuple[Reader, ...]

    def block(self, n: int) -> T:
        """What the function makes of shard n."""
        with one_torch_thread():
            rows = self._rows(n)
            found = self.function(rows)
        _require_unchanged(self.readers[n])
        return found

    def _rows(self, n: int) -> Rows:
        try:
            return self.readers[n]()
        except (InputError, OSError) as reason:
            raise InputError(
                f"a worker on {platform.node()} cannot read the feature store ({reason}); with --dask it has to "
                "be on a file system that all workers share, under the same absolute path"
            ) from None


def _sum_of_run(sweep: Sweep[Sum], start: int) -> Sum:
    """The sum over the run of shards that begins there, added as in `sums.added`."""
    return reduce(iadd, map(sweep.block, range(start, min(start + RUN, len(sweep.readers)))))


def _sum(parts: Sequence[Sum]) -> Sum:
    # Not in place: they are the scheduler's, who may ask for them again.
    return reduce(add, parts)


@dataclass(frozen=True)
class DaskBlocks:
    """Blocks that are read and swept by the workers of a Dask cluster, which see the same files.

    scheduler: its address, such as tcp://host:8786, or the file that it was started with.
    """

    readers: tuple[Reader, ...]
    scheduler: str

    def __iter__(self) -> Iterator[Rows]:
        return _one_by_one(self.readers)

    def map(self, function: Callable[[Rows], T]) -> Iterator[T]:
        """Results come back to this machine, two for each thread of the cluster ahead of their turn."""
        with _cluster(self.scheduler) as cluster:
            sweep = cluster.scatter(Sweep(function, self.readers), broadcast=True, hash=False)
            threads = sum(cast("dict[str, int]", cluster.nthreads()).values())

            def submit(n: int) -> Pending[T]:
                return cluster.submit(Sweep[T].block, sweep, n, pure=False)

            yield from in_order(submit, range(len(self.readers)), ahead=2 * threads)

    def total(self, function: Callable[[Rows], Sum]) -> Sum | None:
        """Workers add runs of shards, runs of runs and so on; one sum comes back."""
        if not self.readers:
            return None
        with _cluster(self.scheduler) as cluster:
            sweep = cluster.scatter(Sweep(function, self.readers), broadcast=True, hash=False)
            starts = range(0, len(self.readers), RUN)
            sums, level = [cluster.submit(_sum_of_run, sweep, start, pure=False) for start in starts], 0
            while len(sums) > 1:
                level += 1
                runs = [sums[start : start + RUN] for start in range(0, len(sums), RUN)]
                # Before further shards are read, so that few sums are in memory.
                sums = [cluster.submit(_sum, run, pure=False, priority=level) for run in runs]
            return sums[0].result()


@contextmanager
def _cluster(scheduler: str) -> Iterator["Client"]:
    """A connection for one sweep; raises InputError where there is none, or no worker of this version."""
    try:
        from distributed import CancelledError, Client, KilledWorker
    except ModuleNotFoundError:
        raise InputError(f"--dask needs Dask; install it with `pip install '{PACKAGE}[dask]'`") from None
    try:
        with (
            _quiet("distributed.client"),
            _running_loop() as loop,
            _connected(Client, scheduler, loop) as client,
        ):
            _require_same_version(client)
            yield client
    except KilledWorker as reason:
        raise InputError(
            f"workers of the Dask cluster died (the last was {reason.last_worker.address}), most likely out of "
            "memory; give them more"
        ) from None
    except CancelledError:
        raise InputError(f"the Dask scheduler at {scheduler} was lost; measure again") from None


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without the log of a part of Dask: its tracebacks of a lost connection are one line of ours."""
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def _running_loop() -> Iterator["IOLoop"]:
    """A loop in a thread, which ends with the sweep. That of Dask goes on where there is no scheduler."""
    from tornado.ioloop import IOLoop

    started: Future[tuple[IOLoop, asyncio.Event]] = Future()

    async def run() -> None:
        stopped = asyncio.Event()
        started.set_result((IOLoop.current(), stopped))
        await stopped.wait()

    thread = Thread(target=lambda: asyncio.run(run()), name="loop of the Dask client", daemon=True)
    thread.start()
    loop, stopped = started.result()
    try:
        yield loop
    finally:
        loop.add_callback(stopped.set)
        thread.join()


def _connected(client: "type[Client]", scheduler: str, loop: "IOLoop") -> "Client":
    class Closing(client):  # type: ignore[misc, valid-type]
        """One that is closed at once where it cannot start.

        Left open, Dask closes it when it is collected as garbage, with a lock that the next client may hold at that
        moment while it waits: for ever, or for ten seconds that end with an AssertionError.
        """

        def start(self, **options: object) -> None:
            try:
                super().start(**options)
            except BaseException:
                self.close()
                raise

    address, file = (None, scheduler) if Path(scheduler).is_file() else (scheduler, None)
    try:
        return Closing(address, scheduler_file=file, timeout=PATIENCE, set_as_default=False, loop=loop)
    except (OSError, ValueError):
        raise InputError(
            f"expected a Dask scheduler at {scheduler} (an address such as tcp://host:8786, or its scheduler "
            f"file), reached none within {PATIENCE} seconds; {START}"
        ) from None


def _require_same_version(client: "Client") -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise InputError(f"the Dask scheduler has no workers after {PATIENCE} seconds; {START}") from None
    versions = cast("dict[str, dict]", client.get_versions(packages=[PACKAGE]))
    for address, found in versions["workers"].items():
        version = found["packages"][PACKAGE]
        if version != __version__:
            raise InputError(
                f"expected {PACKAGE} {__version__} on every worker, {address} has {version or 'none'}; "
                f"run `pip install '{PACKAGE}[dask]=={__version__}'` there"
            )
