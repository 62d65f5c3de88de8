"""What an extraction would take, from a few batches of it: nothing is written."""

import resource
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from maxsup_analysis.extraction import Extractor, batches_of
from maxsup_analysis.feature_store.request import missing_shards, partial_of
from maxsup_analysis.feature_store.reuse import is_made
from maxsup_analysis.features import Extraction, Prepared, prepared, row_bytes
from maxsup_analysis.forward import ForwardPass
from maxsup_analysis.loading import ending_workers
from maxsup_analysis.progress import Meter, duration

# Batches that are timed, after one that warms up.
TIMED = 4


@dataclass(frozen=True)
class Rehearsal:
    """What was found. seconds: for the rows to do, on this rank; memory: bytes, of the process or of the device."""

    target: Path
    rows: int
    shards: int
    shards_to_do: int
    bytes: int
    free: int
    memory: int
    device: str
    batch_size: int
    workers: int
    dimensions: int
    logits: int
    speed: str
    seconds: float

    def to_text(self) -> str:
        """A line a fact."""
        lines = {
            "store": str(self.target),
            "rows": f"{self.rows:,} in {self.shards:,} shards, of which {self.shards_to_do:,} are to do here",
            "columns": f"{self.dimensions:,} features, {self.logits:,} logits",
            "disk": f"{self.bytes / 1e9:.3g} GB to write, {self.free / 1e9:.3g} GB free",
            "memory": f"{self.memory / 1e9:.2f} GB of {self.device}: batches of {self.batch_size}, -j {self.workers}",
            "speed": self.speed,
            "time": duration(self.seconds),
        }
        return "\n".join(f"{name:8} {fact}" for name, fact in lines.items())


def rehearse(checkpoint: Path, output: Path | None, how: Extraction) -> Rehearsal:
    """Run a few batches of an extraction and say what all of it would take."""
    ready = prepared(checkpoint, output, how)
    missing = [] if is_made(ready.request) else missing_shards(ready.request, ready.ranks)
    rows = sum(len(ready.request.ids(number)) for number in missing)
    with ForwardPass(ready.classifier, ready.device, how.precision) as forward:
        extractor = ready.extractor(forward, how)
        meter = _timed(extractor, len(ready.data))
        size = row_bytes(forward, how.storage)
        return Rehearsal(
            target=ready.request.target,
            rows=len(ready.data),
            shards=ready.request.shards,
            shards_to_do=len(missing),
            bytes=rows * size,
            free=shutil.disk_usage(_existing(partial_of(ready.request.target))).free,
            memory=_memory(ready),
            device=str(ready.device),
            batch_size=extractor.batch_size,
            workers=extractor.loader.workers,
            dimensions=forward.D,
            logits=forward.K if how.storage.logits else 0,
            speed=meter.summary,
            seconds=rows / meter.rate,
        )


def _timed(extractor: Extractor, samples: int) -> Meter:
    """The speed of a few batches; the first only warms up, where there are more."""
    wanted = batches_of(range(samples), extractor.batch_size)[: TIMED + 1]
    meter = Meter("rehearsal", samples)
    with ending_workers():
        for place, _ in enumerate(meter.timed_steps(extractor.batches(wanted, meter), "model")):
            if place == 0 and len(wanted) > 1:
                meter.restart()
            else:
                meter.rows += len(wanted[place])
    return meter


def _memory(ready: Prepared) -> int:
    """The peak of this process, or of the GPU."""
    if ready.device.type == "cuda":
        return torch.cuda.max_memory_allocated(ready.device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _existing(path: Path) -> Path:
    return next(folder for folder in path.absolute().parents if folder.is_dir())
