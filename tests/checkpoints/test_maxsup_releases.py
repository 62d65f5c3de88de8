"""Tests for the files that the authors of MaxSup release: each opens and says what it is, or what it lacks.

Rebuilt with random weights by the layout of their programs: Conv/ffcv, Conv/common_resnet, Deit, Exp/OOD, Exp/LT, viz.
"""

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.classifiers import ModelChoice, classifier_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.inspection import inspect_checkpoint
from maxsup_analysis.pipeline import measure_source, open_source
from tests.checkpoints.nets import BlurPool


def resnet() -> Any:
    """ResNet-18 stands for the ResNet-50 of the releases: the same layout, a quarter of the size."""
    torch.manual_seed(0)
    return torchvision.models.resnet18(weights=None, num_classes=10)


def blurred() -> nn.Module:
    """Every strided convolution with 16 or more input channels behind a blur, as in their code."""
    net = resnet()
    for name, layer in list(net.named_modules()):
        if isinstance(layer, nn.Conv2d) and max(layer.stride) > 1 and layer.in_channels >= 16:
            parent, _, attribute = name.rpartition(".")
            setattr(net.get_submodule(parent), attribute, BlurPool(layer))
    return net


def prefixed(prefix: str, content: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in content.items()}


def ffcv(folder: Path, net: nn.Module) -> Path:
    params = {"model.arch": "resnet18", "training.use_blurpool": 1, "training.label_smoothing": 0.1}
    (folder / "params.json").write_text(json.dumps({**params, "validation.resolution": 256}))
    torch.save(prefixed("module.", net.state_dict()), folder / "final_weights.pt")
    return folder / "final_weights.pt"


def bare(folder: Path, net: nn.Module) -> Path:
    torch.save(net.state_dict(), folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def safe(folder: Path, net: nn.Module) -> Path:
    save_file(net.state_dict(), folder / "model.safetensors")
    return folder / "model.safetensors"


def lightning(folder: Path, net: nn.Module) -> Path:
    """Conv/ffcv/main.py: Net(config["model"]); the configuration is saved as what Net was given."""
    loss = {"loss_type": "ms", "label_smoothing": 0.0, "begin_lambda": 0.1, "end_lambda": 0.2, "epochs": 90}
    config = {"model": "resnet18", "num_classes": 10, "weights": "", "use_blurpool": 1, "loss": loss}
    config |= {"optimizer": {"lr": 0.8, "momentum": 0.9}, "scheduler": {"step_size": 30, "gamma": 0.1}}
    content = prefixed("model.", net.state_dict()) | {"criterion.supervise": torch.rand(10, 10)}
    about = {"pytorch-lightning_version": "2.5.0", "epoch": 89, "hyper_parameters": {"config": config}}
    torch.save({"state_dict": content, **about}, folder / "resnet.ckpt")
    return folder / "resnet.ckpt"


def references(folder: Path, net: nn.Module) -> Path:
    args = Namespace(model="resnet18", label_smoothing=0.0, seed=0, val_resize_size=256, val_crop_size=224)
    about = {"optimizer": {}, "lr_scheduler": {}, "epoch": 89, "args": args}
    torch.save({"model": net.state_dict(), **about}, folder / "model_89.pth")
    return folder / "model_89.pth"


def ood(folder: Path, net: nn.Module) -> Path:
    args = Namespace(
        net="tvresnet18", loss="maxsup", data="tin", epoch=200, mollify=False, ynoise="ls", alpha=1.0
    )
    content = prefixed("net.", net.state_dict())
    content |= {"dctlayer.weight": torch.eye(64), "idctlayer.weight": torch.eye(64)}
    hyper = {"net": net, "args": args, "res": (3, 64, 64), "num_classes": 10}
    about = {"pytorch-lightning_version": "2.5.0", "hyper_parameters": hyper}
    torch.save({"state_dict": content, **about}, folder / "tin-tvresnet18.ckpt")
    return folder / "tin-tvresnet18.ckpt"


Write = Callable[[Path, nn.Module], Path]
# The file, its network, and what `inspect` has to say of it.
RESNETS: dict[str, tuple[Write, Callable[[], nn.Module], tuple[str, ...]]] = {
    "ffcv": (
        ffcv,
        blurred,
        ("format:           ffcv-imagenet", "resize 293", "crop 256 x 256", "not told by the file"),
    ),
    "bare": (bare, blurred, ("BlurPool", "--image-size 256")),
    "safetensors": (safe, blurred, ("BlurPool", "--image-size 256")),
    "Lightning": (
        lightning,
        blurred,
        ("loss maxsup, alpha 0.1, alpha_end 0.2", "BlurPool", "--image-size 256"),
    ),
    "torchvision references": (
        references,
        resnet,
        ("loss is not told by the file", "resize 256", "crop 224 x 224"),
    ),
    "OOD": (ood, resnet, ("loss maxsup, alpha 0.1, alpha_end 0.2", "dctlayer.weight; idctlayer.weight")),
}


@pytest.mark.parametrize("name", RESNETS)
def test_a_resnet_opens_and_says_what_it_is(name: str, tmp_path: Path):
    write, build, said = RESNETS[name]
    net = build().eval()
    path = write(tmp_path, net)
    found = inspect_checkpoint(path)
    assert (found.architecture, found.num_classes) == ("torchvision/resnet18", 10)
    text = found.to_text()
    assert [words for words in said if words not in text] == [], text
    assert found.claims.unused == (), text
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(classifier_of(open_checkpoint(path)).module(images), net(images), atol=1e-5)


@pytest.mark.parametrize("qkv_bias", [True, False])
def test_a_deit_opens_and_its_loss_is_not_told(tmp_path: Path, qkv_bias: bool):
    """The name in its arguments decides between networks with the same names and shapes."""
    torch.manual_seed(0)
    net = timm.create_model("deit_small_patch16_224", num_classes=10, qkv_bias=qkv_bias)
    args = Namespace(model="our_patch16_224", nb_classes=10, data_set="IMNET", input_size=224, smoothing=0.0)
    about = {"optimizer": {}, "lr_scheduler": {}, "scaler": {}, "epoch": 299, "args": args}
    torch.save({"model": net.state_dict(), "model_ema": net.state_dict(), **about}, tmp_path / "deit.pth")
    found = inspect_checkpoint(tmp_path / "deit.pth")
    assert found.architecture == "timm/deit_small_patch16_224" and dict(found.claims.training) == {}
    assert "the loss is not told by the file: args.model is our_patch16_224" in found.to_text()
    assert "resize 256" in found.to_text() and "mean (0.485, 0.456, 0.406)" in found.to_text()
    assert found.arguments.get("qkv_bias", True) == qkv_bias


def test_the_long_tailed_files_say_what_they_lack(tmp_path: Path):
    """A ResNet-32 and a causal-norm classifier, whose logits are no linear map of the features."""
    body = {
        "conv1.weight": torch.randn(32, 3, 3, 3),
        "bn1.weight": torch.ones(32),
        "bn1.bias": torch.zeros(32),
    }
    body |= {f"layer{stage}.0.conv1.weight": torch.randn(32, 32, 3, 3) for stage in (1, 2, 3)}
    parts = {"feat_model": prefixed("module.", body), "classifier": {"module.weight": torch.randn(10, 128)}}
    content = {"epoch": 200, "best_epoch": 199, "state_dict_best": parts, "best_acc": 0.7, "centroids": None}
    torch.save(content, tmp_path / "final_model_checkpoint.pth")
    text = inspect_checkpoint(tmp_path / "final_model_checkpoint.pth").to_text()
    assert "causal-norm" in text and "--layer" in text and "10 (K)" in text
    with pytest.raises(InputError, match=r"--model path/to/file.py:factory"):
        classifier_of(open_checkpoint(tmp_path / "final_model_checkpoint.pth"))
    code = tmp_path / "mine.py"
    names = {
        name: list(tensor.shape)
        for name, tensor in {**body, "classifier.weight": torch.zeros(10, 128)}.items()
    }
    code.write_text(
        "import torch\nfrom torch import nn\n"
        f"SHAPES = {names!r}\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        for name, shape in SHAPES.items():\n"
        "            module = self\n"
        "            *path, last = name.split('.')\n"
        "            for part in path:\n"
        "                if part not in dict(module.named_children()): module.add_module(part, nn.Module())\n"
        "                module = getattr(module, part)\n"
        "            module.register_parameter(last, nn.Parameter(torch.zeros(shape)))\n"
        "        self.features = nn.Identity()\n"
        "    def forward(self, images):\n"
        "        features = self.features(images.mean((2, 3)).repeat(1, 43)[:, :128])\n"
        "        weight = self.classifier.weight\n"
        "        return 16 * features @ weight.T / (weight.norm(dim=1) + 1 / 32) / features.norm(dim=1, keepdim=True)\n"
    )
    from maxsup_analysis.preprocessing import Overrides

    choice = ModelChoice(f"{code}:Net", layer="features", images=Overrides(image_size=32))
    found = classifier_of(open_checkpoint(tmp_path / "final_model_checkpoint.pth"), choice)
    assert (found.num_classes, found.place) == (10, "output of features")


def test_logits_and_labels_alone_are_measured(tmp_path: Path):
    """As viz/logits.py saves them."""
    rng = np.random.default_rng(0)
    labels = torch.arange(40) % 4
    logits = torch.tensor(rng.normal(size=(40, 4)), dtype=torch.float32) + 2 * nn.functional.one_hot(
        labels, 4
    )
    torch.save({"logits": logits, "labels": labels}, tmp_path / "logits.pt")
    measured = measure_source(open_source(tmp_path / "logits.pt"))
    assert measured["accuracy"].value == pytest.approx((logits.argmax(1) == labels).double().mean().item())
