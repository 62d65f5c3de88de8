"""Penultimate features beside those of torchvision and timm: how far apart, and the time for both in turn.

python benchmarks/feature_extractors.py     prints a Markdown table; about two minutes on two cores
"""

import time
from collections.abc import Callable
from copy import deepcopy
from statistics import median
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from maxsup_analysis.classifiers import Classifier
from maxsup_analysis.datasets import Fetched
from maxsup_analysis.forward import ForwardPass, Precision
from maxsup_analysis.heads import find_head
from maxsup_analysis.preprocessing import Preprocessing

TORCHVISION = {
    "resnet18": "avgpool", "mobilenet_v2": "classifier.0", "regnet_y_400mf": "avgpool", "vgg11": "classifier.5",
}  # fmt: skip
TIMM = ("resnet18", "vit_tiny_patch16_224", "convnext_atto")
IMAGES = Preprocessing((3, 64, 64), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
COUNT, BATCH, PAIRS = 512, 64, 5


def of_torchvision(name: str) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """A network, and how torchvision gives its penultimate features."""
    module = torchvision.models.get_model(name, weights=None).eval()
    extractor = create_feature_extractor(deepcopy(module), {TORCHVISION[name]: "features"})
    return module, lambda images: extractor(images)["features"].flatten(1)


def of_timm(name: str) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """A network, and how timm gives its penultimate features."""
    options: dict[str, Any] = {"img_size": 64} if name.startswith("vit") else {}
    module: Any = timm.create_model(name, **options).eval()
    other = deepcopy(module)
    return module, lambda images: other.forward_head(other.forward_features(images), pre_logits=True)


def row(title: str, module: nn.Module, theirs: Callable[[Tensor], Tensor]) -> str:
    """Largest difference relative to the largest feature, and the ratio of the times."""
    pixels = torch.randint(0, 256, (COUNT, 3, 64, 64), dtype=torch.uint8)
    head = find_head(module, torch.randn(3, 3, 64, 64))
    classifier = Classifier(title, module, head, 1000, IMAGES, None)

    def run_theirs() -> Tensor:
        with torch.inference_mode():
            return torch.cat([theirs(IMAGES.normalised(part)) for part in pixels.split(BATCH)])

    expected = run_theirs()
    with ForwardPass(classifier, torch.device("cpu"), Precision()) as forward:

        def run_ours() -> Tensor:
            fetched = [Fetched(torch.arange(len(part)), part) for part in pixels.split(BATCH)]
            return torch.cat([batch.features for batch in forward.batches(fetched)])

        gap = float((run_ours() - expected).abs().max() / expected.abs().max())
        pairs = [(seconds(run_theirs), seconds(run_ours)) for _ in range(PAIRS)]
    ratio = median(ours / others for others, ours in pairs)
    theirs_takes, ours_takes = (median(column) for column in zip(*pairs, strict=True))
    return f"| {title} | {gap:.1e} | {theirs_takes:.2f} s | {ours_takes:.2f} s | {ratio:.2f} |"


def seconds(work: Callable[[], Tensor]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """All networks, of random weights."""
    torch.manual_seed(0)
    print("| network | largest difference | theirs | ours | ratio of times, median |")
    print("|---|---|---|---|---|")
    for name in TORCHVISION:
        print(row(f"torchvision {name}", *of_torchvision(name)), flush=True)
    for name in TIMM:
        print(row(f"timm {name}", *of_timm(name)), flush=True)


if __name__ == "__main__":
    main()
