"""How many rows a second one core sweeps over: `python benchmarks/sweeps.py` prints a table for docs/scale.md.

With --dask ADDRESS the sweeps run on a cluster, whose workers have to see the temporary folder (TMPDIR).
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from maxsup_analysis.feature_store import Batch, ContentKey, StorePlan, write_store
from maxsup_analysis.feature_store.store import ShardReader
from maxsup_analysis.gathering import gather, moments_of
from maxsup_analysis.influence import influences
from maxsup_analysis.linearisation import linearise
from maxsup_analysis.metrics.groups import chosen
from maxsup_analysis.representation import Head, class_numbers, represent
from maxsup_analysis.rows import Blocks
from maxsup_analysis.sweeps import DaskBlocks, ThreadedBlocks
from maxsup_analysis.wanted import Wanted


def batches(rows: int, head: Head) -> Iterator[Batch]:
    """Gaussian classes around the rows of the head, in float16, without logits."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, rows, 4096):
        ids = torch.arange(start, min(start + 4096, rows))
        labels = torch.randint(len(head.weight), ids.shape, generator=generator)
        noise = torch.randn(len(ids), head.weight.shape[1], generator=generator)
        yield Batch(ids, labels, (head.weight[labels] + noise).half())


@dataclass(frozen=True)
class Clock:
    """What a step took; processor seconds are this process's, and say more where others use the machine too."""

    wall: float
    processor: float

    @classmethod
    def now(cls) -> "Clock":
        """As it is."""
        return cls(time.perf_counter(), time.process_time())

    def report(self, step: str, rows: int) -> "Clock":
        """Print the time since, and start anew."""
        now = self.now()
        wall, processor = now.wall - self.wall, now.processor - self.processor
        print(
            f"{step:48s} {wall:7.2f} s {processor:7.2f} CPU s {rows / processor:9,.0f} rows/CPU s", flush=True
        )
        return self.now()


def sweep(blocks: Blocks, head: Head, rows: int) -> None:
    """The three sweeps of the standard suite, and what is done once between them."""
    metrics = chosen(["standard"])
    clock = Clock.now()
    representation = represent(blocks, class_names=class_numbers(len(head.weight)), head=head)
    clock = clock.report("class means", rows)
    gathered = gather(representation, Wanted.by(metrics, rows, errors=True))
    clock = clock.report("sums", rows)
    representation = replace(representation, moments=moments_of(representation, gathered))
    entries = linearise(representation, gathered, None, metrics, errors=True)
    clock = clock.report("all gradients, which are once", rows)
    smooth = [entry for entry in entries if entry.gradient is not None]
    influences(representation, gathered.kept, None, smooth)
    clock.report(f"influences on {len(smooth)} metrics", rows)


def main() -> None:
    """Print rows a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16 * 4096)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--dask")
    given = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    head = Head(torch.randn(given.classes, given.features, generator=generator).double())
    with tempfile.TemporaryDirectory() as folder:
        plan = StorePlan(ContentKey({}), class_numbers(given.classes), head, {})
        readers: tuple[ShardReader, ...] = write_store(
            Path(folder) / "store", batches(given.rows, head), plan
        ).readers
        blocks = ThreadedBlocks(readers, 1) if given.dask is None else DaskBlocks(readers, given.dask)
        sweep(blocks, head, given.rows)


if __name__ == "__main__":
    main()
