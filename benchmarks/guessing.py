"""How long a guess takes, from a cold start and warm; prints a Markdown table.

Run: python benchmarks/guessing.py
"""

import subprocess
import sys
import time
from collections.abc import Callable

import torch

from maxsup_analysis.architectures.build import build_module
from maxsup_analysis.architectures.guess import describe, guess, nearest
from maxsup_analysis.architectures.known import index

NAMES = (
    "torchvision/resnet50",
    "timm/vit_small_patch16_224",
    "timm/convnext_large",
    "timm/maxvit_base_tf_512",
)
COLD = "import sys; from maxsup_analysis.architectures.guess import guess; guess({'conv1.weight': (64, 3, 7, 7)})"


def milliseconds(call: Callable[[], object]) -> float:
    """The least of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes, built without memory."""
    with torch.device("meta"):
        return {key: tuple(tensor.shape) for key, tensor in build_module(name, {}).state_dict().items()}


def figures(given: dict[str, tuple[int, ...]]) -> list[float]:
    """Milliseconds of each column."""
    strange = {**given, "strange.weight": (3, 3)}
    calls = (lambda: guess(given), lambda: guess(strange), lambda: nearest(strange), lambda: describe(given))
    return [milliseconds(call) for call in calls]


def main() -> None:
    """Prints the table."""
    print(f"start Python: {milliseconds(lambda: subprocess.run([sys.executable, '-c', 'pass'])):.0f} ms")
    print(f"... and guess: {milliseconds(lambda: subprocess.run([sys.executable, '-c', COLD])):.0f} ms")
    print(f"read the index: {milliseconds(lambda: (index.cache_clear(), index())):.0f} ms\n")
    print(
        "| names and shapes of | guess, ms | no fit, ms | nearest, ms | describe, ms |\n|---|---|---|---|---|"
    )
    for name in NAMES:
        print(f"| {name} | {' | '.join(f'{figure:.1f}' for figure in figures(shapes_of(name)))} |")


if __name__ == "__main__":
    main()
