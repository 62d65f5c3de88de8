"""Tests for files that are whole although they look otherwise: each opens, and computes what its program does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from maxsup_analysis.architectures.small import ARCHITECTURES
from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.classifiers import Classifier, ModelChoice, classifier_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.inspection import inspect_checkpoint
from maxsup_analysis.preprocessing import Overrides

SMALL = Overrides(image_size=64)


def logits(module: nn.Module, side: int = 64, channels: int = 3) -> Tensor:
    images = torch.randn(3, channels, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return module.eval()(images)


def opened(path: Path, name: str | None = None, **arguments: object) -> Classifier:
    return classifier_of(open_checkpoint(path), ModelChoice(name, arguments, images=SMALL))


def with_old_names(net: nn.Module) -> dict[str, Tensor]:
    """As torchvision called the layers of DenseNet before 0.3 and those of ViT's MLPs before 0.13."""
    renamed = {}
    for name, tensor in net.state_dict().items():
        for kind in ("norm", "relu", "conv"):
            for number in "12":
                if ".denselayer" in name:
                    name = name.replace(f".{kind}{number}.", f".{kind}.{number}.")
        if ".encoder_layer_" in name:
            name = name.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2.")
        renamed[name] = tensor
    return renamed


def test_the_old_names_of_torchvision(tmp_path: Path):
    torch.manual_seed(0)
    net = torchvision.models.densenet121(weights=None, num_classes=3)
    old = with_old_names(net)
    assert set(old) != set(net.state_dict())
    torch.save(old, tmp_path / "old.pth")
    found = opened(tmp_path / "old.pth")
    assert found.name == "torchvision/densenet121"
    assert torch.allclose(logits(found.module), logits(net), atol=1e-5)


def test_the_old_names_of_torchvisions_transformers(tmp_path: Path):
    """A small one, which torchvision itself loads from the old names."""
    words: dict[str, Any] = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    net = torchvision.models.VisionTransformer(32, 16, **words)
    old = with_old_names(net)
    assert set(old) != set(net.state_dict())
    torchvision.models.VisionTransformer(32, 16, **words).load_state_dict(old)
    torch.save(old, tmp_path / "old.pth")
    assert set(open_checkpoint(tmp_path / "old.pth").state_dict) == set(net.state_dict())


def test_a_network_beside_other_modules_of_lightning(tmp_path: Path):
    """As the MaxSup authors' OOD code saves it: `net.` and two layers that are no part of it."""
    net = torchvision.models.resnet18(num_classes=3)
    content = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    content |= {"dctlayer.weight": torch.eye(32), "idctlayer.weight": torch.eye(32)}
    torch.save({"pytorch-lightning_version": "2.6.0", "state_dict": content}, tmp_path / "ood.ckpt")
    about = inspect_checkpoint(tmp_path / "ood.ckpt").to_plain()
    assert about["dropped"] == ["dctlayer.weight", "idctlayer.weight"] and about["prefixes"] == ["net."]
    assert torch.allclose(logits(opened(tmp_path / "ood.ckpt").module), logits(net), atol=1e-6)


def test_a_head_beside_the_network_is_no_leftover(tmp_path: Path):
    body = torchvision.models.resnet18(num_classes=3).state_dict()
    content = {f"model.{name}": tensor for name, tensor in body.items() if not name.startswith("fc.")}
    content |= {"head.weight": torch.ones(3, 512), "head.bias": torch.zeros(3)}
    torch.save(content, tmp_path / "two.pth")
    assert "head.weight" in inspect_checkpoint(tmp_path / "two.pth").weights.tensors


HEADS: dict[str, Callable[[], tuple[nn.Module, str]]] = {
    "fc.1": lambda: (torchvision.models.resnet18(num_classes=3), "fc"),
    "head.1": lambda: (timm.create_model("test_vit", num_classes=3), "head"),
    "classifier.1": lambda: (torchvision.models.densenet121(num_classes=3), "classifier"),
}


@pytest.mark.parametrize("said", HEADS)
def test_a_linear_head_behind_dropout(tmp_path: Path, said: str):
    net, head = HEADS[said]()
    setattr(net, head, nn.Sequential(nn.Dropout(0.5), getattr(net, head)))
    torch.save(net.state_dict(), tmp_path / "dropout.pth")
    side = 160 if head == "head" else 64
    found = classifier_of(
        open_checkpoint(tmp_path / "dropout.pth"), ModelChoice(images=Overrides(image_size=side))
    )
    assert torch.allclose(logits(found.module, side), logits(net, side), atol=1e-6)
    assert any(
        f"{said} stands for {head}" in line for line in inspect_checkpoint(tmp_path / "dropout.pth").evidence
    )


@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_resnet32", "cifar_resnet18", "small_cnn"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_networks_of_this_package_by_name(tmp_path: Path, name: str, channels: int):
    torch.manual_seed(0)
    net = ARCHITECTURES[name](channels, 7)
    torch.save(net.state_dict(), tmp_path / "bare.pth")
    images = Overrides(image_size=32, mean=(0.5,) * channels, std=(0.5,) * channels)
    found = classifier_of(open_checkpoint(tmp_path / "bare.pth"), ModelChoice(name, images=images))
    assert found.num_classes == 7
    assert torch.allclose(logits(found.module, 32, channels), logits(net, 32, channels), atol=1e-6)


def test_a_wider_network_of_this_package_by_name(tmp_path: Path):
    net = ARCHITECTURES["cifar_resnet20"](3, 5, width=2.0)
    torch.save(net.state_dict(), tmp_path / "bare.pth")
    choice = ModelChoice("cifar_resnet20", images=Overrides(image_size=32))
    assert classifier_of(open_checkpoint(tmp_path / "bare.pth"), choice).num_classes == 5


@pytest.mark.parametrize("name", ["googlenet"])
def test_auxiliary_heads_for_other_classes(tmp_path: Path, name: str):
    """Fine-tuned: four classes in the head, a thousand in the heads that only training uses."""
    torch.manual_seed(0)
    words: dict[str, Any] = {"init_weights": False, "transform_input": True, "aux_logits": True}
    net: Any = torchvision.models.get_model(name, weights=None, **words)
    net.fc = nn.Linear(net.fc.in_features, 4)
    torch.save(net.state_dict(), tmp_path / "tuned.pth")
    side = 299 if name == "inception_v3" else 64
    said = inspect_checkpoint(tmp_path / "tuned.pth").to_text()
    assert "have 1,000 rows, the head 4" in said
    with pytest.raises(InputError, match="--model-args transform_input=True"):
        opened(tmp_path / "tuned.pth")
    choice = ModelChoice(arguments={"transform_input": True}, images=Overrides(image_size=side))
    found = classifier_of(open_checkpoint(tmp_path / "tuned.pth"), choice)
    assert torch.allclose(logits(found.module, side), logits(net, side), atol=1e-5)


def test_one_logit_is_two(tmp_path: Path):
    """A binary network with a sigmoid: softmax of (0, z) is sigmoid of z."""
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=1)
    torch.save(net.state_dict(), tmp_path / "binary.pth")
    found = opened(tmp_path / "binary.pth")
    assert found.num_classes == 2 and found.head is not None
    both, one = logits(found.module), logits(net)
    assert torch.allclose(both.softmax(1)[:, 1:], one.sigmoid(), atol=1e-6)
    weight = found.head.weights.weight
    assert not weight[0].any() and torch.allclose(weight[1].float(), net.fc.weight[0])
    assert "the logits here are 0 and that one" in inspect_checkpoint(tmp_path / "binary.pth").to_text()
