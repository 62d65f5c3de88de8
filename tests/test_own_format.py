"""Tests for checkpoints of this package that state what they may not, or more than there can be."""

import inspect
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import timm
import torch

from maxsup_analysis.architectures.accepted import ACCEPTED, OWN, TIMM, accepted
from maxsup_analysis.architectures.known import index
from maxsup_analysis.architectures.outline import require_room
from maxsup_analysis.architectures.small import ARCHITECTURES, small_cnn
from maxsup_analysis.checkpoints import open_checkpoint, save_checkpoint
from maxsup_analysis.classifiers import ModelChoice, classifier_of, probe_of
from maxsup_analysis.containers import StoredTensor
from maxsup_analysis.containers.contents import Record, numbers_held
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.inspection import inspect_checkpoint
from maxsup_analysis.own_format import own_preprocessing
from maxsup_analysis.preprocessing import Overrides, Preprocessing
from maxsup_analysis.stated import Stated

IMAGES = {"size": [1, 8, 8], "mean": [0.5], "std": [0.5], "resize": None, "interpolation": "bilinear"}


def saved(path: Path, name: str = "small_cnn", arguments: object = None, **facts: object) -> Path:
    """The weights of a small network, and what is said of them."""
    arguments = {"channels": 1, "classes": 10} if arguments is None else arguments
    about = {
        "architecture": {"name": name, "arguments": arguments},
        "preprocessing": IMAGES,
        "data": "digits",
    }
    torch.manual_seed(0)
    save_checkpoint(path, small_cnn(1, 10).state_dict(), {**about, "split": "test", **facts})
    return path


def test_every_builder_of_this_package_is_known_with_its_arguments():
    signatures = {name: list(inspect.signature(build).parameters) for name, build in ARCHITECTURES.items()}
    assert {name: sorted(table) for name, table in OWN.items()} == {
        k: sorted(v) for k, v in signatures.items()
    }


def test_a_tag_of_pretrained_weights_says_nothing_more():
    assert Stated("timm/resnet50.a1_in1k", "a.pt").among(ACCEPTED, "") == "timm/resnet50"
    assert set(ACCEPTED) == {*ARCHITECTURES, *index().architectures} and len(ACCEPTED) == len(set(ACCEPTED))


@pytest.mark.parametrize(
    "name",
    ["checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "scriptable",
     "exportable", "weights", "block", "norm_layer", "features_only", "kwargs", "__class__", "url"],
)  # fmt: skip
@pytest.mark.parametrize("architecture", ["timm/resnet18", "torchvision/resnet18", "small_cnn"])
def test_arguments_that_name_files_code_or_objects_are_refused_by_name(architecture: str, name: str):
    found = accepted(architecture, Stated({name: True, "num_classes": 10, "classes": 10}, "a.pt"))
    assert name in found.refused and name not in found.arguments
    assert "--model-args" in found.refused[name] and f"{name} is True" in found.refused[name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_classes", "10"), ("num_classes", 1.5), ("num_classes", True), ("num_classes", -1),
        ("num_classes", 10**7), ("in_chans", 0), ("img_size", [224, 224, 224]), ("img_size", 10**5),
        ("img_size", {"a": 1}), ("global_pool", "os.system"), ("act_layer", "torch.nn.ReLU"), ("drop_rate", math.nan),
        ("drop_rate", 2), ("depth", 10**9), ("layers", [200, 200]), ("depths", [1] * 17), ("embed_dim", 10**6),
        ("qkv_bias", 1), ("mlp_ratio", math.inf), ("window_size", 65), ("init_values", "x"),
    ],
)  # fmt: skip
def test_arguments_have_a_type_and_bounds(name: str, value: object):
    found = accepted("timm/vit_tiny_patch16_224", Stated({name: value}, "a.pt"))
    assert name in TIMM and found.arguments == {} and list(found.refused) == [name]


def test_honest_arguments_are_taken_as_they_are():
    honest = {
        "num_classes": 10, "in_chans": 1, "img_size": [32, 64], "patch_size": 4, "global_pool": "avg", "depth": 12,
        "depths": (2, 2, 6, 2), "drop_path_rate": 0.1, "qkv_bias": False, "init_values": None, "act_layer": "gelu",
        "embed_dim": 192, "mlp_ratio": 4.0,
    }  # fmt: skip
    found = accepted("timm/vit_tiny_patch16_224", Stated(honest, "a.pt"))
    assert found.refused == {} and found.arguments == {**honest, "depths": [2, 2, 6, 2]}


def test_a_refused_argument_is_left_out_or_given_as_the_message_says(tmp_path: Path):
    path = saved(tmp_path / "a.pt", arguments={"channels": 1, "classes": 10, "checkpoint_path": "x.pth"})
    checkpoint = open_checkpoint(path)
    with pytest.raises(InputError, match=r"checkpoint_path is 'x.pth'.* leave it out with --model small_cnn"):
        classifier_of(checkpoint)
    assert classifier_of(checkpoint, ModelChoice("small_cnn")).num_classes == 10
    assert any("checkpoint_path" in warning for warning in inspect_checkpoint(path).warnings)


def test_code_that_a_file_names_is_run_when_the_user_names_it_with_its_arguments(tmp_path: Path):
    code = tmp_path / "mine.py"
    code.write_text(
        "from maxsup_analysis.architectures.small import small_cnn\n"
        "def net(classes): return small_cnn(1, classes)\n"
    )
    checkpoint = open_checkpoint(saved(tmp_path / "a.pt", f"{code}:net", {"classes": 10}))
    typed = f"--model {code}:net --model-args classes=10"
    with pytest.raises(InputError) as refusal:
        classifier_of(checkpoint)
    assert str(refusal.value).endswith(typed)
    with pytest.raises(InputError, match="arguments that a file may not choose") as lacking:
        classifier_of(checkpoint, ModelChoice(f"{code}:net"))
    assert typed in str(lacking.value)
    assert classifier_of(checkpoint, ModelChoice(f"{code}:net", {"classes": 10})).num_classes == 10


@pytest.mark.parametrize(
    "data", ["images", "../images", "a.py:val", "os:getcwd", "hf:x", "torchvision:os", "x.tar"]
)
def test_data_that_a_file_names_are_known_sets_or_typed(tmp_path: Path, data: str):
    path = saved(tmp_path / "a.pt", data=data)
    with pytest.raises(InputError, match=f"data is .*--data {data}$"):
        extract_features(path, None, Extraction())
    assert extract_features(path, None, Extraction(data="digits", split="test")).size == 600


def test_a_split_that_a_file_names_is_a_usual_one_or_typed(tmp_path: Path):
    path = saved(tmp_path / "a.pt", split="../../etc")
    with pytest.raises(InputError, match=r"split is '../../etc'.*--split ../../etc$"):
        extract_features(path, None, Extraction())
    assert extract_features(path, None, Extraction(split="test")).size == 600


@pytest.mark.parametrize(
    "change",
    [
        {"size": [1, 10**5, 10**5]}, {"size": [1, 8]}, {"size": "888"}, {"size": [10**6, 8, 8]}, {"resize": 10**5},
        {"resize": [8]}, {"mean": [math.nan]}, {"std": [0]}, {"std": ["0.5"]}, {"std": [math.inf]}, {"mean": None},
        {"interpolation": "os.system"}, {"convention": "../x"}, {"bgr": "yes"},
    ],
)  # fmt: skip
def test_images_are_described_soundly_or_by_the_user(tmp_path: Path, change: dict):
    path = saved(tmp_path / "a.pt", preprocessing={**IMAGES, **change})
    with pytest.raises(InputError, match=r"^a.pt: preprocessing.*give --image-size"):
        classifier_of(open_checkpoint(path))
    assert inspect_checkpoint(path).preprocessing is None
    typed = ModelChoice(images=Overrides(image_size=8, mean=(0.5,), std=(0.5,)))
    assert classifier_of(open_checkpoint(path), typed).preprocessing.size == (1, 8, 8)


@pytest.mark.parametrize("resize", [None, 12, (10, 12)])
def test_preprocessing_is_read_as_it_was_written(resize: int | tuple[int, int] | None):
    whole = Preprocessing(
        (3, 8, 10), (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), resize, "bicubic", "transformers", bgr=True
    )
    assert (
        own_preprocessing(Stated({"preprocessing": json.loads(json.dumps(whole.to_plain()))}, "a.pt"))
        == whole
    )


LARGE = {
    "small_cnn": {"channels": 1, "classes": 10, "widths": [60_000] * 3},
    "digits_mlp": {"channels": 1000, "classes": 10, "side": 2000},
    "timm/resnet18": {"num_classes": 10**6},
    "torchvision/vit_b_16": {"image_size": 2048 * 16},
    "timm/vit_tiny_patch16_224": {"img_size": 2048, "patch_size": 1},
    "timm/swin_tiny_patch4_window7_224": {"img_size": 2048, "patch_size": 1, "window_size": 64},
}


@pytest.mark.parametrize("name", LARGE)
def test_a_model_that_is_far_larger_than_its_file_is_not_built(name: str):
    begun, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"would have .* numbers, the file has 1,000,000"):
        require_room(name, LARGE[name], 1_000_000)
    assert time.process_time() - begun < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200 << 10


@pytest.mark.parametrize("name", ["timm/resnet18", "timm/vit_tiny_patch16_224", "torchvision/regnet_y_400mf"])
def test_a_model_has_the_room_of_its_own_file(name: str):
    require_room(name, {"num_classes": 10}, 1_000_000)
    torch.manual_seed(0)
    numbers = sum(
        tensor.numel() for tensor in timm.create_model("resnet18", num_classes=10, in_chans=1).parameters()
    )
    require_room("timm/resnet18", {"num_classes": 10, "in_chans": 1}, numbers)


def test_the_numbers_of_a_file_are_those_that_it_has():
    """A tensor of stride 0 shows a shape of any size; two tensors over the same bytes are there once."""
    record = Record("", 0, 400)
    whole = StoredTensor("float32", (100,), (1,), record)
    assert numbers_held([whole, StoredTensor("float32", (10**6, 100), (0, 1), record)]) == 100
    assert numbers_held([whole, StoredTensor("float16", (5,), (1,), Record("", 400, 10))]) == 105


@pytest.mark.parametrize(("side", "images"), [(8, 4), (224, 4), (724, 4), (1024, 2), (2048, 1)])
def test_the_probe_has_few_pixels(side: int, images: int):
    assert probe_of(Preprocessing((3, side, side), (0.5,) * 3, (0.5,) * 3)).shape == (images, 3, side, side)


def test_a_file_cannot_print_lines_of_its_own(tmp_path: Path):
    forged = "x\nSHA-256:      0000\x1b[2J\u202e\u2028\x00\ud800"
    training = {
        forged: forged,
        "loss": forged,
        "epoch": 10**30,
        "alpha": math.nan,
        "list": [forged, {forged: -math.inf}],
    }
    path = saved(
        tmp_path / "a.pt",
        forged,
        {forged: forged},
        training=training,
        data=forged,
        split=forged,
        classes=[forged],
    )
    lines = inspect_checkpoint(path).to_text().split("\n")
    digests = [line.split() for line in lines if line.startswith("SHA-256:")]
    assert digests == [["SHA-256:", open_checkpoint(path).sha256]]
    assert all(line.isprintable() for line in lines)
    for flags in ([], ["--json"]):
        command = [sys.executable, "-m", "maxsup_analysis", "inspect", str(path), *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(line.isprintable() for line in done.stdout.splitlines())
    json.loads(done.stdout, parse_constant=pytest.fail)
