"""Tests for images as large as a file likes: what it may state is bounded, what it states is run in bounded parts."""

from argparse import Namespace
from pathlib import Path

import pytest
import timm
import torch

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.classifiers import Classifier, ModelChoice, classifier_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import Extraction, prepared
from maxsup_analysis.forward import CPU_NUMBERS, ForwardPass, Precision
from maxsup_analysis.inspection import inspect_checkpoint
from maxsup_analysis.loading import images_at_once
from maxsup_analysis.preprocessing import Overrides
from tests.checkpoints.naming import PREPROCESSING, own
from tests.checkpoints.stated_attacks import SMALL, timm_file


def of_this_package(folder: Path, **images: object) -> Path:
    return own(folder, SMALL, preprocessing={**PREPROCESSING, **images})


@pytest.mark.parametrize("size", [[1, 1025, 1024], [1, 2048, 2048], [1, 4096, 4096], [1024, 1024, 1024]])
def test_a_file_of_this_package_states_no_larger_images_than_any_published(size: list[int], tmp_path: Path):
    channels = size[0]
    path = of_this_package(tmp_path, size=size, mean=[0.5] * channels, std=[0.5] * channels)
    assert any("images of" in line or "expected" in line for line in inspect_checkpoint(path).warnings)
    with pytest.raises(InputError, match=r"give --image-size"):
        classifier_of(open_checkpoint(path))


@pytest.mark.parametrize(
    "stated", [{"img_size": 2048}, {"input_size": [3, 4096, 4096]}, {"crop_pct": 0.05, "img_size": 512}]
)
def test_nor_does_one_of_timm(stated: dict, tmp_path: Path):
    path = tmp_path / timm_file(**stated)(tmp_path)
    with pytest.raises(InputError, match=r"give --image-size"):
        classifier_of(open_checkpoint(path))


def test_the_advice_works(tmp_path: Path):
    """The user may say more, and says the mean and the deviation too."""
    path = of_this_package(tmp_path, size=[1, 4096, 4096])
    images = Overrides(image_size=8, mean=(0.5,), std=(0.5,))
    assert classifier_of(open_checkpoint(path), ModelChoice(images=images)).preprocessing.size == (1, 8, 8)


def test_the_largest_published_size_is_taken(tmp_path: Path):
    path = tmp_path / timm_file(img_size=1024)(tmp_path)
    found = inspect_checkpoint(path).preprocessing
    assert found is not None and found.size == (3, 1024, 1024)


@pytest.mark.parametrize(("asked", "read"), [(256, 7), (3, 3)])
def test_batches_of_large_images_are_smaller(
    asked: int, read: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """256 images of 1024 x 1024 would be 800 MB as bytes and 3.2 GB as numbers, before any layer."""
    assert images_at_once((3, 1024, 1024)) == 16
    monkeypatch.setattr("maxsup_analysis.features.images_at_once", lambda size: 7 if size == (1, 8, 8) else 0)
    ready = prepared(own(tmp_path, SMALL), tmp_path / "x.features", Extraction(workers=0))
    with ForwardPass(ready.classifier, ready.device, Precision()) as forward:
        assert ready.extractor(forward, Extraction(workers=0, batch_size=asked)).batch_size == read


def test_a_network_runs_in_parts_that_its_widest_layer_allows():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 512, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
                                 torch.nn.Linear(512, 3))  # fmt: skip
    classifier = _classifier(module)
    with ForwardPass(classifier, torch.device("cpu"), Precision()) as forward:
        assert forward.limit == CPU_NUMBERS // (512 * 64 * 64)
        images = torch.randint(0, 256, (70, 1, 64, 64), dtype=torch.uint8)
        outputs = forward.outputs(images)
    assert [len(part.features) for part in outputs] == [32, 32, 6]


def _classifier(module: torch.nn.Module) -> Classifier:
    from maxsup_analysis.heads import find_head
    from maxsup_analysis.preprocessing import Preprocessing

    head = find_head(module.eval(), torch.randn(4, 1, 64, 64))
    return Classifier("mine", module, head, 3, Preprocessing((1, 64, 64), (0.5,), (0.5,)), None)


@pytest.mark.parametrize(
    "stated",
    [
        {"smoothing": 10**400},
        {"smoothing": float("nan")},
        {"loss": "maxsup", "loss.begin_lambda": 10**400, "loss.end_lambda": 1},
    ],
)
def test_strengths_that_are_no_numbers_are_none(stated: dict, tmp_path: Path):
    """Whole numbers that no float holds are what Python calls an overflow."""
    net = timm.create_model("test_resnet", num_classes=10)
    run = Namespace(model="test_resnet", **stated)
    torch.save(
        {"state_dict": net.state_dict(), "arch": "test_resnet", "version": 2, "args": run}, tmp_path / "x.pt"
    )
    assert "nan" not in str(inspect_checkpoint(tmp_path / "x.pt").to_plain()["training"])
