"""What the training loop adds to a bare PyTorch loop: pairs of runs in turn, and the median of their ratios.

    python benchmarks/training.py            prints a Markdown table; about six minutes on one core

Both train the same model from the same first weights on the same images in batches of the same size, by SGD with
Nesterov momentum and cross entropy, without augmentation, channels last, with one thread. The bare loop has nothing
else: images are normalised beforehand, nothing is recorded, checked or kept. Ours is what `train` takes for one epoch
more than so many, less what it takes for one. These are seconds of the processor, which other programs do not change.
The last case is by the clock: `train` with a state, written after every epoch, against without. The first pair is left
out. Lines go to stderr as they come.
"""

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from maxsup_analysis.architectures.small import ARCHITECTURES
from maxsup_analysis.training import TrainingPlan, train

PAIRS = 7


@dataclass(frozen=True)
class Case:
    """A network on random images of one size."""

    title: str
    model: str
    size: tuple[int, int, int]
    count: int
    batch: int
    epochs: int

    def plan(self, folder: Path) -> TrainingPlan:
        """Ours, on a file of the images."""
        C, H, W = self.size
        images = np.random.default_rng(0).integers(0, 256, (self.count, H, W, C), dtype=np.uint8)
        np.savez(
            folder / "images.npz",
            images=images if C > 1 else images[..., 0],
            labels=np.arange(self.count) % 10,
        )
        return TrainingPlan(
            data=str(folder / "images.npz"), split="all", model=self.model, batch_size=self.batch,
            epochs=self.epochs, learning_rate=0.05, schedule="constant",
        )  # fmt: skip

    def normalised(self, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels as the bare loop takes them."""
        with np.load(folder / "images.npz", allow_pickle=False) as arrays:
            images, labels = (torch.from_numpy(arrays[name]) for name in ("images", "labels"))
        images = images.float().view(self.count, *self.size[1:], self.size[0]).movedim(3, 1)
        return ((images - images.mean()) / images.std()).contiguous(memory_format=torch.channels_last), labels

    def bare(self, folder: Path) -> float:
        """Seconds of the loop by itself."""
        images, labels = self.normalised(folder)
        torch.manual_seed(0)
        model = ARCHITECTURES[self.model](self.size[0], 10).to(memory_format=torch.channels_last)
        loss = nn.CrossEntropyLoss()
        optimiser = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True)
        began = time.process_time()
        for _ in range(self.epochs):
            for chosen in torch.randperm(self.count).split(self.batch):
                optimiser.zero_grad()
                loss(model(images[chosen]), labels[chosen]).backward()
                optimiser.step()
        return time.process_time() - began


def ours(plan: TrainingPlan, folder: Path) -> float:
    """Seconds of the epochs of `train`, without what comes before and after them."""
    one, more = (replace(plan, epochs=epochs) for epochs in (1, plan.epochs + 1))
    times = []
    for each in (one, more):
        began = time.process_time()
        train(each, folder / "x.pt")
        times.append(time.process_time() - began)
    return times[1] - times[0]


def against_bare(case: Case) -> str:
    """A row: the bare loop, and the epochs of train."""
    with tempfile.TemporaryDirectory() as name:
        plan = case.plan(Path(name))
        pairs = [(case.bare(Path(name)), ours(plan, Path(name))) for _ in range(PAIRS + 1)]
    return row(f"{case.title} | a bare loop, the epochs of train", pairs[1:])


def with_a_state(case: Case) -> str:
    """A row: train without a state, and with it."""
    with tempfile.TemporaryDirectory() as name:
        plan, pairs = case.plan(Path(name)), []
        for _ in range(PAIRS + 1):
            times = []
            for state in (None, Path(name) / "x.state"):
                began = time.perf_counter()
                train(plan, Path(name) / "x.pt", state=state)
                times.append(time.perf_counter() - began)
            pairs.append((times[0], times[1]))
    return row(f"{case.title} | train without a state, with it", pairs[1:])


def row(title: str, pairs: list[tuple[float, float]]) -> str:
    """Markdown: medians, and the median of the ratios with its range."""
    ratios = sorted(mine / base for base, mine in pairs)
    base, mine = (median(column) for column in zip(*pairs, strict=True))
    line = f"| {title} | {base:.2f} s | {mine:.2f} s | {median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}) |"
    print(line, file=sys.stderr)
    return line


def main() -> None:
    """All cases."""
    torch.set_num_threads(1)
    digits = Case(
        "small CNN, 1 x 8 x 8, 1,197 images, batch 64, 5 epochs", "small_cnn", (1, 8, 8), 1197, 64, 5
    )
    resnet = Case(
        "ResNet-20, 3 x 32 x 32, 512 images, batch 64, 1 epoch", "cifar_resnet20", (3, 32, 32), 512, 64, 1
    )
    print("| case | what against what | the first | the second | ratio, median (range) |")
    print("|---|---|---|---|---|")
    print(against_bare(digits))
    print(against_bare(resnet))
    print(with_a_state(digits))


if __name__ == "__main__":
    main()
