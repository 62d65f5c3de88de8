"""Tests for what a folder of transformers states: digest, names, what is derived, what is not used."""

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers.models.auto import image_processing_auto

from maxsup_analysis.architectures.transformers_fields import DERIVED, FIELDS, IDLE
from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.classifiers import ModelChoice, classifier_of
from maxsup_analysis.containers.arrays import node_of_json, plain_json
from maxsup_analysis.errors import InputError
from maxsup_analysis.hugging_face import transformers_folder
from maxsup_analysis.ingredients import configuration_digest
from maxsup_analysis.inspection import inspect_checkpoint
from maxsup_analysis.preprocessing import Overrides
from maxsup_analysis.processors import OF_MODELS, PROCESSORS, RESAMPLE
from tests.hugging_face.mutants import mutated
from tests.hugging_face.nets import CLASSES
from tests.hugging_face.producer import network, written

VIT = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
# Fields of every configuration, and of other tasks, that transformers declares with the classes.
COMMON = {field.name for field in dataclasses.fields(transformers.PreTrainedConfig)}


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("vit"), network("vit"), VIT)


def changed(
    folder: Path, target: Path, config: dict[str, Any], processor: dict[str, Any] | None = None
) -> Path:
    """The folder with other entries in its config.json and its preprocessor_config.json."""
    target.mkdir()
    (target / "model.safetensors").hardlink_to(folder / "model.safetensors")
    for name, entries in (("config.json", config), ("preprocessor_config.json", processor or {})):
        (target / name).write_text(json.dumps({**json.loads((folder / name).read_text()), **entries}))
    return target


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_of_a_kind_is_used_or_known_to_change_nothing(kind: str):
    known: Any = transformers.CONFIG_MAPPING[kind]
    fields = {field.name for field in dataclasses.fields(known)} - COMMON
    assert set(FIELDS[kind]) <= fields
    assert fields - set(FIELDS[kind]) <= set(IDLE)


@pytest.mark.parametrize("name", PROCESSORS)
def test_defaults_of_processors_are_those_of_transformers(name: str):
    theirs, ours = getattr(transformers, name), PROCESSORS[name]
    size = theirs.size.get("shortest_edge") or (theirs.size["height"], theirs.size["width"])
    crop = getattr(theirs, "crop_size", None)
    assert (ours.size, ours.crop, ours.resample) == (size, crop and crop["height"], RESAMPLE[theirs.resample])
    assert (ours.centre_crop, ours.square) == (
        bool(getattr(theirs, "do_center_crop", False)), theirs.default_to_square,
    )  # fmt: skip
    if ours.normalises:
        assert (ours.mean, ours.std) == (tuple(theirs.image_mean), tuple(theirs.image_std))
    assert ours.normalises == bool(theirs.do_normalize)


def test_kinds_of_models_have_the_processors_of_transformers():
    names: Any = vars(image_processing_auto)["IMAGE_PROCESSOR_MAPPING_NAMES"]
    theirs = {kind: names[kind]["torchvision"] for kind in OF_MODELS}
    assert theirs == {kind: f"{name}ImageProcessor" for kind, name in OF_MODELS.items()}


def test_inspect_finds_the_head_and_the_classes_of_a_vision_transformer(vit: Path):
    found = inspect_checkpoint(vit)
    assert (found.head, found.num_classes, found.feature_dim) == (("classifier",), CLASSES, 16)
    assert (found.unused, found.warnings) == ((), ())


def test_the_digest_of_a_folder_covers_what_says_which_network_it_is(vit: Path, tmp_path: Path):
    digest = open_checkpoint(vit).sha256
    assert open_checkpoint(vit, expect_sha256=digest).sha256 == digest
    for number, (config, processor) in enumerate(
        [({"layer_norm_eps": 0.5}, {}), ({}, {"do_normalize": False})]
    ):
        other = changed(vit, tmp_path / str(number), config, processor)
        with pytest.raises(InputError, match=f"expected SHA-256 {digest}, got "):
            open_checkpoint(other, expect_sha256=digest)


def test_the_digest_of_a_file_says_that_it_covers_the_file_alone(vit: Path):
    file = vit / "model.safetensors"
    found = inspect_checkpoint(file)
    assert (
        f"{found.sha256} (of the file alone: not of config.json, preprocessor_config.json beside it)"
        in found.to_text()
    )
    with pytest.raises(
        InputError, match=f"does not cover config.json and .*give the folder, {vit}, and"
    ) as refused:
        open_checkpoint(file, expect_sha256=found.sha256)
    assert "\n" not in str(refused.value)
    assert open_checkpoint(vit, expect_sha256=inspect_checkpoint(vit).sha256)


@pytest.mark.parametrize(
    ("config", "processor", "unused"),
    [
        ({"window_size": 7, "temperature": 3.0}, {}, ("config.json: window_size", "config.json: temperature")),
        ({"problem_type": "multi_label_classification"}, {}, ("config.json: problem_type",)),
        ({"problem_type": "single_label_classification"}, {}, ()),
        ({}, {"crop_pct": 0.9, "colour": "sepia"},
         ("preprocessor_config.json: crop_pct", "preprocessor_config.json: colour")),
        ({"use_cache": True, "torch_dtype": "bfloat16"}, {"do_convert_rgb": True, "processor_class": None}, ()),
    ],
)  # fmt: skip
def test_what_is_stated_and_not_used_is_named(
    vit: Path, tmp_path: Path, config: dict, processor: dict, unused: tuple
):
    assert inspect_checkpoint(changed(vit, tmp_path / "other", config, processor)).unused == unused


def test_what_follows_from_other_numbers_has_to_agree_with_them(tmp_path: Path):
    swin = written(tmp_path / "swin", network("swin"), VIT)
    assert json.loads((swin / "config.json").read_text())["hidden_size"] == 16
    with pytest.raises(InputError, match="hidden_size is 24, which is not what its other numbers make"):
        classifier_of(open_checkpoint(changed(swin, tmp_path / "other", {"hidden_size": 24})))
    assert "hidden_size" in DERIVED


def test_features_of_other_attention_heads_are_other_features(vit: Path, tmp_path: Path):
    other = changed(vit, tmp_path / "other", {"num_attention_heads": 4})
    two, four = (classifier_of(open_checkpoint(folder)) for folder in (vit, other))
    assert str(two.module) == str(four.module)
    assert configuration_digest(two) != configuration_digest(four)


def test_more_classes_than_the_head_has_are_refused(vit: Path, tmp_path: Path):
    names = {str(k): f"class {k}" for k in range(7)}
    with pytest.raises(InputError, match=r"are of another shape .classifier"):
        classifier_of(
            open_checkpoint(changed(vit, tmp_path / "other", {"id2label": names, "label2id": None}))
        )


def test_images_that_are_not_resized_are_refused_until_the_user_says_the_size(vit: Path, tmp_path: Path):
    folder = changed(vit, tmp_path / "other", {}, {"do_resize": False, "image_mean": [0.1, 0.2, 0.3]})
    checkpoint = open_checkpoint(folder)
    with pytest.raises(
        InputError, match=r"leaves images in sizes of their own \(do_resize is false\); say how"
    ):
        classifier_of(checkpoint)
    found = classifier_of(checkpoint, ModelChoice(images=Overrides(image_size=32))).preprocessing
    assert (found.size, found.resize, found.mean) == ((3, 32, 32), 32, (0.1, 0.2, 0.3))


def test_mutants_are_read_or_refused(vit: Path):
    """The part of benchmarks/fuzz_transformers.py that needs no network."""
    chance = random.Random(0)
    texts = {name: (vit / name).read_text() for name in ("config.json", "preprocessor_config.json")}
    for _ in range(150):
        name = chance.choice(list(texts))
        mutant = {**texts, name: mutated(json.loads(texts[name]), chance)}
        try:
            beside = {file: node_of_json(plain_json(text.encode())) for file, text in mutant.items()}
        except InputError:
            continue
        found = transformers_folder(beside, {"classifier.weight": (5, 16), "table": (17, 16)})
        for sentence in () if found is None else (*found.unused, *found.refused.values()):
            assert "\n" not in sentence
            assert sentence.encode()
