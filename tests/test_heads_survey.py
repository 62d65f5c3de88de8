"""Tests for the head that is found in published architectures, against what their definitions say.

Each is built without weights, as small as it goes, and run on two small images. The head that is expected is read off
the architecture's `forward`, and the identity is computed here again.
"""

import warnings
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from maxsup_analysis.heads import NoLinearHead, find_head
from maxsup_analysis.taps import FeatureTap

K = 11


@dataclass(frozen=True)
class Case:
    """A model, the image size it takes, and the names of the linear maps whose mean its logits are; none, no head."""

    name: str
    size: int
    layers: tuple[str, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    source: Literal["torchvision", "timm"] = "timm"

    @property
    def form(self) -> str:
        return "linear" if len(self.layers) == 1 else "mean of heads"

    def build(self) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.source == "timm":
                import timm

                return timm.create_model(self.name, pretrained=False, num_classes=K, **self.arguments)
            import torchvision

            return getattr(torchvision.models, self.name)(num_classes=K, **self.arguments)


def vision(name: str, size: int, layer: str | None, **arguments: Any) -> Case:
    return Case(name, size, () if layer is None else (layer,), arguments, "torchvision")


def timm_(name: str, size: int, *layers: str, **arguments: Any) -> Case:
    return Case(name, size, layers, arguments)


TORCHVISION = [
    vision("alexnet", 64, "classifier.6"),
    vision("vgg11", 32, "classifier.6", init_weights=False),
    vision("resnet18", 32, "fc"),
    vision("resnext50_32x4d", 32, "fc"),
    vision("wide_resnet50_2", 32, "fc"),
    vision("densenet121", 32, "classifier"),
    vision("mobilenet_v2", 32, "classifier.1"),
    vision("mobilenet_v3_small", 32, "classifier.3"),
    vision("efficientnet_b0", 32, "classifier.1"),
    vision("efficientnet_v2_s", 32, "classifier.1"),
    vision("convnext_tiny", 32, "classifier.2"),
    vision(
        "VisionTransformer", 32, "heads.head",
        image_size=32, patch_size=16, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=K,
    ),
    vision("swin_t", 32, "head"),
    vision("swin_v2_t", 32, "head"),
    vision(
        "MaxVit", 64, "classifier.5", input_size=(64, 64), stem_channels=8, block_channels=[8, 16],
        block_layers=[1, 1], head_dim=4, stochastic_depth_prob=0.0, partition_size=2,
    ),
    vision("regnet_y_400mf", 32, "fc"),
    vision("mnasnet0_5", 32, "classifier.1"),
    vision("shufflenet_v2_x0_5", 32, "fc"),
    # The ReLU between the last convolution and the average leaves no linear map.
    vision("squeezenet1_0", 32, None),
    vision("googlenet", 32, "fc", init_weights=False),
    vision("inception_v3", 96, "fc", init_weights=False),
]  # fmt: skip
TIMM = [
    # one linear map, under many names and behind many kinds of head
    timm_("ghostnet_100", 32, "classifier"),
    timm_("mobilenetv3_small_050", 32, "classifier"),
    timm_("mobilenetv4_conv_small", 32, "classifier"),
    timm_("lcnet_035", 32, "classifier"),
    timm_("fasternet_t0", 32, "classifier"),
    timm_("dpn48b", 32, "classifier"),
    timm_("efficientvit_b0", 32, "head.classifier.4"),
    timm_("efficientvit_m0", 64, "head.linear"),
    timm_("hgnetv2_b0", 32, "head.fc"),
    timm_("caformer_s18", 32, "head.fc.fc2"),
    timm_("poolformerv2_s12", 32, "head.fc"),
    timm_("tiny_vit_5m_224", 64, "head.fc", depths=(1, 1, 1, 1)),
    timm_("vit_tiny_patch16_224", 32, "head", img_size=32, depth=1),
    timm_(
        "vit_tiny_patch16_224",
        32,
        "head",
        img_size=32,
        depth=1,
        fc_norm=True,
        global_pool="avg",
        class_token=False,
    ),
    timm_("swin_tiny_patch4_window7_224", 32, "head.fc", img_size=32, depths=(1, 1, 1, 1)),
    timm_("convnext_atto", 32, "head.fc"),
    timm_("mixer_s32_224", 32, "head", img_size=32),
    timm_("resmlp_12_224", 32, "head", img_size=32),
    timm_("gmlp_ti16_224", 32, "head", img_size=32),
    timm_("cait_xxs24_224", 32, "head", img_size=32, depth=1),
    timm_("coat_lite_tiny", 32, "head", img_size=32),
    timm_("xcit_nano_12_p16_224", 32, "head", img_size=32, depth=1),
    timm_("convit_tiny", 32, "head", img_size=32, depth=1),
    timm_("rexnet_100", 32, "head.fc"),
    timm_("skresnet18", 32, "fc"),
    timm_("ese_vovnet19b_slim_dw", 32, "head.fc"),
    timm_("nfnet_l0", 32, "head.fc"),
    timm_("inception_next_atto", 32, "head.fc2"),
    timm_("fastvit_t8", 32, "head.fc"),
    timm_("edgenext_xx_small", 64, "head.fc"),
    timm_("davit_tiny", 32, "head.fc", depths=(1, 1, 1, 1)),
    timm_("selecsls42", 64, "fc"),
    timm_("starnet_s050", 32, "head"),
    timm_("mobilevit_xxs", 32, "head.fc"),
    timm_("pvt_v2_b0", 32, "head"),
    timm_("shvit_s1", 128, "head.l"),
    # a 1 x 1 convolution instead of a linear layer
    timm_("dla46_c", 32, "fc"),
    timm_("resnetv2_50", 32, "head.fc", layers=(1, 1, 1, 1)),
    # the mean of a head on the class token, or on the features, and one trained by distillation
    timm_("deit_tiny_distilled_patch16_224", 32, "head", "head_dist", img_size=32, depth=1),
    timm_("levit_128s", 64, "head.linear", "head_dist.linear", img_size=64),
    timm_("pit_ti_distilled_224", 64, "head", "head_dist", img_size=64),
    timm_("repvit_m0_9", 32, "head.head.l", "head.head_dist.l"),
    timm_("swiftformer_xs", 64, "head", "head_dist"),
    # the mean of a head on small patches and one on large ones, of different widths
    timm_("crossvit_9_240", 120, "head.0", "head.1", img_size=120),
    # one head a stage, of learned shares that sum to one, equal at the start
    timm_("efficientvim_m1", 64, "heads.0", "heads.1", "heads.2", "heads.3"),
    # the maximum of the patches' own logits is added to those of the class token
    timm_("volo_d1_224", 32, img_size=32),
]


def awake(model: nn.Module) -> nn.Module:
    """The model with noise for each parameter that is zero: a head that starts from zero says nothing."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)
    return model


@pytest.mark.parametrize("case", TORCHVISION + TIMM, ids=lambda case: f"{case.source}/{case.name}")
def test_the_head_is_what_the_architecture_says(case: Case):
    torch.manual_seed(0)
    model, images = awake(case.build()), torch.randn(2, 3, case.size, case.size)
    if not case.layers:
        with pytest.raises(NoLinearHead):
            find_head(model, images)
        return
    found = find_head(model, images)
    assert (found.form, set(found.layers), found.temperature) == (case.form, set(case.layers), 1)
    with FeatureTap(model, found) as tap:
        outputs = tap(images.flip(0))
    require_identity(model, case, outputs.features.double(), outputs.logits.double())
    logits = found.weights.logits(outputs.features.double())
    assert (logits - outputs.logits).abs().max() <= 1e-4 * outputs.logits.abs().max()


def require_identity(model: nn.Module, case: Case, features: Tensor, logits: Tensor) -> None:
    """The mean of the named layers, each on its part of the features, is what the model said."""
    found: dict[str, Any] = dict(model.named_modules())
    layers = [found[name] for name in sorted(case.layers, key=list(found).index)]
    parts = features.split([layer.weight.shape[1] for layer in layers], 1)
    with torch.no_grad():
        outputs = [
            part @ layer.weight.double().flatten(1).T + (0 if layer.bias is None else layer.bias.double())
            for part, layer in zip(parts, layers, strict=True)
        ]
    mean = torch.stack(outputs).mean(0)
    assert (mean - logits).abs().max() <= 1e-4 * logits.abs().max()


def test_learned_shares_of_heads_are_found():
    torch.manual_seed(0)
    import timm

    model: Any = awake(timm.create_model("efficientvim_m1", pretrained=False, num_classes=K))
    with torch.no_grad():
        model.weights.copy_(torch.tensor([0.0, 1.0, 2.0, 0.5]))
    found = find_head(model, torch.randn(4, 3, 64, 64))
    assert found.form == "mean of heads" and len(found.layers) == 4
    shares = model.weights.detach().double().softmax(0)
    expected = torch.cat(
        [share * head.weight.detach().double() for share, head in zip(shares, model.heads, strict=True)], 1
    )
    assert torch.allclose(found.weights.weight, expected, atol=1e-4 * float(expected.abs().max()))
