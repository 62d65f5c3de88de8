"""Tests for folders that would run code, ask, or reach the network: nothing of it happens, in any command, one line."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from timm.models import load_checkpoint
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    TimmWrapperConfig,
    TimmWrapperForImageClassification,
)

from maxsup_analysis.cli import app
from maxsup_analysis.errors import InputError
from maxsup_analysis.inspection import inspect_checkpoint
from tests.hugging_face.producer import network, pictures, silent, written

CODE = """
from pathlib import Path
Path({mark!r}).write_text("ran")
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
class OwnConfig(ViTConfig):
    model_type = {kind!r}
class OwnModel(ViTForImageClassification):
    config_class = OwnConfig
class OwnProcessor(ViTImageProcessor):
    pass
"""
SIZE = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
AUTO = {"AutoConfig": "own.OwnConfig", "AutoModelForImageClassification": "own.OwnModel"}
PROCESSOR = {"AutoImageProcessor": "own.OwnProcessor"}
# What is stated -> changes of config.json, changes of preprocessor_config.json, words of the refusal.
PAYLOADS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "auto_map of a new kind": ({"model_type": "own", "auto_map": AUTO}, {}, "brings its own code"),
    "auto_map of a known kind": ({"auto_map": AUTO}, {}, "auto_map"),
    "auto_map of the processor": ({}, {"auto_map": PROCESSOR}, "auto_map"),
    "auto_map elsewhere": ({"auto_map": {"AutoConfig": "org/repository--own.OwnConfig"}}, {}, "auto_map"),
    "dtype": ({"dtype": "os.system"}, {}, "dtype is 'os.system'"),
    "torch_dtype": ({"torch_dtype": "hub.load"}, {}, "torch_dtype is 'hub.load'"),
    "attention of a repository": ({"_attn_implementation": "org/kernel"}, {}, "_attn_implementation is 'org/kernel'"),
    "attention by its other name": ({"attn_implementation": "org/kernel:fn"}, {}, "attn_implementation is"),
    "backbone": ({"backbone": "org/resnet", "use_pretrained_backbone": True}, {}, "backbone is 'org/resnet'"),
    "timm backbone": ({"use_timm_backbone": True}, {}, "use_timm_backbone"),
    "backbone configuration": ({"backbone_config": {"model_type": "own"}}, {}, "backbone_config"),
    "quantisation": ({"quantization_config": {"quant_method": "bitsandbytes"}}, {}, "quantization_config"),
    "kernels": ({"use_kernels": True, "kernel_config": {"a": "org/k"}}, {}, "use_kernels"),
    "pipelines": ({"custom_pipelines": {"own": {"impl": "own.py"}}}, {}, "custom_pipelines"),
    "layers of their own": ({"per_layer_config": {"0": {"auto_map": AUTO}}}, {}, "per_layer_config"),
    "activation": ({"hidden_act": "os.system"}, {}, "hidden_act is 'os.system'"),
    "weights elsewhere": ({"transformers_weights": "/etc/passwd"}, {}, "transformers_weights"),
    "layers": ({"num_hidden_layers": 10**9}, {}, "num_hidden_layers is"),
    "width": ({"hidden_size": 10**6}, {}, "hidden_size is"),
    "image": ({"image_size": 10**5}, {}, "image_size is"),
    "classes": ({"id2label": None, "num_labels": 10**7}, {}, "num_labels is"),
    "sides": ({}, {"size": {"height": 10**5, "width": 10**5}}, "height is"),
    "processor": ({}, {"image_processor_type": "os.system"}, "image_processor_type is 'os.system'"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("payloads")
    pictures(root / "data")
    return written(root / "vit", network("vit"), SIZE)


def hostile(folder: Path, target: Path, config: dict[str, Any], processor: dict[str, Any]) -> Path:
    """The folder with what is stated changed, and code beside it that leaves a mark."""
    target.mkdir()
    kind = config.get("model_type", "vit")
    (target / "own.py").write_text(CODE.format(mark=str(target / "MARK"), kind=kind))
    (target / "model.safetensors").hardlink_to(folder / "model.safetensors")
    for name, changes in (("config.json", config), ("preprocessor_config.json", processor)):
        stated = {**json.loads((folder / name).read_text()), **changes}
        (target / name).write_text(
            json.dumps({key: entry for key, entry in stated.items() if entry is not None})
        )
    return target


class Witness:
    """Whether anything runs, asks, or reaches the network; an audit hook cannot be removed, so it is switched."""

    def __init__(self) -> None:
        self.watching = False
        self.offences: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        own = event == "exec" and str(getattr(arguments[0], "co_filename", "")).endswith("/own.py")
        module = event == "import" and str(arguments[0]).startswith(("own", "transformers_modules"))
        if own or module or event in REACHING or (event == "open" and str(arguments[0]).endswith(".pkl")):
            self.offences.append(f"{event} {str(arguments)[:200]}")


REACHING = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "os.system", "pickle.find_class")
WITNESS = Witness()


@contextmanager
def watched() -> Iterator[list[str]]:
    WITNESS.offences.clear()
    WITNESS.watching = True
    try:
        yield WITNESS.offences
    finally:
        WITNESS.watching = False


@pytest.fixture(autouse=True)
def never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> str:
        pytest.fail("something is asked on the terminal")

    monkeypatch.setattr("builtins.input", asked)
    # What the user set does not matter.
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
    monkeypatch.setenv("USE_HUB_KERNELS", "1")


def command(*words: str) -> None:
    app(args=list(words), prog_name="maxsup-analyze", standalone_mode=False)


@pytest.mark.parametrize("name", PAYLOADS)
def test_nothing_of_a_payload_happens(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config, processor, words = PAYLOADS[name]
    target, data = hostile(folder, tmp_path / "hostile", config, processor), str(folder.parent / "data")
    with watched() as offences:
        command("inspect", "--json", str(target))
        assert any(words in line for line in json.loads(capsys.readouterr().out)["warnings"])
        with pytest.raises(InputError) as refused:
            command("features" if len(name) % 2 else "measure", str(target), "--data", data)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert offences == []
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in target.iterdir()) == sorted(BESIDE)


BESIDE = ("own.py", "model.safetensors", "config.json", "preprocessor_config.json")


@pytest.mark.parametrize("name", ["auto_map of a known kind", "dtype", "layers"])
def test_nor_does_it_where_the_user_names_the_folder(name: str, folder: Path, tmp_path: Path):
    config, processor, words = PAYLOADS[name]
    target = hostile(folder, tmp_path / "hostile", config, processor)
    with watched() as offences, pytest.raises(InputError, match=words):
        command(
            "features", str(folder), "--model", f"hf:{target}", "--data", str(folder.parent / "data"),
            "-o", str(tmp_path / "out"),
        )  # fmt: skip
    assert offences == []


class Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.mark, "ran")


WRAPPED = {
    "weights that are a pickle": (
        {"model_args": {"checkpoint_path": "evil.pth"}},
        "checkpoint_path is 'evil.pth'",
    ),
    "a repository": (
        {"model_args": {"pretrained_cfg_overlay": {"hf_hub_id": "org/x"}}},
        "pretrained_cfg_overlay",
    ),
    "pretrained": ({"model_args": {"pretrained": True}}, "pretrained is True"),
    "code": ({"auto_map": AUTO}, "auto_map"),
    "an architecture elsewhere": ({"architecture": "hf-hub:org/resnet"}, ""),
    "one in a folder": ({"architecture": "local-dir:/tmp"}, ""),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapped_network_of_timm_reaches_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    changes, words = WRAPPED[name]
    wrapper: Any = TimmWrapperConfig
    config = wrapper(architecture="resnet18", num_labels=5)
    with silent():
        net = TimmWrapperForImageClassification(config)
    target, data = written(tmp_path / "wrapped", net, {}), pictures(tmp_path / "data")
    said = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**said, **changes}))
    torch.save(Payload(target / "MARK"), target / "evil.pth")
    monkeypatch.chdir(target)
    with watched() as offences:
        command("inspect", str(target))
        if words:
            with pytest.raises(InputError, match=words):
                command("features", str(target), "--data", str(data))
        else:
            # The names and shapes of the weights are enough.
            assert inspect_checkpoint(target).architecture in (None, "torchvision/resnet18", "timm/resnet18")
    assert offences == []
    assert not (target / "MARK").exists()


def test_the_pickle_of_a_wrapped_network_runs_where_it_is_trusted(tmp_path: Path):
    torch.save(Payload(tmp_path / "MARK"), tmp_path / "evil.pth")
    with suppress(Exception):
        load_checkpoint(torch.nn.Linear(2, 2), str(tmp_path / "evil.pth"), weights_only=False)
    assert (tmp_path / "MARK").read_text() == "ran"


def test_the_code_beside_it_runs_where_it_is_trusted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The payload is alive: transformers runs it under trust_remote_code=True."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    config, _, _ = PAYLOADS["auto_map of a new kind"]
    target = hostile(folder, tmp_path / "hostile", config, {})
    with silent():
        AutoModelForImageClassification.from_pretrained(target, trust_remote_code=True)
    assert (target / "MARK").read_text() == "ran"


def test_a_name_reaches_getattr_where_it_is_trusted(folder: Path, tmp_path: Path):
    target = hostile(folder, tmp_path / "hostile", {"dtype": "os.system"}, {})
    with pytest.raises(AttributeError, match=r"module 'torch' has no attribute 'os.system'"):
        AutoConfig.from_pretrained(target)


def test_what_transformers_says_of_weights_stays_off_the_terminal(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    target = hostile(folder, tmp_path / "hostile", {}, {})
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["a\x1b[31m\nSHA-256: 0"] = weights.pop("classifier.bias")
    (target / "model.safetensors").unlink()
    safetensors.torch.save_file(weights, target / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"1 are missing .classifier.bias.; 1 are left over"):
        command("features", str(target), "--data", str(folder.parent / "data"))
    said = "".join(capfd.readouterr())
    assert "\x1b" not in said
    assert "SHA-256" not in said
