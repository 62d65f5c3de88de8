"""Tests for the architectures: what is recognised from names and shapes alone, and what is built."""

import json
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import cache

import pytest
import timm
import torch
import torchvision
from torch import nn

from maxsup_analysis.architectures import build, make_index
from maxsup_analysis.architectures.build import BlurPoolConv2d, apply_blurpool, build_module, resolved
from maxsup_analysis.architectures.equivalence import agree, probe, structural_digest
from maxsup_analysis.architectures.families import describe
from maxsup_analysis.architectures.guess import Fit, blurred_layers, guess
from maxsup_analysis.architectures.known import REGENERABLE, body, index, signature
from maxsup_analysis.architectures.nearest import nearest
from maxsup_analysis.architectures.trees import TreeTable, leaves, nested
from maxsup_analysis.errors import InputError

# Name -> (the sentence that describes it, classes).
MODELS = {
    "torchvision/resnet18": ("ResNet with basic blocks 2-2-2-2, first convolution 7x7 on 3 channels", 10),
    "torchvision/resnet50": ("ResNet with bottleneck blocks 3-4-6-3, first convolution 7x7 on 3 channels", 100),
    "torchvision/resnet101": ("ResNet with bottleneck blocks 3-4-23-3, first convolution 7x7 on 3 channels", 1000),
    "timm/resnet26d": ("ResNet with bottleneck blocks 2-2-2-2, first convolution 3x3 on 3 channels", 37),
    "torchvision/wide_resnet50_2": (
        "Wide ResNet (width 128) with bottleneck blocks 3-4-6-3, first convolution 7x7 on 3 channels", 100
    ),
    "timm/wide_resnet101_2": (
        "Wide ResNet (width 128) with bottleneck blocks 3-4-23-3, first convolution 7x7 on 3 channels", 2
    ),
    "torchvision/resnext50_32x4d": (
        "ResNeXt (32 groups of 4) with bottleneck blocks 3-4-6-3, first convolution 7x7 on 3 channels", 196
    ),
    "timm/resnext101_32x8d": (
        "ResNeXt (32 groups of 8) with bottleneck blocks 3-4-23-3, first convolution 7x7 on 3 channels", 1000
    ),
    "torchvision/densenet121": ("DenseNet with blocks 6-12-24-16, growth 32", 10),
    "timm/densenet169": ("DenseNet with blocks 6-12-32-32, growth 32", 200),
    "torchvision/densenet161": ("DenseNet with blocks 6-12-36-24, growth 48", 1000),
    "torchvision/vgg16": ("VGG with 13 convolutions", 10),
    "timm/vgg11_bn": ("VGG with 8 convolutions and batch normalisation", 5),
    "torchvision/vgg19_bn": ("VGG with 16 convolutions and batch normalisation", 1000),
    "torchvision/mobilenet_v2": ("MobileNetV2 with 17 inverted residuals", 10),
    "torchvision/mobilenet_v3_large": ("MobileNetV3 with 15 inverted residuals", 101),
    "timm/mobilenetv2_100": ("MobileNet with stages 1-2-3-4-3-3-1", 120),
    "timm/mobilenetv3_large_100": ("MobileNetV3 with stages 1-2-3-4-2-3-1", 47),
    "torchvision/efficientnet_b0": ("EfficientNet with stages 1-2-2-3-3-4-1", 10),
    "timm/efficientnet_b3": ("EfficientNet with stages 2-3-3-5-5-6-2", 1000),
    "timm/tf_efficientnetv2_s": ("EfficientNet with stages 2-4-4-6-9-15", 8),
    "torchvision/convnext_tiny": ("ConvNeXt: 96 channels at first, blocks 3-3-9-3", 10),
    "timm/convnext_small": ("ConvNeXt: 96 channels at first, blocks 3-3-27-3", 1000),
    "timm/convnextv2_atto": ("ConvNeXt: 40 channels at first, blocks 2-2-6-2", 102),
    "torchvision/vit_b_16": ("ViT: D=768, 12 blocks, patch 16, 197 tokens", 10),
    "timm/vit_small_patch16_224": ("ViT: D=384, 12 blocks, patch 16, 197 tokens", 1000),
    "timm/vit_base_patch32_384": ("ViT: D=768, 12 blocks, patch 32, 145 tokens", 21),
    "timm/deit_tiny_patch16_224": ("ViT: D=192, 12 blocks, patch 16, 197 tokens", 1000),
    "timm/deit_base_distilled_patch16_384": ("distilled ViT: D=768, 12 blocks, patch 16, 578 tokens", 100),
    "torchvision/swin_t": ("Swin: D=96 at first, blocks 2-2-6-2, patch 4, window 7", 10),
    "timm/swin_small_patch4_window7_224": ("Swin: D=96 at first, blocks 2-2-18-2, patch 4, window 7", 1000),
    "torchvision/regnet_y_400mf": ("RegNet with stages 1-3-6-6", 10),
    "timm/regnety_016": ("RegNet with stages 2-6-17-2", 1000),
}  # fmt: skip
SAMPLE = (
    "timm/resnet50d", "timm/seresnet50", "timm/vit_tiny_patch16_224", "timm/eva02_tiny_patch14_224",
    "timm/coatnet_0_rw_224", "timm/ghostnet_100", "timm/levit_128", "timm/crossvit_9_240",
    "timm/volo_d1_224", "timm/mixer_s16_224",
    "timm/repvit_m0_9", "torchvision/googlenet", "torchvision/inception_v3", "torchvision/swin_v2_t",
    "torchvision/shufflenet_v2_x1_0", "torchvision/squeezenet1_0", "torchvision/maxvit_t",
)  # fmt: skip


@cache
def shapes_of(name: str, **arguments: object) -> dict[str, tuple[int, ...]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The constructor of torchvision's RegNet computes with tensors.
        device = "cpu" if name.startswith("torchvision/regnet") else "meta"
        with torch.device(device):
            return shapes(build_module(name, arguments))


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def names(fits: tuple[Fit, ...]) -> list[str]:
    """The architectures of the fits and those that the evidence says are the same."""
    return " ".join(fact for fit in fits for fact in fit.evidence).replace(",", " ").split()


@pytest.mark.parametrize("name", MODELS)
def test_an_architecture_is_recognised_with_its_classes_and_builds_the_same_shapes(name: str):
    sentence, classes = MODELS[name]
    given = shapes_of(name, num_classes=classes)
    fits = guess(given)
    assert name in names(fits)
    assert {fit.num_classes for fit in fits} == {classes}
    for fit in fits:
        assert not fit.blurpool
        assert {k: v for k, v in shapes_of(fit.architecture.name, **fit.arguments).items() if _kept(k)} == {
            k: v for k, v in given.items() if _kept(k)
        }
    assert describe(given) == sentence


def _kept(name: str) -> bool:
    return name.rpartition(".")[2] not in REGENERABLE


@pytest.mark.parametrize("name", [*SAMPLE, *list(MODELS)[::3]])
def test_the_index_agrees_with_the_installed_libraries(name: str):
    live = make_index.built(name)
    assert isinstance(live, make_index.Built)
    known = index().architectures[name]
    assert replace(live.known, function=known.function) == known
    assert known in index().by_signature[signature(live.shapes, known.heads)]
    stored = leaves(index().nodes, index().trees[signature(live.shapes, known.heads)])
    assert dict(stored) == body(live.shapes, known.heads)


def test_every_classifier_is_in_the_index_or_its_failure_is():
    missing = set(make_index.names()) - set(index().architectures) - set(index().failed)
    if (timm.__version__, torchvision.__version__.split("+")[0]) == (
        index().versions["timm"], index().versions["torchvision"],
    ):  # fmt: skip
        assert not missing


def test_what_a_known_architecture_holds():
    resnet = index().architectures["torchvision/resnet50"]
    assert (resnet.head, resnet.auxiliary, resnet.feature_dim, resnet.classes) == (("fc",), (), 2048, 1000)
    assert (resnet.input_size, resnet.resize_or_crop_pct, resnet.interpolation) == (
        (3, 224, 224),
        256,
        "bilinear",
    )
    assert (resnet.mean, resnet.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert isinstance(index().architectures["timm/resnet50"].resize_or_crop_pct, float)
    assert index().architectures["timm/deit_tiny_distilled_patch16_224"].head == ("head", "head_dist")
    assert index().architectures["torchvision/googlenet"].auxiliary == ("aux1.fc2", "aux2.fc2")


def test_both_libraries_resnet50_is_one():
    (fit,) = guess(shapes_of("timm/resnet50"))
    assert fit.architecture.name == "torchvision/resnet50"
    assert fit.arguments == {"num_classes": 1000}
    (said,) = fit.evidence
    assert said == (
        "names and shapes are those of torchvision/resnet50, which computes the same as timm/resnet50; "
        "they are also those of timm/resnetaa50, timm/resnetblur50, which blur before a stride"
    )


def test_equal_weights_with_different_preprocessing_are_two():
    fits = guess(shapes_of("timm/deit_small_patch16_224", num_classes=10))
    means = {fit.architecture.name: fit.architecture.mean for fit in fits}
    assert means["timm/vit_small_patch16_224"] == (0.5, 0.5, 0.5)
    assert means["timm/deit_small_patch16_224"] == (0.485, 0.456, 0.406)


def test_equal_weights_with_different_padding_or_activation_are_different_functions():
    known = index().architectures
    assert known["timm/efficientnet_b0"].function != known["timm/tf_efficientnet_b0"].function
    assert (
        known["timm/vit_base_patch32_clip_224"].function
        != known["timm/vit_base_patch32_clip_quickgelu_224"].function
    )
    assert known["timm/vit_small_patch16_224"].function == known["timm/deit_small_patch16_224"].function
    assert known["timm/resnet50"].function == known["torchvision/resnet50"].function


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("timm/resnet50", {"in_chans": 1}),
        ("timm/vit_small_patch16_224", {"img_size": 96}),
        ("timm/vit_small_patch16_224", {"img_size": 32, "patch_size": 4}),
        ("timm/deit_small_distilled_patch16_224", {"img_size": 128}),
        ("timm/vit_small_patch16_224", {"qkv_bias": False}),
        ("timm/vit_base_patch16_224", {"global_pool": "avg"}),
        ("timm/vit_tiny_patch16_224", {"global_pool": "avg", "class_token": False}),
        ("timm/vit_tiny_patch16_224", {"init_values": 1e-5}),
        (
            "timm/vit_tiny_patch16_224",
            {"in_chans": 1, "img_size": 32, "qkv_bias": False, "global_pool": "avg"},
        ),
        ("torchvision/vit_b_16", {"image_size": 32}),
        ("torchvision/googlenet", {"aux_logits": False}),
    ],
)
def test_variants_are_read_off_the_shapes(name: str, arguments: dict):
    given = shapes_of(name, **arguments, num_classes=7)
    fits = guess(given)
    assert name in names(fits)
    for fit in fits:
        found = {key: fit.arguments[key] for key in (*arguments, "num_classes")}
        assert found == {**arguments, "num_classes": 7}
        assert shapes_of(fit.architecture.name, **fit.arguments) == given


def test_a_backbone_without_a_head_says_so():
    given = {
        name: shape for name, shape in shapes_of("torchvision/resnet18").items() if not name.startswith("fc.")
    }
    (fit,) = guess(given)
    assert (fit.architecture.name, fit.num_classes) == ("torchvision/resnet18", 0)
    assert fit.evidence[0] == "there is no head: the weights are a backbone"


def test_blurpool_is_recognised_and_applied():
    with torch.device("meta"):
        module = apply_blurpool(build_module("torchvision/resnet50", {"num_classes": 10}))
    given = shapes(module)
    assert "layer2.0.conv2.blur_filter" in given
    assert "conv1.weight" in given
    assert len(blurred_layers(given)) == 6
    (fit,) = guess(given)
    assert (fit.architecture.name, fit.arguments, fit.blurpool) == (
        "torchvision/resnet50",
        {"num_classes": 10},
        True,
    )
    with torch.device("meta"):
        again = build_module(fit.architecture.name, fit.arguments)
    assert shapes(apply_blurpool(again, blurred_layers(given))) == given


def test_blurpool_is_a_binomial_blur_and_then_the_convolution():
    torch.manual_seed(0)
    layer = BlurPoolConv2d(nn.Conv2d(2, 3, 3, stride=2, padding=1)).double()
    images = torch.randn(1, 2, 5, 6, dtype=torch.float64)
    row, blurred = (1, 2, 1), torch.zeros_like(images)
    for channel in range(2):
        for y in range(5):
            for x in range(6):
                for dy in range(-1, 2):
                    for dx in range(-1, 2):
                        if 0 <= y + dy < 5 and 0 <= x + dx < 6:
                            weight = row[dy + 1] * row[dx + 1] / 16
                            blurred[0, channel, y, x] += weight * images[0, channel, y + dy, x + dx]
    torch.testing.assert_close(layer(images), layer.conv(blurred))
    assert layer.blur_filter.shape == (2, 1, 3, 3)


def cifar_resnet18() -> dict[str, tuple[int, ...]]:
    given = dict(shapes_of("torchvision/resnet18", num_classes=10))
    given["conv1.weight"] = (64, 3, 3, 3)
    return given


def test_what_fits_nothing_has_near_relatives():
    given = cifar_resnet18()
    assert guess(given) == ()
    first, *others = nearest(given)
    assert first.architecture.name == "torchvision/resnet18"
    assert 0.9 < first.similarity < 1
    assert (first.lacking, first.surplus) == ((), ())
    assert first.reshaped == ("conv1.weight (64, 3, 3, 3) instead of (64, 3, 7, 7)",)
    assert len(others) == 2
    assert describe(given) == "ResNet with basic blocks 2-2-2-2, first convolution 3x3 on 3 channels"


def test_renamed_tensors_are_examples_of_what_differs():
    given = {
        name.replace("downsample", "shortcut").replace("fc.", "linear."): s
        for name, s in cifar_resnet18().items()
    }
    first = nearest(given, count=1)[0]
    assert first.architecture.name == "torchvision/resnet18"
    assert first.lacking[0] == "fc.weight"
    assert "layer2.0.downsample.0.weight" in first.lacking
    assert "layer2.0.shortcut.0.weight" in first.surplus


def test_similarity_by_trees_is_that_by_sets():
    given = body(cifar_resnet18(), ("fc",))
    theirs = body(shapes_of("torchvision/resnet34"), ("fc",))
    shared = len(given.items() & theirs.items()), len(given.keys() & theirs.keys())
    expected = sum(part / (len(given) + len(theirs) - part) for part in shared) / 2
    found = {near.architecture.name: near.similarity for near in nearest(given, count=20)}
    assert found["torchvision/resnet34"] == pytest.approx(expected)


def test_nothing_is_near_to_foreign_names():
    assert nearest({"encoder.q": (3, 3)}) == ()
    assert guess({}) == ()
    assert describe({}) == "no tensors"


def test_trees_keep_every_name_and_shape():
    given = {
        "a.0.w": (2, 3),
        "a.1.w": (2, 3),
        "a.2.w": (4,),
        "a.10.w": (4,),
        "b": (),
        "b.c": (1,),
        "0-1": (5,),
    }
    table = TreeTable()
    root = table.add(nested({name: shape for name, shape in given.items() if name != "0-1"}))
    stored = dict(leaves(table.nodes, root))
    assert stored == {name: shape for name, shape in given.items() if name != "0-1"}
    assert table.add(nested({"w": (2, 3)})) < root


def test_a_guess_does_not_import_torch():
    code = (
        "import sys; from maxsup_analysis.architectures.guess import describe, guess, nearest\n"
        "shapes = {'conv1.weight': (64, 3, 3, 3), 'fc.weight': (10, 512)}\n"
        "guess(shapes), nearest(shapes), describe(shapes)\n"
        "print(sorted({'torch', 'timm', 'torchvision', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_structure_sees_settings_and_not_dropout():
    def block(eps: float, drop: float) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=eps), nn.Dropout(drop))

    assert structural_digest(block(1e-5, 0.1)) == structural_digest(block(1e-5, 0.5))
    assert structural_digest(block(1e-5, 0.1)) != structural_digest(block(1e-3, 0.1))


def test_numbers_see_an_epsilon_and_not_how_it_is_written():
    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("0", nn.Conv2d(3, 4, 3))
            self.add_module("1", nn.BatchNorm2d(4))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.get_submodule("1")(self.get_submodule("0")(images)).relu()

    def sequence(eps: float) -> torch.Tensor:
        return probe(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=eps), nn.ReLU()), (3, 8, 8))

    assert agree(probe(Written(), (3, 8, 8)), sequence(1e-5))
    assert not agree(sequence(1.1e-5), sequence(1e-5))


def test_functions_are_numbered_within_a_signature():
    results = (make_index.built(f"{library}/resnet18") for library in ("timm", "torchvision"))
    pair = [one for one in results if isinstance(one, make_index.Built)]
    ((first, second),) = make_index.structures_to_compare(pair)
    assert make_index.same_functions([first, second]) == ([0, 0], [])
    classes = {(one.group, one.structure): 0 for one in pair}
    assert [one.known.function for one in make_index.with_functions(pair, classes)] == [0, 0]
    assert [one.known.function for one in make_index.with_functions(pair, {})] == [0, 1]


def test_a_name_that_cannot_be_built_is_kept_with_its_reason():
    failed = make_index.built("timm/no_such")
    assert isinstance(failed, make_index.Failed)
    assert failed.reason == "RuntimeError: Unknown model (no_such)"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("resnet18", torchvision.models.ResNet),
        ("timm/resnet18", timm.models.ResNet),
        ("gernet_s", timm.models.ByobNet),
    ],
)
def test_names_of_libraries_are_built(name: str, kind: type):
    with torch.device("meta"):
        assert isinstance(build_module(name, {"num_classes": 3}), kind)


def test_extra_builders_go_first():
    linear = build_module("resnet18", {"in_features": 2, "out_features": 3}, {"resnet18": nn.Linear})
    assert isinstance(linear, nn.Linear)
    assert isinstance(build_module("torch.nn:Linear", {"in_features": 2, "out_features": 3}), nn.Linear)


def test_a_file_of_the_user_is_built(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from torch import nn\ndef tiny(width): return nn.Linear(width, 2)\ndef text(): return 'no'\n"
    )
    assert build_module(f"{path}:tiny", {"width": 5}).in_features == 5
    with pytest.raises(
        InputError, match=r"expected .*:text to return a torch.nn.Module, got str; name a function"
    ):
        build_module(f"{path}:text", {})
    with pytest.raises(InputError, match=r"expected a function 'tny' in .*; did you mean 'tiny'\?"):
        build_module(f"{path}:tny", {})
    with pytest.raises(
        InputError, match=r"cannot be built with the arguments depth=3: .*; check them against"
    ):
        build_module(f"{path}:tiny", {"depth": 3})
    path.write_text("1 / 0")
    with pytest.raises(
        InputError, match="failed with ZeroDivisionError: division by zero; run it with Python"
    ):
        build_module(f"{path}:tiny", {})
    with pytest.raises(
        InputError, match=r"expected a Python file at .*gone.py, got nothing there; check the path"
    ):
        build_module(f"{tmp_path}/gone.py:tiny", {})


def test_unknown_names_have_near_ones():
    with pytest.raises(
        InputError, match=r"expected an architecture of torchvision or timm, got 'resnt50'; did you mean"
    ):
        resolved("resnt50")
    with pytest.raises(InputError, match="got 'timm/resnet51'; did you mean timm/resnet"):
        build_module("timm/resnet51", {})
    with pytest.raises(InputError, match="importing no_such_package failed with ModuleNotFoundError"):
        build_module("no_such_package:factory", {})


def test_a_folder_of_transformers_is_built_without_its_code(tmp_path):
    with pytest.raises(
        InputError, match=r"expected a transformers config.json in .*, got FileNotFoundError; give"
    ):
        build_module(f"hf:{tmp_path}", {})
    pytest.importorskip("transformers")
    config = {
        "model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1], "layer_type": "basic",
        "id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = build_module(f"hf:{tmp_path}", {})
    assert module.state_dict()["classifier.1.weight"].shape == (3, 8)
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}})
    )
    with pytest.raises(InputError, match="got 'own', which brings its own code"):
        build_module(f"hf:{tmp_path}", {})


def test_transformers_is_an_extra(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"not installed; pip install 'maxsup-analysis\[transformers\]'"):
        build_module(f"hf:{tmp_path}", {})


def test_all_names_come_torchvision_first():
    assert build.library_names()[0].startswith("torchvision/")
