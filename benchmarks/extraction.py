"""What extraction adds to the forward pass: pairs of runs in turn, and the median of their ratios.

    python benchmarks/extraction.py            prints a Markdown table; about ten minutes on two cores

In memory: batches that are normalised already go through the model in a bare loop, against the whole of an extraction
(normalise, forward, copy, check, hash, write, sync, finish the store). From JPEGs: the slower of decoding and of the
model, each alone, against the whole. Where there is CUDA the model runs there. Lines go to stderr as they come.
"""

import io
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
from PIL import Image

from maxsup_analysis.architectures.small import small_cnn
from maxsup_analysis.checkpoints import save_checkpoint
from maxsup_analysis.extraction import batches_of
from maxsup_analysis.feature_store.building import building
from maxsup_analysis.features import Extraction, Prepared, prepared
from maxsup_analysis.forward import ForwardPass, Precision
from maxsup_analysis.progress import Meter

PAIRS = 5
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Case:
    """A network on images of one size. threads: of the model; workers: that decode."""

    title: str
    architecture: str
    size: tuple[int, int, int]
    count: int
    batch: int
    threads: int = 2
    workers: int = 0

    def checkpoint(self, folder: Path) -> Path:
        """A network of random weights that says what it is."""
        torch.manual_seed(0)
        channels = self.size[0]
        if self.architecture == "small_cnn":
            module, arguments = small_cnn(channels, 10), {"channels": channels, "classes": 10}
        else:
            module, arguments = (
                torchvision.models.get_model(self.architecture.rpartition("/")[2], num_classes=100),
                {"num_classes": 100},
            )
        metadata = {
            "architecture": {"name": self.architecture, "arguments": arguments},
            "preprocessing": {"size": list(self.size), "mean": [0.5] * channels, "std": [0.25] * channels},
        }
        save_checkpoint(folder / "net.pt", module.state_dict(), metadata)
        return folder / "net.pt"

    def arrays(self, folder: Path) -> Path:
        """An .npz of random images of the model's size."""
        channels, height, width = self.size
        shape = (self.count, height, width, channels) if channels > 1 else (self.count, height, width)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        classes = 10 if self.architecture == "small_cnn" else 100
        np.savez(folder / "images.npz", images=images, labels=np.arange(self.count) % classes)
        return folder / "images.npz"

    def photographs(self, folder: Path) -> Path:
        """Folders of JPEGs of 320 x 240: smooth colours with some noise, 100 of them under many names."""
        noise = np.random.default_rng(0)
        for number in range(self.count):
            place = folder / "images" / f"{number % 100:02d}" / f"{number:06d}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            if number < 100:
                coarse = Image.fromarray(noise.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
                    (320, 240)
                )
                grain = noise.integers(-20, 20, (240, 320, 3))
                pixels = (np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
                kept.append(buffer.getvalue())
            place.write_bytes(kept[number % 100])
        return folder / "images"


kept: list[bytes] = []


class Bench:
    """One case, opened: its network on the device, its data, and a place for stores."""

    def __init__(self, case: Case, folder: Path, *, jpegs: bool) -> None:
        self.case, self.folder = case, folder
        checkpoint = case.checkpoint(folder)
        data = case.photographs(folder) if jpegs else case.arrays(folder)
        self.how = Extraction(data=str(data), batch_size=case.batch, workers=case.workers, device=DEVICE)
        self.ready: Prepared = prepared(checkpoint, folder / "s.features", self.how)
        self.wanted = batches_of(range(case.count), case.batch)

    def whole(self, forward: ForwardPass) -> None:
        """All of an extraction, from the first image to the store in its place."""
        with building(self.ready.request, self.ready.ranks) as build:
            self.ready.extractor(forward, self.how).run(build, Meter("bench", self.case.count))
            assert build.finish() is not None
        shutil.rmtree(self.ready.request.target)

    def images(self, count: int) -> list[torch.Tensor]:
        """Batches on the device, normalised, in the layout that the network likes."""
        reader, images = self.ready.data.reader(self.ready.classifier.preprocessing), []
        for ids in self.wanted[:count]:
            pixels = reader.fetch(ids).images.to(DEVICE)
            prepared_images = self.ready.classifier.preprocessing.normalised(pixels)
            images.append(prepared_images.contiguous(memory_format=torch.channels_last))
        return images

    def bare(self, batches: list[torch.Tensor]) -> None:
        """The network on batches that are there already, as often as the data have batches."""
        module = self.ready.classifier.module
        with torch.inference_mode():
            for number in range(len(self.wanted)):
                module(batches[number % len(batches)])
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    def decoding(self) -> None:
        """The images, and nothing done with them."""
        with ForwardPass(self.ready.classifier, torch.device("cpu"), Precision()) as forward:
            loader = self.ready.extractor(forward, self.how).loader
        for _ in loader.batches(self.wanted):
            pass


def seconds(work: Callable[[], None]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_memory(case: Case) -> str:
    """A row: a bare loop against the whole."""
    with ExitStack() as open_:
        bench = Bench(case, Path(open_.enter_context(tempfile.TemporaryDirectory())), jpegs=False)
        forward = open_.enter_context(ForwardPass(bench.ready.classifier, bench.ready.device, Precision()))
        batches = bench.images(len(bench.wanted))
        pairs = [
            (seconds(lambda: bench.bare(batches)), seconds(lambda: bench.whole(forward)))
            for _ in range(PAIRS + 1)
        ][1:]
    return row(case, "a bare loop", pairs)


def from_jpegs(case: Case) -> str:
    """A row: the slower of decoding and model against the whole."""
    with ExitStack() as open_:
        bench = Bench(case, Path(open_.enter_context(tempfile.TemporaryDirectory())), jpegs=True)
        forward = open_.enter_context(ForwardPass(bench.ready.classifier, bench.ready.device, Precision()))
        batches = bench.images(1)
        pairs = []
        for _ in range(PAIRS + 1):
            decoding, model = seconds(bench.decoding), seconds(lambda: bench.bare(batches[:1]))
            pairs.append((max(decoding, model), seconds(lambda: bench.whole(forward))))
            print(f"  decoding {decoding:.2f} s, model {model:.2f} s", file=sys.stderr)
    return row(case, "the slower of decoding and model", pairs[1:])


def row(case: Case, against: str, pairs: list[tuple[float, float]]) -> str:
    """Markdown: medians, and the median of the ratios with its range."""
    ratios = sorted(whole / base for base, whole in pairs)
    base, whole = (median(column) for column in zip(*pairs, strict=True))
    line = (
        f"| {case.title} | {against} | {base:.2f} s | {whole:.2f} s | {median(ratios):.3f} "
        f"({ratios[0]:.3f} to {ratios[-1]:.3f}) |"
    )
    print(line, file=sys.stderr)
    return line


def main() -> None:
    """All cases."""
    print("| case | against | it takes | extraction takes | ratio, median (range) |")
    print("|---|---|---|---|---|")
    torch.set_num_threads(2)
    print(
        in_memory(Case("ResNet-18, 3 x 64 x 64, 2,048 images", "torchvision/resnet18", (3, 64, 64), 2048, 64))
    )
    print(in_memory(Case("small CNN, 1 x 28 x 28, 10,000 images", "small_cnn", (1, 28, 28), 10_000, 256)))
    print(in_memory(Case("small CNN, 1 x 8 x 8, 120,000 images", "small_cnn", (1, 8, 8), 120_000, 256)))
    torch.set_num_threads(1)
    jpegs = "JPEGs of 320 x 240, one core each for decoding and model"
    print(
        from_jpegs(Case(f"ResNet-18 at 112, {jpegs}", "torchvision/resnet18", (3, 112, 112), 800, 64, 1, 1))
    )
    print(from_jpegs(Case(f"ResNet-18 at 32, {jpegs}", "torchvision/resnet18", (3, 32, 32), 3000, 64, 1, 1)))


if __name__ == "__main__":
    main()
