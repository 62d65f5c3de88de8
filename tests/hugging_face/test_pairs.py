"""Tests for networks of transformers: perfect under its own processor and model, they are perfect here."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.feature_store import FeatureStore
from maxsup_analysis.features import Extraction, extract_features
from tests.hugging_face.nets import CLASSES, SIDES, TINY
from tests.hugging_face.producer import network, pictures, silent, solved

# The processor that each kind is published with, as far as it is not ViT's.
PROCESSORS = {
    "beit": "Beit", "bit": "Bit", "convnext": "ConvNext", "convnextv2": "ConvNext", "cvt": "ConvNext",
    "data2vec-vision": "Beit", "deit": "DeiT", "dinov2": "Bit", "dinov2_with_registers": "Bit",
    "efficientnet": "EfficientNet", "focalnet": "Bit", "hgnet_v2": "Bit", "hiera": "Bit", "levit": "Levit",
    "mobilenet_v1": "MobileNetV1", "mobilenet_v2": "MobileNetV2", "mobilevit": "MobileViT",
    "mobilevitv2": "MobileViT", "poolformer": "PoolFormer", "pvt": "Pvt", "pvt_v2": "Pvt", "regnet": "ConvNext",
    "resnet": "ConvNext", "segformer": "Segformer",
}  # fmt: skip
BOTH_SIDES = ("Beit", "DeiT", "EfficientNet", "Pvt", "Segformer", "ViT", "Siglip")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures(tmp_path_factory.mktemp("pictures"))


def stated(name: str, side: int) -> dict[str, Any]:
    """A preprocessor_config.json for images of this size."""
    size = {"height": side, "width": side} if name in BOTH_SIDES else {"shortest_edge": side}
    crop = {"height": side, "width": side}
    larger = {"height": side + 8, "width": side + 8} if name == "DeiT" else size
    return {"image_processor_type": f"{name}ImageProcessor", "size": larger, "crop_size": crop}


def extracted(folder: Path, data: Path, out: Path) -> FeatureStore:
    return extract_features(folder, out, Extraction(str(data), workers=0, device="cpu"))


def require_same(folder: Path, made: Any, data: Path, out: Path) -> None:
    store = extracted(folder, data, out)
    features, logits = (
        torch.cat([getattr(shard, what) for shard in store]) for what in ("features", "logits")
    )
    assert (made.logits.argmax(1) == torch.arange(CLASSES)).all()
    assert (logits.argmax(1) == torch.arange(CLASSES)).all()
    torch.testing.assert_close(
        features, made.features, rtol=1e-5, atol=1e-5 * float(made.features.abs().max())
    )


@pytest.mark.parametrize("kind", ["deit", "levit"])
def test_of_two_heads_the_features_stand_side_by_side(kind: str, data: Path, tmp_path: Path):
    folder = tmp_path / kind
    made = solved(folder, network(kind, teacher=True), stated(PROCESSORS[kind], SIDES[kind]), data)
    require_same(folder, made, data, tmp_path / "features")


# What a processor states beside its sizes, or instead of them.
STATED: dict[str, dict[str, Any]] = {
    "no normalising": {"do_normalize": False},
    "no rescaling": {"do_rescale": False, "image_mean": [100, 110, 120], "image_std": [60, 50, 70]},
    "another factor": {"rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]},
    "one number for the side": {"size": 32},
    "a list of sides": {"size": [32, 32]},
    "nearest": {"resample": 0},
    "Lanczos": {"resample": 1},
    "a crop": {"size": {"height": 40, "width": 44}, "do_center_crop": True, "crop_size": 32},
    "only a crop": {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 32, "width": 32}},
    "a shorter side and a crop": {"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": 32},
    "the fast one": {"image_processor_type": "ViTImageProcessorFast"},
    "the one with Pillow": {"image_processor_type": "ViTImageProcessorPil"},
    "as a feature extractor": {"image_processor_type": None, "feature_extractor_type": "ViTFeatureExtractor"},
    "blue first": {"image_processor_type": "MobileViTImageProcessor", "size": 40, "crop_size": 32},
    "scaled twice": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": 32,
        "rescale_offset": True,
    },
    "no second scaling": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": 32,
        "include_top": False,
    },
    "a larger side, then a crop": {
        "image_processor_type": "LevitImageProcessor",
        "size": 32,
        "crop_size": 32,
    },
    "a part of the side": {"image_processor_type": "ConvNextImageProcessor", "size": 32, "crop_pct": 0.8},
    "a part of the other side": {
        "image_processor_type": "PoolFormerImageProcessor",
        "size": 32,
        "crop_size": 32,
    },
}


@pytest.mark.parametrize("name", STATED)
def test_images_are_prepared_as_the_processor_states(name: str, data: Path, tmp_path: Path):
    folder, said = tmp_path / "vit", {**stated("ViT", 32), **STATED[name]}
    processor = {key: entry for key, entry in said.items() if entry is not None}
    made = solved(folder, network("vit"), processor, data)
    require_same(folder, made, data, tmp_path / "features")


def test_a_convnext_sees_whole_images_from_384_pixels_on(data: Path, tmp_path: Path):
    folder = tmp_path / "convnext"
    processor = {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}}
    made = solved(folder, network("convnext"), processor, data)
    require_same(folder, made, data, tmp_path / "features")


def test_a_processor_that_is_not_named_is_that_of_the_kind(data: Path, tmp_path: Path):
    folder = tmp_path / "mobilevit"
    made = solved(folder, network("mobilevit"), {"size": {"shortest_edge": 40}, "crop_size": 32}, data)
    require_same(folder, made, data, tmp_path / "features")


def test_the_newer_place_of_the_processor_goes_first(data: Path, tmp_path: Path):
    folder, net, older = tmp_path / "vit", network("vit"), stated("ViT", 32)
    folder.mkdir()
    nested = {"image_processor": {**older, "do_normalize": False}}
    (folder / "processor_config.json").write_text(json.dumps(nested))
    made = solved(folder, net, older, data)
    require_same(folder, made, data, tmp_path / "features")
    assert "mean (0, 0, 0)" in str(open_checkpoint(folder).inspection.preprocessing)


def test_a_network_of_timm_that_transformers_wraps(data: Path, tmp_path: Path):
    published = {
        "input_size": [3, 64, 64], "crop_pct": 0.8, "mean": [0.4] * 3, "std": [0.3] * 3, "interpolation": "bicubic",
        "num_classes": CLASSES,
    }  # fmt: skip
    wrapper: Any = transformers.TimmWrapperConfig
    config = wrapper(
        architecture="resnet18",
        num_labels=CLASSES,
        model_args={"global_pool": "max"},
        pretrained_cfg=published,
    )
    torch.manual_seed(0)
    with silent():
        net = transformers.TimmWrapperForImageClassification(config).eval()
    folder = tmp_path / "wrapped"
    made = solved(folder, net, {}, data)
    found = open_checkpoint(folder).inspection
    assert (found.architecture, found.unused) == ("timm/resnet18", ())
    require_same(folder, made, data, tmp_path / "features")


@pytest.mark.parametrize("kind", TINY)
def test_a_network_that_is_perfect_in_transformers_is_perfect_here(kind: str, data: Path, tmp_path: Path):
    folder = tmp_path / kind
    made = solved(folder, network(kind), stated(PROCESSORS.get(kind, "ViT"), SIDES[kind]), data)
    found = open_checkpoint(folder).inspection
    assert (found.num_classes, found.feature_dim) == (CLASSES, made.features.shape[1])
    assert (found.unused, found.warnings) == ((), ())
    require_same(folder, made, data, tmp_path / "features")
