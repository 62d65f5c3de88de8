"""Tests for what a plan may say: each wrong value has its sentence, which names the field."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from maxsup_analysis.errors import InputError
from maxsup_analysis.training import TrainingPlan
from maxsup_analysis.training.plan import first_difference
from maxsup_analysis.training.sense import problems

PLAN = TrainingPlan()
NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("epochs", 0, "expected epochs above 0, got 0"),
        ("epochs", 1.5, "expected epochs above 0, got 1.5"),
        ("batch_size", -1, "expected batch_size above 0, got -1"),
        ("batch_size", True, "expected batch_size above 0, got True"),
        ("learning_rate", NAN, "expected learning_rate above 0, got nan"),
        ("learning_rate", float("inf"), "expected learning_rate above 0, got inf"),
        ("momentum", 1.0, "expected momentum from 0 to below 1, got 1.0"),
        ("weight_decay", -1e-4, "expected weight_decay of 0 or more, got -0.0001"),
        ("clip_norm", 0.0, "expected clip_norm above 0, got 0.0"),
        ("label_noise", 1.01, "expected label_noise from 0 to 1, got 1.01"),
        ("label_noise_kind", "pairs", "expected label_noise_kind symmetric or pair, got 'pairs'"),
        ("imbalance", 0.5, "expected imbalance of 1 or more, got 0.5"),
        ("train_samples", 0, "expected train_samples above 0, got 0"),
        ("samples_per_class", -3, "expected samples_per_class above 0, got -3"),
        ("optimiser", "adam", "expected optimiser sgd or adamw, got 'adam'"),
        ("schedule", "linear", "expected schedule one-cycle or cosine or step or constant, got 'linear'"),
        ("amp", "fp8", "expected amp bf16 or fp16, got 'fp8'"),
        ("ema", 1.0, "expected ema above 0 and below 1, got 1.0"),
        ("mixup", -0.1, "expected mixup of 0 or more, got -0.1"),
        ("erasing", 2.0, "expected erasing from 0 to 1, got 2.0"),
        ("warmup_epochs", 15, "expected warmup_epochs below epochs, which are 15, got 15"),
        ("accumulate", 65, "expected accumulate up to batch_size, which is 64, got 65"),
        ("alpha", 1.5, "expected alpha from 0 to below 1, got 1.5"),
        ("alpha_end", NAN, "expected alpha_end from 0 to below 1, got nan"),
        ("workers", -1, "expected workers of 0 or more, got -1"),
        ("seed", -1, "expected seed of 0 or more, got -1"),
        ("threads", 0, "expected threads above 0, got 0"),
        ("keep_every", 0, "expected keep_every above 0, got 0"),
        ("image_size", 0, "expected image_size above 0, got 0"),
    ],
)
def test_a_value_that_cannot_be_meant(name: str, value: object, sentence: str):
    # Types are checked by beartype in tests; a study file or a flag has its own words for those.
    plan = replace(PLAN)
    object.__setattr__(plan, name, value)
    with pytest.raises(InputError) as refusal:
        plan.require_sense()
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss": "maxsupp"}, "did you mean 'maxsup'"),
        ({"loss": "maxsup", "alpha": -0.1}, "expected alpha of the loss 'maxsup'"),
        ({"loss": "focal", "loss_args": {"gama": 2}}, "did you mean 'gamma'"),
        ({"model": "resnet"}, "architecture of torchvision or timm, got 'resnet'"),
        ({"model": "timm/resnet9999"}, "got 'timm/resnet9999'"),
        ({"loss": "cosine", "model": "torchvision/resnet18"}, "expected a model with a cosine head"),
        ({"loss": "cosine", "model_args": {"head": "linear"}}, "expected a model with a cosine head"),
        ({"resized_crop": True, "crop_padding": 4}, "expected crop_padding of 0 where resized_crop"),
    ],
)
def test_what_does_not_go_together(changes: dict, sentence: str):
    with pytest.raises(InputError, match=sentence):
        replace(PLAN, **changes).require_sense()


def test_every_number_and_word_has_a_range():
    """A field without one would take anything."""
    free = {
        "data",
        "data_dir",
        "split",
        "test_split",
        "loss",
        "alpha",
        "alpha_end",
        "loss_args",
        "model",
        "model_args",
    }
    free |= {"decay_norms_and_biases", "flip", "resized_crop", "compile", "sync_batchnorm", "device"}
    for name in {item.name for item in fields(PLAN)} - free:
        wrong = replace(PLAN)
        object.__setattr__(wrong, name, "nonsense")
        assert next(problems(wrong)).field == name


def test_the_default_plan_and_a_full_one_make_sense():
    PLAN.require_sense()
    full = TrainingPlan(
        loss="mbls", loss_args={"margin": 6}, model="timm/resnet10t", epochs=90, warmup_epochs=5, optimiser="adamw",
        schedule="step", ema=0.999, amp="bf16", mixup=0.8, cutmix=1.0, erasing=0.25, resized_crop=True, clip_norm=1.0,
        label_noise=0.4, label_noise_kind="pair", imbalance=100.0, samples_per_class=100, keep_every=10,
    )  # fmt: skip
    full.require_sense()


def test_a_plan_is_plain():
    plan = replace(PLAN, data_dir=Path("there"), loss_args={"margin": 6}, model_args={"widths": [8, 8, 8]})
    plain = plan.to_plain()
    assert json.loads(json.dumps(plain)) == plain and plain["data_dir"] == "there"
    assert set(plain) == {item.name for item in fields(plan)}


def test_tuples_are_lists_once_written():
    plan = replace(PLAN, model_args={"widths": (8, 8, 8)})
    assert first_difference(plan, json.loads(json.dumps(plan.to_plain()))) is None


def test_arguments_that_are_not_plain_are_refused():
    with pytest.raises(InputError, match="expected model_args of numbers, words, lists and tables, got"):
        replace(PLAN, model_args={"act_layer": object()}).require_sense()


def test_the_first_field_that_differs_is_named_and_places_do_not_count():
    assert first_difference(PLAN, PLAN.to_plain()) is None
    assert first_difference(PLAN, replace(PLAN, seed=1, batch_size=8).to_plain()) == "batch_size"
    elsewhere = replace(PLAN, device="cuda:1", workers=3, data_dir=Path("there"))
    assert first_difference(PLAN, elsewhere.to_plain()) is None
    assert (
        first_difference(PLAN, {name: value for name, value in PLAN.to_plain().items() if name != "ema"})
        == "ema"
    )


def test_steps_of_an_epoch():
    assert [replace(PLAN, batch_size=10).steps_per_epoch(N) for N in (1, 10, 11)] == [1, 1, 2]
