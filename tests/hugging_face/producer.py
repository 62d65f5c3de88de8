"""Folders as transformers writes them, and what its own pipeline makes of images."""

import json
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor, nn
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING

from tests.hugging_face.nets import CLASSES, TINY

HEADS = ("classifier", "classifier.1", "classifier.linear", "classifier_distill.linear", "fc", "head", "dist_head",
         "cls_classifier", "distillation_classifier", "timm_model.fc")  # fmt: skip
SHAPES = ((40, 56), (61, 44), (48, 48), (90, 70), (37, 52))


@dataclass(frozen=True)
class Made:
    """What transformers makes of the images of a folder: what enters the head, and the logits."""

    features: Tensor
    logits: Tensor


@contextmanager
def silent():
    """transformers says nothing meanwhile."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(100)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def pictures(folder: Path) -> Path:
    """One noisy image of each class, in a folder each."""
    noise = np.random.default_rng(0)
    for label, (height, width) in enumerate(SHAPES[:CLASSES]):
        (folder / f"class {label}").mkdir(parents=True)
        coarse = Image.fromarray(noise.integers(0, 256, (6, 6, 3), np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"class {label}" / "0.png")
    return folder


def network(kind: str, *, teacher: bool = False, **more: Any) -> nn.Module:
    """A tiny classifier, its weights and statistics drawn at random."""
    configured: Any = transformers.CONFIG_MAPPING[kind]
    config = configured(**{**TINY[kind], **more}, num_labels=CLASSES)
    classes = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING[type(config)]
    made: Any = classes[-1 if teacher else 0] if isinstance(classes, tuple) else classes
    torch.manual_seed(0)
    with silent():
        net = made(config).eval()
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.add_(0.2 * torch.randn_like(tensor))
        _centre_batch_norms(net, config.num_channels)
    return net


def _centre_batch_norms(net: nn.Module, channels: int) -> None:
    """Statistics as training would leave them, or images would be alike after some layers."""
    norms = [layer for layer in net.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum, norm.training = None, True
    net(torch.randn(16, channels, 64, 64)) if norms else None
    net.eval()
    for norm in norms:
        if isinstance(norm, nn.BatchNorm1d):
            # What hardly varies would blow up rounding.
            norm.running_var.clamp_(min=0.1)  # type: ignore[union-attr]


def written(folder: Path, net: nn.Module, processor: Mapping[str, Any]) -> Path:
    """The folder that `save_pretrained` writes, with a preprocessor_config.json."""
    with silent():
        net.save_pretrained(folder)  # type: ignore[operator]
    if processor:
        (folder / "preprocessor_config.json").write_text(json.dumps(dict(processor)))
    return folder


def heads_of(net: nn.Module) -> list[nn.Linear]:
    layers = dict(net.named_modules())
    return [layers[name] for name in HEADS if isinstance(layers.get(name), nn.Linear)]  # type: ignore[misc]


def produced(folder: Path, data: Path) -> Made:
    """What AutoImageProcessor and AutoModelForImageClassification make of each image, in the order of the classes."""
    with silent():
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
        net = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    entered: dict[nn.Module, Tensor] = {}
    for head in heads_of(net):
        head.register_forward_hook(lambda layer, inputs, _: entered.update({layer: inputs[0]}))
    features, logits = [], []
    for path in sorted(data.glob("*/*.png")):
        pixels = processor(Image.open(path), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            logits.append(net(torch.as_tensor(pixels)).logits)
        features.append(torch.cat([entered[head] for head in heads_of(net)], 1))
    return Made(torch.cat(features), torch.cat(logits))


def solved(folder: Path, net: nn.Module, processor: Mapping[str, Any], data: Path) -> Made:
    """Written with heads that name the class of every image when transformers runs it."""
    written(folder, net, processor)
    heads, made = heads_of(net), produced(folder, data)
    torch.manual_seed(1)
    with torch.no_grad():
        for number, head in enumerate(heads):
            entered = made.features.chunk(len(heads), 1)[number]
            padded = torch.cat([entered - entered.mean(0), torch.ones(len(entered), 1)], 1)
            solution = torch.linalg.lstsq(
                padded.double(), 10 * torch.eye(len(entered)).double(), driver="gelsd"
            ).solution
            # Two heads that are alike would be one.
            apart = (-1) ** number * (len(heads) > 1) * torch.ones_like(head.weight)
            head.weight.copy_(solution[:-1].T + apart)
            head.bias.copy_(solution[-1] - (solution[:-1].T @ entered.mean(0).double()))
    written(folder, net, processor)
    return produced(folder, data)
