"""Networks as their own programs build, feed and save them: each with a head that is right on all of some images."""

import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from PIL import Image
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from torch import Tensor, nn
from torchvision import transforms as T  # noqa: N812
from torchvision.transforms import InterpolationMode

CLASSES = ("ant", "bee", "cat")
SIDES = ((70, 95), (88, 61), (64, 64), (120, 80), (66, 100), (90, 90))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Transform = Callable[[Image.Image], Tensor]


@dataclass(frozen=True)
class Produced:
    """A network, how its program prepares an image in evaluation, and what its program writes.

    order: the names of the classes by output.
    """

    net: nn.Module
    transform: Transform
    write: Callable[[Path], Path]
    order: tuple[str, ...] = CLASSES
    flags: dict[str, object] = field(default_factory=dict)


PRODUCERS: dict[str, Callable[[], Produced]] = {}


def producer(build: Callable[[], Produced]) -> Callable[[], Produced]:
    PRODUCERS[build.__name__] = build
    return build


def write_images(root: Path) -> None:
    """Two images of each class, of other shapes, with structure at all scales."""
    noise = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(2):
            width, height = SIDES[2 * label + number]
            coarse = Image.fromarray(noise.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize(
                (width, height)
            )
            fine = noise.integers(-40, 40, (height, width, 3))
            pixels = np.clip(np.asarray(coarse).astype(int) + fine, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


def solve_head(made: Produced, root: Path) -> Tensor:
    """Give the network a head that is right on every image, in its own pipeline; its logits."""
    files = sorted(root.rglob("*.png"))
    images = torch.stack([made.transform(opened(file, made.net)) for file in files])
    labels = torch.tensor([made.order.index(file.parent.name) for file in files])
    head = [layer for layer in made.net.modules() if isinstance(layer, nn.Linear)][-1]
    caught: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].flatten(1)))
    with torch.inference_mode():
        made.net.eval()(images)
    hook.remove()
    features = caught[-1].clone().double()
    wanted = nn.functional.one_hot(labels, len(made.order)).double() * 4 - 1
    # Of centred features, as few directions as tell the classes apart: others would magnify rounding.
    centre = features.mean(0)
    for least in (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4):
        weight = torch.linalg.pinv(features - centre, rtol=least) @ (wanted - wanted.mean(0))
        bias = wanted.mean(0) - centre @ weight
        if ((features @ weight + bias).argmax(1) == labels).all():
            break
    with torch.no_grad():
        head.weight.copy_(weight.T.float())
        head.bias.copy_(bias.float())
    with torch.inference_mode():
        logits = made.net(images)
    assert (logits.argmax(1) == labels).all()
    return logits


def opened(file: Path, net: nn.Module) -> Image.Image:
    first = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    return Image.open(file).convert("L" if first.in_channels == 1 else "RGB")


def calibrated(net: nn.Module, side: int = 64) -> nn.Module:
    """With the statistics of one batch in its normalisation, so that activations neither vanish nor explode."""
    norms = [layer for layer in net.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    first = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    before = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 1.0
    if norms:
        with torch.no_grad():
            net.train()(torch.randn(8, first.in_channels, side, side))
    for layer, momentum in zip(norms, before, strict=True):
        layer.momentum = momentum
    return net.eval()


def build_timm(name: str, **arguments: Any) -> Any:
    torch.manual_seed(0)
    return calibrated(timm.create_model(name, num_classes=len(CLASSES), **arguments))


def timm_transform(net: nn.Module, args: dict[str, object] | None = None) -> Any:
    return create_transform(**resolve_data_config(args or {}, model=net))


def train_py(name: str, args: dict[str, object], **arguments: Any) -> Produced:
    """timm's train.py: `args` go into the file, and through resolve_data_config into the loader of the validation."""
    net = build_timm(name, **arguments)

    def write(folder: Path) -> Path:
        stated = {
            "model": name,
            "num_classes": None,
            "gp": None,
            "img_size": None,
            "input_size": None,
            "mean": None,
        }
        run = Namespace(**{**stated, "model_kwargs": {}, "lr": 0.1, "aa": None, "sched": "cosine", **args})
        content = {"arch": name, "state_dict": net.state_dict(), "version": 2, "epoch": 3, "args": run}
        torch.save(content, folder / "last.pth.tar")
        return folder / "last.pth.tar"

    return Produced(net, timm_transform(net, args), write)


@producer
def timm_global_pool() -> Produced:
    return train_py("test_resnet", {"gp": "max", "img_size": 64}, global_pool="max")


@producer
def timm_input_size() -> Produced:
    return train_py("test_resnet", {"input_size": (3, 48, 80), "crop_pct": 0.8})


@producer
def timm_normalisation() -> Produced:
    args = {"mean": [0.2, 0.3, 0.4], "std": [0.1, 0.2, 0.3], "interpolation": "bilinear", "img_size": 64}
    return train_py("test_resnet", args)


@producer
def timm_one_number_for_all_channels() -> Produced:
    return train_py("test_resnet", {"mean": [0.5], "std": [0.25], "img_size": 64, "crop_pct": 1.0})


@producer
def timm_model_kwargs() -> Produced:
    kwargs = {"img_size": 96}
    args = {"model_kwargs": kwargs, "gp": "avg", "img_size": 96}
    return train_py("test_vit", args, global_pool="avg", **kwargs)


@producer
def timm_other_pooling_of_tokens() -> Produced:
    """The tensors show that tokens are pooled; the file says how."""
    return train_py("test_vit", {"gp": "max"}, global_pool="max")


@producer
def timm_images_of_another_size_than_the_network() -> Produced:
    """A network that takes images of any size, and a configuration that gives it others than its positions are for."""
    return hub(build_timm("test_vit", img_size=96))


@producer
def timm_squash() -> Produced:
    return train_py("test_resnet", {"crop_mode": "squash", "img_size": 64, "crop_pct": 0.9})


@producer
def timm_border() -> Produced:
    return train_py("test_resnet", {"crop_mode": "border", "img_size": 64, "crop_pct": 1.0})


@producer
def timm_grey() -> Produced:
    args = {"in_chans": 1, "mean": [0.4], "std": [0.3], "img_size": 64}
    return train_py("test_resnet", args, in_chans=1)


@producer
def timm_epsilon() -> Produced:
    return train_py("test_efficientnet", {"bn_eps": 0.1, "img_size": 64}, bn_eps=0.1)


def hub(net: Any, **config: Any) -> Produced:
    """timm's folder for the hub, as save_for_hf writes it."""

    def write(folder: Path) -> Path:
        timm.models.save_for_hf(net, str(folder / "hub"), model_config=dict(config), safe_serialization=True)
        return folder / "hub"

    return Produced(net, timm_transform(net), write)


@producer
def timm_hub() -> Produced:
    net = build_timm("test_resnet", global_pool="max")
    net.pretrained_cfg = dict(net.pretrained_cfg, input_size=(3, 72, 72), mean=(0.1, 0.2, 0.3), crop_pct=0.8)
    net.pretrained_cfg |= {"crop_mode": "squash", "interpolation": "bilinear"}
    return hub(net)


@producer
def timm_hub_label_names() -> Produced:
    made = hub(build_timm("test_resnet"))
    order = ("cat", "ant", "bee")

    def write(folder: Path) -> Path:
        path = made.write(folder)
        config = json.loads((path / "config.json").read_text())
        config["pretrained_cfg"]["label_names"] = list(order)
        (path / "config.json").write_text(json.dumps(config))
        return path

    return Produced(made.net, made.transform, write, order)


@producer
def timm_hub_flat() -> Produced:
    """The config.json of timm before 0.9: one level."""
    net = build_timm("test_resnet", global_pool="max")
    config = {
        "architecture": "test_resnet",
        "num_classes": 3,
        "global_pool": "max",
        "input_size": [3, 56, 56],
    }
    config |= {"mean": [0.1, 0.2, 0.3], "std": [0.2, 0.2, 0.2], "interpolation": "bilinear", "crop_pct": 0.75}
    config |= {"labels": ["bee", "ant", "cat"], "num_features": 64, "pool_size": None, "classifier": "fc"}

    def write(folder: Path) -> Path:
        (folder / "config.json").write_text(json.dumps(config))
        torch.save(net.state_dict(), folder / "pytorch_model.bin")
        return folder

    args = {name: config[name] for name in ("input_size", "mean", "std", "interpolation", "crop_pct")}
    return Produced(net, timm_transform(net, args), write, ("bee", "ant", "cat"))


def deit_like(name: str, args: dict[str, object], resize: int, side: int, **arguments: Any) -> Produced:
    net = build_timm(name, **arguments)
    steps = [
        T.Resize(resize, InterpolationMode.BICUBIC),
        T.CenterCrop(side),
        T.ToTensor(),
        T.Normalize(MEAN, STD),
    ]

    def write(folder: Path) -> Path:
        content = {"model": net.state_dict(), "scaler": {}, "epoch": 1, "args": Namespace(**args)}
        if "data_set" in args:
            content |= {"optimizer": {}, "lr_scheduler": {}}
        torch.save(content, folder / "checkpoint.pth")
        return folder / "checkpoint.pth"

    return Produced(net, T.Compose(steps), write)


@producer
def deit() -> Produced:
    """Resize to int(input_size / eval_crop_ratio), bicubic; ImageNet's mean although timm's vit has 0.5."""
    args = {"model": "vit_tiny_patch16_224", "nb_classes": 3, "data_set": "IMNET", "input_size": 224}
    return deit_like("vit_tiny_patch16_224", {**args, "eval_crop_ratio": 0.9, "lr": 0.1}, int(224 / 0.9), 224)


@producer
def mae() -> Produced:
    """Resize to int(input_size / (224 / 256)) up to 224; the average of the tokens."""
    args = {"model": "vit_tiny_patch16", "nb_classes": 3, "global_pool": True, "input_size": 224}
    return deit_like("vit_tiny_patch16_224", args, 256, 224, global_pool="avg")


@producer
def convnext() -> Produced:
    args = {"model": "convnext_atto", "nb_classes": 3, "layer_scale_init_value": 1e-6, "input_size": 96}
    made = deit_like("convnext_atto", {**args, "crop_pct": 0.75}, 128, 96)
    return made


@producer
def convnext_squeezed() -> Produced:
    """From 384 on both sides are resized."""
    args = {"model": "convnext_atto", "nb_classes": 3, "layer_scale_init_value": 1e-6, "input_size": 384}
    made = deit_like("convnext_atto", args, 384, 384)
    steps = [T.Resize((384, 384), InterpolationMode.BICUBIC), T.ToTensor(), T.Normalize(MEAN, STD)]
    return Produced(made.net, T.Compose(steps), made.write)


def references(name: str, args: dict[str, object], steps: list[Transform], **arguments: Any) -> Produced:
    """The file of torchvision's classification script; its preset for evaluation is `steps`."""
    torch.manual_seed(0)
    net = calibrated(torchvision.models.get_model(name, weights=None, num_classes=3, **arguments))

    def write(folder: Path) -> Path:
        run = Namespace(model=name, weights=None, label_smoothing=0.1, workers=4, lr=0.1)
        vars(run).update(args)
        content = {"model": net.state_dict(), "optimizer": {}, "lr_scheduler": {}, "epoch": 1, "args": run}
        torch.save(content, folder / "model_1.pth")
        return folder / "model_1.pth"

    return Produced(net, T.Compose(steps), write)


@producer
def torchvision_sizes() -> Produced:
    args = {"val_resize_size": 80, "val_crop_size": 64, "interpolation": "bicubic", "backend": "PIL"}
    steps = [T.Resize(80, InterpolationMode.BICUBIC), T.CenterCrop(64), T.ToTensor(), T.Normalize(MEAN, STD)]
    return references("resnet18", args, steps)


@producer
def torchvision_tensors() -> Produced:
    args = {"val_resize_size": 80, "val_crop_size": 64, "interpolation": "bilinear", "backend": "tensor"}
    resize = T.Resize(80, InterpolationMode.BILINEAR, antialias=True)
    steps = [
        T.PILToTensor(),
        resize,
        T.CenterCrop(64),
        T.ConvertImageDtype(torch.float),
        T.Normalize(MEAN, STD),
    ]
    return references("resnet18", args, steps)


@producer
def torchvision_transformed_inputs() -> Produced:
    """From published weights, whose colours the network changes itself."""
    args = {"weights": "GoogLeNet_Weights.IMAGENET1K_V1", "val_resize_size": 80, "val_crop_size": 64}
    steps = [T.Resize(80), T.CenterCrop(64), T.ToTensor(), T.Normalize(MEAN, STD)]
    return references("googlenet", args, steps, aux_logits=False, transform_input=True, init_weights=False)


@producer
def pytorch_examples() -> Produced:
    """256 and 224 for every network, also where the published weights take other sizes."""
    made = references(
        "regnet_y_400mf", {}, [T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize(MEAN, STD)]
    )

    def write(folder: Path) -> Path:
        content = {
            "arch": "efficientnet_b0",
            "state_dict": nn.DataParallel(made.net).state_dict(),
            "epoch": 9,
        }
        torch.save({**content, "best_acc1": 50.0, "optimizer": {}}, folder / "checkpoint.pth.tar")
        return folder / "checkpoint.pth.tar"

    return Produced(made.net, made.transform, write)


@producer
def lightning() -> Produced:
    """A module whose hyper-parameters say how images are prepared and how the classes are numbered."""
    steps = [T.Resize(72), T.CenterCrop(64), T.ToTensor(), T.Normalize((0.5,) * 3, (0.25,) * 3)]
    made = references("resnet18", {}, steps)
    numbers = {"cat": 0, "bee": 1, "ant": 2}

    def write(folder: Path) -> Path:
        hyper = {
            "arch": "resnet18",
            "image_size": 64,
            "resize": 72,
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
        }
        content = {
            "pytorch-lightning_version": "2.6.0",
            "state_dict": {f"model.{name}": tensor for name, tensor in made.net.state_dict().items()},
            "hyper_parameters": {**hyper, "class_to_idx": numbers, "lr": 0.1},
        }
        torch.save(content, folder / "epoch=1.ckpt")
        return folder / "epoch=1.ckpt"

    return Produced(made.net, made.transform, write, ("cat", "bee", "ant"))
