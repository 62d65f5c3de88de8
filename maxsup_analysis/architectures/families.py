"""A sentence on weights of a known family, whether or not a library builds exactly them."""

import re
from collections.abc import Callable, Mapping
from math import prod

from maxsup_analysis.architectures.trees import Shape

Shapes = Mapping[str, Shape]


def describe(shapes: Mapping[str, Shape]) -> str:
    """The family and its measures, or how many tensors there are where no family is recognised.

    Example:
        >>> describe({"a.weight": (3, 4), "a.bias": (3,)})
        'no known family: 2 tensors, 15 numbers, the first a.weight (3, 4)'
    """
    for family in FAMILIES:
        if sentence := family(shapes):
            return sentence
    if not shapes:
        return "no tensors"
    name, shape = next(iter(shapes.items()))
    numbers = sum(prod(size) for size in shapes.values())
    return f"no known family: {len(shapes)} tensors, {numbers:,} numbers, the first {name} {shape}"


def depths(shapes: Shapes, pattern: str) -> str:
    """Blocks in each stage, `3-4-6-3`; the pattern's two groups are the stage and the block."""
    blocks: dict[str, set[str]] = {}
    for name in shapes:
        if match := re.match(pattern, name):
            blocks.setdefault(match[1], set()).add(match[2])
    stages = sorted(blocks, key=lambda stage: [int(number) for number in re.findall(r"\d+", stage)])
    return "-".join(str(len(blocks[stage])) for stage in stages)


def first_of(shapes: Shapes, pattern: str) -> Shape:
    """The shape of the first tensor whose whole name matches; empty where none does."""
    return next((shape for name, shape in shapes.items() if re.fullmatch(pattern, name)), ())


def resnet(shapes: Shapes) -> str:
    """ResNet, Wide ResNet and ResNeXt, told apart by the 3 x 3 convolutions of their first stage."""
    stages = depths(shapes, r"layer(\d+)\.(\d+)\.conv1\.(?:conv\.)?weight")
    if not stages:
        return ""
    kernel = first_of(shapes, r"conv1\.(?:conv\.)?weight|conv1\.0\.weight|(?:model\.)?stem\.0\.weight")
    stem = f", first convolution {kernel[2]}x{kernel[3]} on {kernel[1]} channels" if len(kernel) == 4 else ""
    bottleneck = any(re.match(r"layer1\.0\.conv3\.", name) for name in shapes)
    width, per_group, *_ = first_of(shapes, r"layer1\.0\.conv2\.(?:conv\.)?weight") or (0, 0)
    groups = width // max(1, per_group)
    kind = "ResNet"
    if bottleneck and groups > 1:
        kind = f"ResNeXt ({groups} groups of {per_group})"
    elif width > 64:
        kind = f"Wide ResNet (width {width})"
    return f"{kind} with {'bottleneck' if bottleneck else 'basic'} blocks {stages}{stem}{_blur(shapes)}"


def _blur(shapes: Shapes) -> str:
    return ", BlurPool" if any(name.endswith(".blur_filter") for name in shapes) else ""


def wide_resnet(shapes: Shapes) -> str:
    """Wide ResNet as it is written for CIFAR: three stages called block1 to block3."""
    stages = depths(shapes, r"block(\d+)\.layer\.(\d+)\.conv1\.weight")
    width = (first_of(shapes, r"block1\.layer\.0\.conv2\.weight") or (0,))[0]
    return f"Wide ResNet (width {width}) for small images, blocks {stages}" if stages else ""


def densenet(shapes: Shapes) -> str:
    """DenseNet."""
    stages = depths(shapes, r"(?:features\.)?denseblock(\d+)\.denselayer(\d+)\.")
    growth = (first_of(shapes, r".*denselayer1\.conv2\.weight") or (0,))[0]
    return f"DenseNet with blocks {stages}, growth {growth}" if stages else ""


def vgg(shapes: Shapes) -> str:
    """VGG: a plain sequence of 3 x 3 convolutions."""
    kernels = [
        s for name, s in shapes.items() if re.fullmatch(r"features\.\d+\.weight", name) and len(s) == 4
    ]
    if len(kernels) < 6 or any(kernel[2:] != (3, 3) for kernel in kernels):
        return ""
    norm = " and batch normalisation" if first_of(shapes, r"features\.\d+\.running_mean") else ""
    return f"VGG with {len(kernels)} convolutions{norm}"


def swin(shapes: Shapes) -> str:
    """Swin transformers of timm and torchvision."""
    stages = depths(shapes, r"(?:layers|features)\.(\d+)\.(?:blocks\.)?(\d+)\.attn\.qkv\.weight")
    if not stages:
        return ""
    dim, _, patch, *_ = first_of(shapes, r"patch_embed\.proj\.weight|features\.0\.0\.weight") or (0, 0, 0)
    table = first_of(shapes, r".*relative_position_bias_table")
    window = f", window {(round(table[0] ** 0.5) + 1) // 2}" if table else ""
    return f"Swin: D={dim} at first, blocks {stages}, patch {patch}{window}"


def vision_transformer(shapes: Shapes) -> str:
    """ViT and DeiT of timm and torchvision."""
    block = (
        r"(?:encoder\.layers\.encoder_layer_|blocks\.)(\d+)\.(?:attn\.qkv|self_attention\.out_proj)\.weight"
    )
    blocks = sum(re.fullmatch(block, name) is not None for name in shapes)
    kernel = first_of(shapes, r"patch_embed\.proj\.weight|conv_proj\.weight")
    if not blocks or len(kernel) != 4:
        return ""
    positions = first_of(shapes, r"pos_embed|encoder\.pos_embedding")
    tokens = f", {positions[1]} tokens" if len(positions) == 3 else ""
    name = "distilled ViT" if "dist_token" in shapes else "ViT"
    return f"{name}: D={kernel[0]}, {blocks} blocks, patch {kernel[2]}{tokens}"


def convnext(shapes: Shapes) -> str:
    """ConvNeXt of timm, of torchvision and of its authors."""
    for pattern in (
        r"stages\.(\d+)\.blocks\.(\d+)\.conv_dw\.weight",
        r"stages\.(\d+)\.(\d+)\.dwconv\.weight",
        r"features\.(\d+)\.(\d+)\.layer_scale",
    ):
        if stages := depths(shapes, pattern):
            stem = r"stem\.0\.weight|downsample_layers\.0\.0\.weight|features\.0\.0\.weight"
            return f"ConvNeXt: {(first_of(shapes, stem) or (0,))[0]} channels at first, blocks {stages}"
    return ""


def mobile(shapes: Shapes) -> str:
    """MobileNet and EfficientNet: inverted residuals, told apart by squeeze-and-excitation and the head."""
    timm = depths(shapes, r"blocks\.(\d+)\.(\d+)\.(?:conv|bn)\w*\.")
    if timm and "conv_stem.weight" in shapes:
        squeezed = any(".se.conv_reduce." in name for name in shapes)
        kind = "MobileNetV3" if "conv_head.bias" in shapes else "EfficientNet" if squeezed else "MobileNet"
        return f"{kind} with stages {timm}"
    if stages := depths(shapes, r"features\.(\d+)\.(\d+)\.block\.\d+\."):
        return f"EfficientNet with stages {stages}"
    for kind, pattern in (
        ("MobileNetV3", r"features\.(\d+)\.block\."),
        ("MobileNetV2", r"features\.(\d+)\.conv\."),
    ):
        if count := len({match[1] for name in shapes if (match := re.match(pattern, name))}):
            return f"{kind} with {count} inverted residuals"
    return ""


def regnet(shapes: Shapes) -> str:
    """RegNet of timm and torchvision."""
    stages = depths(shapes, r"s(\d+)\.b(\d+)\.conv1\.") or depths(
        shapes, r"trunk_output\.block(\d+)\.block\d+-(\d+)\."
    )
    return f"RegNet with stages {stages}" if stages else ""


FAMILIES: tuple[Callable[[Shapes], str], ...] = (
    resnet, wide_resnet, densenet, vgg, swin, vision_transformer, convnext, mobile, regnet,
)  # fmt: skip
