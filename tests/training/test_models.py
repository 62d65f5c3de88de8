"""Tests for models by name: built for the data, or refused in one line."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from maxsup_analysis.architectures.small import ARCHITECTURES
from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.classifiers import classifier_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.training import TrainingPlan, train
from maxsup_analysis.training.models import Architecture, architecture_of, built
from tests.training.softmax_regression import write_network

PLAN = TrainingPlan()


@pytest.mark.parametrize(
    ("model", "name", "arguments"),
    [
        ("small_cnn", "small_cnn", {"channels": 1, "classes": 5}),
        ("timm/resnet10t", "timm/resnet10t", {"in_chans": 1, "num_classes": 5}),
        ("resnet10t", "timm/resnet10t", {"in_chans": 1, "num_classes": 5}),
    ],
)
def test_arguments_are_in_the_words_of_the_library(model: str, name: str, arguments: dict):
    found = architecture_of(replace(PLAN, model=model), 1, 5)
    assert found == Architecture(name, arguments)
    given = architecture_of(replace(PLAN, model=model, model_args={"extra": 1}), 1, 5)
    assert given.arguments == {**arguments, "extra": 1}


def test_torchvision_takes_colour_only():
    plan = replace(PLAN, model="torchvision/resnet18")
    assert architecture_of(plan, 3, 5).arguments == {"num_classes": 5}
    with pytest.raises(
        InputError,
        match="expected images of 3 channels for torchvision/resnet18, got 1",
    ):
        architecture_of(plan, 1, 5)


def test_first_weights_are_those_of_the_seed():
    architecture = architecture_of(PLAN, 1, 10)
    torch.manual_seed(7)
    expected = ARCHITECTURES["small_cnn"](1, 10).state_dict()
    found = built(architecture, (1, 8, 8), 10, seed=7).state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_images_that_a_model_cannot_take_are_refused():
    architecture = Architecture("timm/deit_tiny_patch16_224", {"in_chans": 1, "num_classes": 10})
    with pytest.raises(InputError, match=r"cannot take images of 1 x 8 x 8: .*give image_size, or arguments"):
        built(architecture, (1, 8, 8), 10, seed=0)


def test_a_model_of_other_outputs_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"expected 7 outputs of .*:linear, one a class, got 10"):
        built(Architecture(f"{write_network(tmp_path)}:linear", {}), (1, 8, 8), 7, seed=0)


def test_a_timm_model_trains_and_opens_again(tmp_path: Path):
    plan = TrainingPlan(model="timm/resnet10t", train_samples=40, epochs=1, batch_size=20, image_size=None)
    train(plan, tmp_path / "x.pt")
    classifier = classifier_of(open_checkpoint(tmp_path / "x.pt"))
    assert (classifier.name, classifier.num_classes) == ("timm/resnet10t", 10)


def test_batches_of_one_that_batch_statistics_need_more_of_are_explained(tmp_path: Path):
    plan = TrainingPlan(model="digits_mlp", train_samples=41, batch_size=40, epochs=1)
    with pytest.raises(InputError, match=r"a batch of 1 image has no statistics .* batch_size"):
        train(plan, tmp_path / "x.pt")
