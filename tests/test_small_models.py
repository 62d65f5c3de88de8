"""Tests for the small classifiers: published sizes, any image, both heads, the package's own way in and out."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from maxsup_analysis.architectures.small import ARCHITECTURES, CosineHead, Residual
from maxsup_analysis.checkpoints import open_checkpoint, save_checkpoint
from maxsup_analysis.classifiers import classifier_of
from maxsup_analysis.errors import InputError

# He et al. 2016, Table 6; ResNet-18 with a CIFAR stem is 11.17 M in the field's repositories.
PUBLISHED = {"cifar_resnet20": 0.27, "cifar_resnet32": 0.46, "cifar_resnet56": 0.85, "cifar_resnet18": 11.17}


@pytest.mark.parametrize(("name", "millions"), PUBLISHED.items())
def test_published_sizes(name: str, millions: float):
    module = ARCHITECTURES[name](channels=3, classes=10)
    assert round(sum(parameter.numel() for parameter in module.parameters()) / 1e6, 2) == millions


def test_depth_is_the_number_of_layers_with_weights():
    for depth in (20, 32, 56):
        module = ARCHITECTURES[f"cifar_resnet{depth}"](channels=3, classes=10)
        assert sum(isinstance(part, torch.nn.Conv2d | torch.nn.Linear) for part in module.modules()) == depth


@pytest.mark.parametrize("name", ["small_cnn", "cifar_resnet20", "cifar_resnet18"])
@pytest.mark.parametrize("side", [8, 28, 33])
def test_any_image_size(name: str, side: int):
    widths = {"widths": (4, 4, 4)} if name == "small_cnn" else {"width": 0.1}
    module = ARCHITECTURES[name](channels=1, classes=3, **widths)
    assert module(torch.randn(2, 1, side, side)).shape == (2, 3)


def test_a_shortcut_without_parameters_subsamples_and_pads():
    block = Residual(2, 5, 2, projected=False).eval()
    for parameter in block.conv2.parameters():
        torch.nn.init.zeros_(parameter)
    images = torch.rand(1, 2, 6, 6)
    expected = torch.zeros(1, 5, 3, 3)
    for row in range(3):
        for column in range(3):
            expected[0, :2, row, column] = images[0, :, 2 * row, 2 * column]
    with torch.no_grad():
        torch.testing.assert_close(block(images), expected)


def test_cosines_by_hand():
    head = CosineHead(3, 2, temperature=0.5)
    features = torch.randn(4, 3)
    for row, h in zip(head(features), features, strict=True):
        for value, w in zip(row, head.weight, strict=True):
            # Products that nearly cancel are rounded with respect to what they are sums of.
            assert value.item() == pytest.approx((w @ h / (w.norm() * h.norm()) / 0.5).item(), abs=2e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_a_checkpoint_of_each_opens_and_its_features_make_the_logits(tmp_path: Path, name: str, head: str):
    small = {"digits_mlp": {"widths": (9, 7)}, "small_cnn": {"widths": (4, 5, 6)}}.get(name, {"width": 0.2})
    arguments = {"channels": 1, "classes": 4, "head": head, **small}
    module = ARCHITECTURES[name](**arguments).eval()
    metadata = {
        "architecture": {
            "name": name,
            "arguments": {
                **arguments,
                **{k: list(v) if isinstance(v, tuple) else v for k, v in small.items()},
            },
        },
        "classes": list("abcd"),
        "preprocessing": {"size": [1, 8, 8], "mean": [0.5], "std": [0.5]},
    }
    save_checkpoint(tmp_path / "net.pt", module.state_dict(), metadata)
    classifier = classifier_of(open_checkpoint(tmp_path / "net.pt"))
    images = torch.randn(5, 1, 8, 8)
    assert classifier.head is not None and classifier.head.form == head
    with classifier.tap() as tap, torch.inference_mode():
        taken = tap(images)
    torch.testing.assert_close(taken.logits, module(images).detach())
    weights = classifier.head.weights
    torch.testing.assert_close(
        weights.logits(taken.features.double()).float(), module(images).detach(), rtol=1e-4, atol=1e-4
    )
    if head == "cosine":
        torch.testing.assert_close(F.normalize(taken.features), taken.features)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"head": "round"}, "expected head linear or cosine, got 'round'"),
        ({"head": "cosine", "temperature": 0.0}, "expected temperature above 0, got 0.0"),
        ({"width": 0.0}, "expected width above 0, got 0.0"),
    ],
)
def test_what_cannot_be(arguments: dict, sentence: str):
    with pytest.raises(InputError, match=sentence):
        ARCHITECTURES["cifar_resnet20"](channels=1, classes=2, **arguments)
