"""Tests for training and checkpoints: the file says what it is, and the same plan gives the same weights."""

from pathlib import Path

import pytest
import torch

from maxsup_analysis.architectures.build import build_module
from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.classifiers import classifier_of, small_cnn
from maxsup_analysis.datasets import load
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.forward import require_identity
from maxsup_analysis.heads import find_head
from maxsup_analysis.training import TrainingPlan, train

QUICK = TrainingPlan(loss="maxsup", alpha_end=0.2, epochs=2, train_samples=200, seed=3)


@pytest.fixture(scope="module")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "maxsup.pt"
    train(QUICK, path)
    return path


def test_a_checkpoint_is_plain_and_says_what_it_is(checkpoint_path: Path):
    content = torch.load(checkpoint_path, weights_only=True)
    about = content["metadata"]
    assert about["architecture"] == {"name": "small_cnn", "arguments": {"channels": 1, "classes": 10}}
    assert (about["data"], about["split"], len(about["classes"])) == ("digits", "test", 10)
    training = about["training"]
    assert (training["loss"], training["alpha"], training["alpha_end"]) == ("maxsup", 0.1, 0.2)
    assert (training["seed"], training["epoch"], training["samples"]) == (3, 2, 200)
    found = open_checkpoint(checkpoint_path).about
    assert (found["format"], found["architecture"], found["num_classes"]) == (
        "maxsup-analysis",
        "small_cnn",
        10,
    )
    assert (found["training"], found["classes"]) == (training, about["classes"])


def test_the_same_plan_gives_the_same_weights(checkpoint_path: Path, tmp_path: Path):
    train(QUICK, tmp_path / "again.pt")
    first, second = (open_checkpoint(path).state_dict for path in (checkpoint_path, tmp_path / "again.pt"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_features_are_what_enters_the_head(checkpoint_path: Path, tmp_path: Path):
    store = extract_features(
        checkpoint_path, tmp_path / "s.features", Extraction(batch_size=16, device="cpu")
    )
    assert store is not None
    (rows,) = store
    classifier, data = classifier_of(open_checkpoint(checkpoint_path)), load("digits", "test")
    images = classifier.preprocessing.normalised(data.images)
    with torch.inference_mode():
        assert rows.logits is not None
        assert torch.allclose(rows.logits.float(), classifier.module(images), atol=1e-5)
        assert torch.allclose(rows.features.float(), classifier.module[:-1](images), atol=1e-5)  # type: ignore[index]
    assert rows.ids.tolist() == list(range(600)) and torch.equal(rows.labels, data.labels)


def test_a_timm_model_trains_and_its_head_is_found(tmp_path: Path):
    module = build_module("timm/resnet10t", {"in_chans": 1, "num_classes": 10})
    found = find_head(module, torch.randn(4, 1, 32, 32))
    assert (found.layers, len(found.weights.weight)) == (("fc",), 10)
    with pytest.raises(
        InputError, match=r"expected an architecture of torchvision or timm, got 'timm/resnet9999'"
    ):
        build_module("timm/resnet9999", {})


def test_a_head_that_does_not_make_the_logits_is_refused(checkpoint_path: Path):
    head = classifier_of(open_checkpoint(checkpoint_path)).weights
    assert head is not None
    features = torch.randn(5, 64)
    logits = head.logits(features.double()).float()
    assert require_identity(head, features, logits) < 1e-6
    with pytest.raises(InputError, match="what reaches the head is not what makes the logits"):
        require_identity(head, features, logits * 1.01)


def test_weights_of_another_architecture_are_refused(checkpoint_path: Path, tmp_path: Path):
    content = torch.load(checkpoint_path, weights_only=True)
    content["state_dict"] = small_cnn(1, 10, (8, 8, 8)).state_dict()
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(
        InputError, match=r"other.pt: its weights are not those of small_cnn; .*another shape"
    ):
        classifier_of(open_checkpoint(tmp_path / "other.pt"))


def test_a_training_that_diverges_is_an_error_and_leaves_no_file(tmp_path: Path):
    plan = TrainingPlan(epochs=2, train_samples=100, learning_rate=1e30)
    with pytest.raises(InputError, match=r"the training loss became .* lower --lr"):
        train(plan, tmp_path / "x.pt")
    assert not list(tmp_path.iterdir())
