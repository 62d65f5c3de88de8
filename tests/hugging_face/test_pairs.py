"""Tests for networks of transformers: perfect under its own processor and model, they are perfect here."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.feature_store import FeatureStore
from maxsup_analysis.features import Extraction, extract_features
from tests.hugging_face.nets import CLASSES, SIDES, TINY
from tests.hugging_face.producer import network, pictures, solved

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


@pytest.mark.parametrize("kind", TINY)
def test_a_network_that_is_perfect_in_transformers_is_perfect_here(kind: str, data: Path, tmp_path: Path):
    folder = tmp_path / kind
    made = solved(folder, network(kind), stated(PROCESSORS.get(kind, "ViT"), SIDES[kind]), data)
    found = open_checkpoint(folder).inspection
    assert (found.num_classes, found.feature_dim) == (CLASSES, made.features.shape[1])
    assert (found.unused, found.warnings) == ((), ())
    require_same(folder, made, data, tmp_path / "features")
