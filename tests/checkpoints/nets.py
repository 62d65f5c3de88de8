"""Networks for checkpoints, at the smallest size that they are built in, every tensor random."""

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

CLASSES = 5
# What makes a network of that name smaller without changing its names.
SMALLER: dict[str, dict[str, Any]] = {
    "timm/vit_tiny_patch16_224": {"img_size": 32},
    "timm/swin_tiny_patch4_window7_224": {"img_size": 56, "embed_dim": 24, "num_heads": (1, 2, 4, 8)},
    "timm/convnext_atto": {"conv_mlp": False},
    "timm/vgg11": {"mlp_ratio": 1 / 64},
}


def network(name: str) -> nn.Module:
    """A network by `timm/NAME`, `torchvision/NAME` or the name of one that is made here; a fixed seed gives it."""
    source, _, model = name.partition("/")
    match source:
        case "timm":
            made = timm.create_model(
                model, num_classes=10 if "small_patch" in model else CLASSES, **SMALLER.get(name, {})
            )
        case "torchvision":
            made = torchvision.models.get_model(model, weights=None, num_classes=CLASSES)
        case _:
            made = MADE_HERE[name]()
    return randomized(made)


def randomized(module: nn.Module) -> nn.Module:
    """Buffers of batch normalisation too: what is lost from them would show, as fresh ones are 0 and 1."""
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.01, 1.0)
            elif tensor.ndim == 0:
                tensor.fill_(int(torch.randint(1, 10_000, ())))
    return module.eval()


class BlurPool(nn.Module):
    """A strided convolution after a fixed binomial blur."""

    blur_filter: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0])
        self.conv = conv
        self.register_buffer("blur_filter", (torch.outer(row, row) / 16).repeat(conv.in_channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(nn.functional.conv2d(x, self.blur_filter, padding=1, groups=self.conv.in_channels))


def blurpool_resnet50() -> nn.Module:
    """torchvision's resnet50 of 10 classes in which strided convolutions of >= 16 input channels blur first."""
    net = torchvision.models.resnet50(weights=None, num_classes=10)
    strided = {
        name: module
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and max(module.stride) > 1 and module.in_channels >= 16
    }
    for name, conv in strided.items():
        parent, _, attribute = name.rpartition(".")
        setattr(net.get_submodule(parent), attribute, BlurPool(conv))
    return net


def narrow_alexnet() -> nn.Module:
    """torchvision's AlexNet with 8 hidden units in the classifier in place of 4,096."""
    with torch.device("meta"):
        net = torchvision.models.alexnet(weights=None)
        net.classifier[1], net.classifier[4] = nn.Linear(9216, 8), nn.Linear(8, 8)
        net.classifier[6] = nn.Linear(8, CLASSES)
    return net.to_empty(device="cpu")


def average_pooling_vit() -> nn.Module:
    """The vision transformer that MAE fine-tunes: global pooling, hence `fc_norm` in place of `norm`."""
    return timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=CLASSES, global_pool="avg")


def headless_vit() -> nn.Module:
    """A vision transformer that was trained without labels: no classifier."""
    return timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0)


def one_block_resnet() -> nn.Module:
    """A basic-block ResNet with one block per stage."""
    return torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES)


def clip_visual() -> nn.Module:
    """The image tower of CLIP by its names: width 32, two blocks, patches of 8 on 16 pixels."""
    width = 32
    tower = nn.Module()
    tower.class_embedding = nn.Parameter(torch.empty(width))
    tower.positional_embedding = nn.Parameter(torch.empty(5, width))
    tower.proj = nn.Parameter(torch.empty(width, 16))
    tower.conv1 = nn.Conv2d(3, width, 8, 8, bias=False)
    tower.ln_pre, tower.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
    tower.transformer = nn.Module()
    tower.transformer.resblocks = nn.ModuleList(_clip_block(width) for _ in range(2))
    return tower


def _clip_block(width: int) -> nn.Module:
    block, mlp = nn.Module(), nn.Module()
    block.ln_1, block.attn, block.ln_2 = (
        nn.LayerNorm(width),
        nn.MultiheadAttention(width, 2),
        nn.LayerNorm(width),
    )
    mlp.c_fc, mlp.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
    block.mlp = mlp
    return block


def transformers_resnet() -> nn.Module:
    """A ResNet of Hugging Face: two basic stages of 8 and 16 channels."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=CLASSES
    )
    return transformers.ResNetForImageClassification(config)


def transformers_vit() -> nn.Module:
    """A vision transformer of Hugging Face: two blocks of width 32."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
        num_labels=CLASSES,
    )
    return transformers.ViTForImageClassification(config)


MADE_HERE = {
    "blurpool_resnet50": blurpool_resnet50,
    "deit_small_without_qkv_bias": lambda: timm.create_model(
        "deit_small_patch16_224", num_classes=10, qkv_bias=False
    ),
    "alexnet": narrow_alexnet,
    "mae_vit": average_pooling_vit,
    "vit_without_head": headless_vit,
    "resnet10": one_block_resnet,
    "clip_visual": clip_visual,
    "transformers_resnet": transformers_resnet,
    "transformers_vit": transformers_vit,
    "linear_probe": lambda: nn.ModuleDict({"linear": nn.Linear(384, CLASSES)}),
}
