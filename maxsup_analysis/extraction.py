"""From images to a feature store: every sample once, shard by shard, resumable at any moment."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import cycle

import torch

from maxsup_analysis.class_fit import Confusions
from maxsup_analysis.datasets import Samples
from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import SHARD, Batch, Skipped
from maxsup_analysis.feature_store.building import StoreBuild
from maxsup_analysis.forward import Batched, ForwardPass
from maxsup_analysis.loading import Loader, ending_workers
from maxsup_analysis.progress import Meter

STORED = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
NOT_FINITE = "features or logits are NaN or infinity"


@dataclass(frozen=True)
class Storage:
    """How rows are kept.

    logits: whether they are kept too. skip: whether samples that cannot be used are left out, else they are an error.
    shard: how many samples a file holds.
    """

    dtype: str = "float32"
    logits: bool = True
    skip: bool = False
    shard: int = SHARD

    def __post_init__(self) -> None:
        if self.dtype not in STORED:
            raise InputError(f"expected --dtype {', '.join(STORED)}, got {self.dtype!r}")


@dataclass
class Tally:
    """What came by: it counts during a run, and is looked at when the run is over."""

    rows: int = 0
    right: int = 0
    rotated: int = 0
    confusions: Confusions = field(default_factory=Confusions)


@dataclass(frozen=True)
class ShardInHand:
    """The rows of one shard, and what could not be read of it."""

    number: int
    rows: Batch
    skipped: tuple[Skipped, ...]


class ShardBuffer:
    """Room for the rows of a shard, filled batch by batch; used again, so that memory does not fragment."""

    def __init__(self, size: int, D: int, K: int) -> None:
        numbers = torch.empty(2, size, dtype=torch.int64)
        self.room = Batch(numbers[0], numbers[1], torch.empty(size, D), torch.empty(size, K))
        self.filled = 0

    def add(self, batch: Batch) -> None:
        """Put rows behind those that are there."""
        rows = slice(self.filled, self.filled + len(batch))
        for name, column in batch.tensors().items():
            getattr(self.room, name)[rows] = column
        self.filled = rows.stop

    def taken(self) -> Batch:
        """The rows, which last until the buffer is filled again."""
        rows, self.filled = slice(0, self.filled), 0
        return self.room.rows(rows)


@dataclass(frozen=True)
class Extractor:
    """Everything that turns samples into shards."""

    data: Samples
    forward: ForwardPass
    loader: Loader
    storage: Storage
    batch_size: int

    def run(self, build: StoreBuild, meter: Meter) -> Tally:
        """Write the shards that are missing; one is written while the next is computed."""
        tally = Tally()
        # Closed, so that what reads images ends before this process does, whatever is interrupted where.
        in_turn = closing(self._shards(build, meter, tally))
        with ending_workers(), in_turn as shards, meter.running(), OneBehind() as behind:
            for shard in shards:
                with meter.timed("writing"):
                    behind.hand_over(lambda shard=shard: self._write(build, shard))
            with meter.timed("writing"):
                behind.wait()
        return tally

    def batches(self, wanted: list[range], meter: Meter) -> Iterator[Batched]:
        """Features and logits of lists of ids."""
        return self.forward.batches(meter.timed_steps(self.loader.batches(wanted), "data"))

    def _shards(self, build: StoreBuild, meter: Meter, tally: Tally) -> Generator[ShardInHand, None, None]:
        """The shards of this rank as they come: one stream of batches, so that workers do not rest in between."""
        wanted = [
            (number, ids)
            for number in build.missing
            for ids in batches_of(build.request.ids(number), self.batch_size)
        ]
        outputs = meter.timed_steps(self.batches([ids for _, ids in wanted], meter), "model")
        # One is filled while the other is written.
        buffers = cycle(ShardBuffer(self.storage.shard, self.forward.D, self.forward.K) for _ in range(2))
        buffer, skipped = next(buffers), []
        for place, ((number, ids), batched) in enumerate(zip(wanted, outputs, strict=True)):
            skipped += self._unreadable(batched)
            buffer.add(self._labelled(batched, tally))
            meter.advance(len(ids))
            if place + 1 == len(wanted) or wanted[place + 1][0] != number:
                yield ShardInHand(number, buffer.taken(), tuple(skipped))
                buffer, skipped = next(buffers), []

    def _labelled(self, batched: Batched, tally: Tally) -> Batch:
        ids = batched.fetched.ids
        labels = self.data.labels[ids]
        tally.rows += len(ids)
        if len(ids):
            predicted = batched.logits.argmax(1)
            tally.right += int((predicted == labels).sum())
            tally.confusions.add(labels, predicted)
        tally.rotated += batched.fetched.rotated
        return Batch(ids, labels, batched.features, batched.logits)

    def _unreadable(self, batched: Batched) -> list[Skipped]:
        found = batched.fetched.unreadable
        if found and not self.storage.skip:
            raise InputError(f"{found[0]}; mend or remove it, or leave such samples out with --on-error skip")
        return [Skipped(one.id, one.name, one.reason) for one in found]

    def _write(self, build: StoreBuild, shard: ShardInHand) -> None:
        """Round, check and write; in the background."""
        whole = shard.rows
        finite = whole.finite
        if not finite.all():
            whole, shard = self._without(whole, finite, shard)
        stored = whole.stored_as(STORED[self.storage.dtype], logits=self.storage.logits)
        if not stored.finite.all():
            first = int(whole.ids[~stored.finite][0])
            raise InputError(
                f"{self.data.called(first)} (sample {first}) is beyond the range of {self.storage.dtype}; store it "
                "with --dtype bfloat16 or float32"
            )
        build.write(shard.number, stored, sorted(shard.skipped, key=lambda one: one.id))

    def _without(self, whole: Batch, finite: torch.Tensor, shard: ShardInHand) -> tuple[Batch, ShardInHand]:
        bad = [
            Skipped(number, self.data.called(number), NOT_FINITE) for number in whole.ids[~finite].tolist()
        ]
        if not self.storage.skip:
            first, more = bad[0], f" and {len(bad) - 1} more near it" if len(bad) > 1 else ""
            raise InputError(
                f"{NOT_FINITE} for {first.name} (sample {first.id}){more}; extract without --amp, or leave such "
                "samples out with --on-error skip"
            )
        return whole.rows(finite), ShardInHand(shard.number, shard.rows, (*shard.skipped, *bad))


def batches_of(ids: range, size: int) -> list[range]:
    """Consecutive ids, `size` at a time.

    Example:
        >>> batches_of(range(10, 15), 2)
        [range(10, 12), range(12, 14), range(14, 15)]
    """
    return [ids[start : start + size] for start in range(0, len(ids), size)]


class OneBehind:
    """Does one thing at a time in the background; what goes wrong there is raised at the next step here."""

    def __enter__(self) -> "OneBehind":
        self.pool, self.future = ThreadPoolExecutor(1), None
        return self

    def __exit__(self, *exception: object) -> None:
        # The shard in hand is finished, whatever happened here.
        self.pool.shutdown(wait=True)

    def hand_over(self, work: Callable[[], None]) -> None:
        """Begin once the one before is done."""
        self.wait()
        self.future: Future[None] | None = self.pool.submit(work)

    def wait(self) -> None:
        """Until it is done; raises what it raised."""
        if self.future is not None:
            self.future.result()
            self.future = None
