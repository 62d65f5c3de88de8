"""What a stranger's checkpoint can say, in every place where one says something: code, files, addresses,
sizes without end.

Each entry writes a file or a folder into an empty folder beside code and a pickle that are traps (`naming.trap`), and
gives its name. No command runs, asks for, opens or fetches anything that they name.
"""

import json
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor

from tests.checkpoints.naming import PREPROCESSING, Named, own, weights
from tests.checkpoints.transformers_attacks import AUTO, SIZES, Entries, Write, transformers_attacks

# HUGE is more than a float holds, BIG more than Python writes out.
NAN, HUGE, BIG, DEEP = float("nan"), 10**400, 10**5000, 10**9
LONG = "x" * 1_000_000
SMALL: Named = ("small_cnn", {"channels": 1, "classes": 10})
# Names of code, of files and of addresses.
NAMES = (
    "os:system", "os.system", "trapmodule:factory", "trapmodule.factory", "trap_file.py:factory",
    "./trap_file.py:factory",
    "trap.pth", "hf:.", "hf-hub:org/x", "timm/hf-hub:org/x", "timm/local-dir:.", "timm/../trap", "torch.hub:load",
    "https://example.com/x.pth", "file:///trap.pth", "pipe:touch PWNED", "__import__('os').system('touch PWNED')",
    "small_cnn:factory", "timm/resnet18\x1b[2J\nSHA-256: 0", "\ud800", "",
)  # fmt: skip
NOT_TEXT = (
    None,
    3,
    NAN,
    ["os:system"],
    {"_target_": "os.system", "command": "touch PWNED"},
    {"name": {}},
    True,
)
FILES: Entries = {
    "checkpoint_path": "trap.pth", "pretrained": True, "pretrained_cfg": {"file": "trap.pth"},
    "pretrained_cfg_overlay": {"file": "trap.pth"}, "cache_dir": "trap_data", "norm_layer": "os.system",
    "act_layer": "os.system", "block": "trapmodule.factory", "weights": "DEFAULT", "weights_backbone": "trap.pth",
    "features_only": True, "scriptable": True, "kwargs": {"checkpoint_path": "trap.pth"}, "hf_hub_id": "org/x",
    "url": "https://example.com/x.pth", "custom_load": "trapmodule.factory", "trust_remote_code": True,
    "_target_": "os.system", "class_path": "trapmodule.factory", "__class__": "os.system", "": 1, "self": 1,
}  # fmt: skip


@cache
def of_timm(name: str) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=10).state_dict()


def saved(place: str, content: object) -> Write:
    def write(folder: Path) -> str:
        torch.save(content, folder / place)
        return place

    return write


def own_facts(**facts: Any) -> Write:
    """This package's format."""
    named = facts.pop("architecture", SMALL)

    def write(folder: Path) -> str:
        return own(folder, named, **facts).name

    return write


def own_attacks() -> dict[str, Write]:
    images = [{**PREPROCESSING, "size": [1, side, side]} for side in (*SIZES, 4096)]
    images += [{**PREPROCESSING, "resize": side} for side in (*SIZES, 4096, [2048, 2048])]
    images += [{**PREPROCESSING, "size": [DEEP, 8, 8]}, {**PREPROCESSING, "mean": [0.0] * 10**6}]
    images += [
        {**PREPROCESSING, "mean": [NAN]},
        {**PREPROCESSING, "std": [0]},
        {**PREPROCESSING, "bgr": "os:system"},
    ]
    images += [{**PREPROCESSING, "interpolation": name} for name in NAMES[:8]]
    images += [{**PREPROCESSING, "convention": name} for name in NAMES[:8]]
    images += [
        {name: value for name, value in PREPROCESSING.items() if name != gone} for gone in PREPROCESSING
    ]
    facts: list[Entries] = [
        *({"architecture": (name, {})} for name in (*NAMES, *NOT_TEXT, LONG)),
        *({"architecture": (SMALL[0], {**SMALL[1], name: value})} for name, value in FILES.items()),
        *({"architecture": (name, FILES)} for name in ("timm/resnet18", "torchvision/resnet18", "cifar_resnet18")),
        *({"architecture": (SMALL[0], {"channels": 1, "classes": side})} for side in SIZES),
        *({"architecture": (SMALL[0], {**SMALL[1], "widths": [side] * 3})} for side in (*SIZES, 1 << 16)),
        {"architecture": ("digits_mlp", {"channels": 1024, "classes": 1 << 20, "side": 2048,
        "widths": [1 << 16] * 16})},
        {"architecture": ("timm/vit_giant_patch14_dinov2", {"img_size": 2048, "depth": 256})},
        {"architecture": ("cifar_resnet56", {"channels": 1, "classes": 10, "width": 64.0})},
        *({"data": name} for name in (*NAMES, *NOT_TEXT, "/etc", "trap_data", "torchvision:../x",
        "torchvision:FakeData")),
        *({"split": name} for name in (*NAMES, *NOT_TEXT, "../trap", "train[:10%]", HUGE)),
        *({"preprocessing": stated} for stated in (*images, *NOT_TEXT)),
        *({"classes": stated} for stated in (
            [str(k) for k in range(10**6)], ["../../trap"] * 10, ["\x1b[2J\n"] * 10, list(NAMES[:10]), NAMES[0], HUGE,
            {"0": "os:system"}, [["a"]] * 10, [None] * 10, [LONG[:999]] * 10, ["=cmd|' /C calc'!A0", *"123456789"],
        )),
        *({"training": stated} for stated in (
            "os:system", {"loss": "os:system", "alpha": NAN}, {"loss": "\x1b[2J\n", "epoch": HUGE}, [], {"loss": {}},
            {"loss": LONG}, {"alpha": HUGE}, {"plan": {"model": "os:system", "data": "trap_data"}},
        )),
    ]  # fmt: skip
    return {f"own {number}": own_facts(**stated) for number, stated in enumerate(facts)}


def timm_file(name: str = "test_resnet", **stated: Any) -> Write:
    """As timm's train.py writes it."""

    def write(folder: Path) -> str:
        run = Namespace(**{"model": name, "num_classes": 10, **stated})
        about = {"arch": stated.get("model", name), "version": 2, "epoch": 3, "metric": 0.5, "args": run}
        torch.save({"state_dict": of_timm(name), **about}, folder / "timm.pth.tar")
        return "timm.pth.tar"

    return write


IMAGE_WORDS = ("img_size", "input_size", "in_chans", "crop_pct", "mean", "std")


def timm_attacks() -> dict[str, Write]:
    values = (*SIZES, 4096, 1e-9, [3, 10**5, 10**5], [3, 4096, 4096], [NAN] * 3, [0.5] * 10**6)
    stated: list[Entries] = [
        *({"model": name} for name in (*NAMES, "resnet18.trap", ["os:system"], {"_target_": "os.system"})),
        *({"model_kwargs": {name: value}} for name, value in FILES.items()),
        *({"model_kwargs": {name: value}} for name in ("num_classes", "in_chans", "img_size", "bn_eps")
          for value in (DEEP, HUGE, 0, -1, NAN, LONG, [10**5, 10**5])),
        {"model_kwargs": "os:system"}, {"model_kwargs": [["checkpoint_path", "trap.pth"]]},
        *({name: value} for name in IMAGE_WORDS for value in values),
        *({name: text} for name in ("gp", "interpolation", "crop_mode", "input_img_mode") for text in NAMES[:4]),
        {"initial_checkpoint": "trap.pth", "resume": "trap.pth", "pretrained_path": "trap.pth", "pretrained": True},
        {"data_dir": "trap_data", "dataset": "torch/imagenet", "dataset_download": True, "val_split": "../trap"},
        *({"dataset": name} for name in ("hfds/org/x", "wds/pipe:touch PWNED", "tfds/x", "torch/image_folder")),
        {"class_map": "trap_classes.txt"}, {"class_map": "\x1b[2J\n"}, {"class_map": "/dev/zero"},
        {"pretrained_cfg": {"file": "trap.pth", "custom_load": True}}, {"torchscript": True, "experiment": "../trap"},
        {"num_classes": 10**7}, {"num_classes": NAN}, {"input_size": LONG}, {"smoothing": HUGE}, {"epochs": NAN},
        *({name: BIG} for name in ("num_classes", "smoothing", "img_size", "model", "in_chans", "mean", "crop_pct")),
        {"loss": "maxsup", "begin_lambda": BIG}, {"loss.begin_lambda": HUGE, "loss.end_lambda": HUGE, "loss": "maxsup"},
        {"alpha": HUGE, "loss": "ls"}, {"model_kwargs": {"num_classes": BIG}}, {"classes": [BIG] * 10},
    ]  # fmt: skip
    vit: list[Entries] = [
        {name: value} for name in ("img_size", "input_size") for value in (4096, 10**5, [3, 4096, 4096], 2048)
    ]
    vit += [{"model_kwargs": {name: value}} for name, value in (
        ("patch_size", 0), ("patch_size", -1), ("patch_size", NAN), ("depth", DEEP), ("depth", 256), ("embed_dim",
        10**6),
        ("num_heads", 0), ("img_size", 10**5), ("reg_tokens", DEEP), ("mlp_ratio", 64.0), ("embed_dim", [1 << 16] * 16),
        ("img_size", 2048), ("dynamic_img_size", True), ("weight_init", "os.system"), ("embed_layer", "os.system"),
    )]  # fmt: skip
    vit += [{"img_size": 4096, "model_kwargs": {"dynamic_img_size": True}}]
    return {
        **{f"timm {number}": timm_file(**one) for number, one in enumerate(stated)},
        **{f"timm vit {number}": timm_file("test_vit", **one) for number, one in enumerate(vit)},
    }


def timm_folder(**stated: Any) -> Write:
    """As timm's push_to_hub writes it."""

    def write(folder: Path) -> str:
        (folder / "hub").mkdir()
        safetensors.torch.save_file(of_timm("test_resnet"), folder / "hub" / "model.safetensors")
        config = {"architecture": "test_resnet", "num_classes": 10, "pretrained_cfg": {}, **stated}
        (folder / "hub" / "config.json").write_text(json.dumps(config))
        return "hub"

    return write


def timm_folders() -> dict[str, Write]:
    inside: list[Entries] = [
        {"file": "../trap.pth"}, {"file": "trap.pth", "custom_load": True}, {"url": "https://example.com/x.pth"},
        {"hf_hub_id": "org/x", "hf_hub_filename": "trap.pth"}, {"source": "hf-hub", "hf_hub_id": "org/x"},
        {"state_dict": "trap.pth"}, {"architecture": "hf-hub:org/x"}, {"custom_load": "trapmodule.factory"},
        *({name: value} for name in ("input_size", "test_input_size", "crop_pct", "mean", "std", "num_classes")
          for value in (DEEP, 0, -1, NAN, LONG[:1000], [3, 10**5, 10**5], [3, 4096, 4096], {})),
        *({name: text} for name in ("interpolation", "crop_mode", "label_names", "classifier") for text in NAMES[:4]),
        {"label_names": ["\x1b[2J\n"] * 10}, {"label_names": [str(k) for k in range(10**5)]},
    ]  # fmt: skip
    stated: list[Entries] = [
        *({"architecture": name} for name in (*NAMES, *NOT_TEXT)), *({"pretrained_cfg": one} for one in inside),
        *({"model_args": {name: value}} for name, value in FILES.items()), {"global_pool": "os.system"},
        {"pretrained_cfg": "trap.pth"}, {"pretrained_cfgs": {"x": {"file": "trap.pth"}}}, {"model_args": "os:system"},
        {"model_type": "timm_wrapper", "model_args": {"checkpoint_path": "trap.pth"}},
        {"model_type": "timm_wrapper", "auto_map": {"AutoConfig": "trap_file.factory"}},
        {"model_type": "timm_wrapper", "architecture": "hf-hub:org/x"}, {"model_type": "timm_wrapper",
        "do_pooling": {}},
    ]  # fmt: skip
    return {f"timm folder {number}": timm_folder(**one) for number, one in enumerate(stated)}


def lightning(**stated: object) -> Write:
    return saved(
        "last.ckpt",
        {"pytorch-lightning_version": "2.6.0", "epoch": 1, "state_dict": of_timm("test_resnet"),
         "hyper_parameters": stated},
    )  # fmt: skip


def lightning_attacks() -> dict[str, Write]:
    target = {"_target_": "os.system", "command": "touch PWNED"}
    stated: list[Entries] = [
        *({"model": one} for one in (*NAMES, target, {"class_path": "trapmodule.factory", "init_args": {}})),
        {"_instantiator": "trapmodule.factory"}, {"_class_path": "trapmodule.factory"}, target, {"net": target},
        {"_target_": "hydra.utils.instantiate", "config": target}, {"_partial_": True, "_args_": [target]},
        {"datamodule": {"_target_": "trapmodule.factory", "root": "trap_data"}}, {"config": "${oc.env:HOME}"},
        {"model": "${eval:1+1}"}, {"config": {"model": target}}, {"config": {"defaults": ["trap_file"]}},
        *({"model": "test_resnet", "model_kwargs": {name: value}} for name, value in FILES.items()),
        *({name: value} for name in ("image_size", "crop_size", "resize_size", "mean", "std", "crop_pct")
          for value in (DEEP, HUGE, 0, -1, NAN, LONG[:1000], [10**5, 10**5], 4096, {})),
        {"class_map": "trap_classes.txt"}, {"id2label": {"0": "\x1b[2J\n"}}, {"classes": ["../trap"] * 10},
        {"interpolation": "os.system"}, {"global_pool": "os.system"}, {"loss": target}, {"num_classes": 10**7},
        {"classes": [str(k) for k in range(10**6)]}, {"class_to_idx": {str(k): HUGE for k in range(10)}},
    ]  # fmt: skip
    return {f"lightning {number}": lightning(**one) for number, one in enumerate(stated)}


def references(**stated: Any) -> Write:
    """As torchvision's references write it."""
    run = Namespace(
        **{"model": "resnet18", "weights": None, "val_crop_size": 32, "val_resize_size": 32, **stated}
    )
    parts = {"optimizer": {}, "lr_scheduler": {}, "epoch": 1, "args": run}
    return saved("model_1.pth", {"model": weights(), **parts})


def reference_attacks() -> dict[str, Write]:
    stated: list[Entries] = [
        *({"model": name} for name in NAMES), {"weights": "trap.pth"}, {"weights": "DEFAULT"},
        {"data_path": "trap_data"},
        {"resume": "trap.pth"}, {"output_dir": "../trap"}, {"backend": "os.system"}, {"interpolation": "trap_file"},
        *({name: value} for name in ("val_crop_size", "val_resize_size") for value in (*SIZES, 4096)),
        {"dist_url": "file:///trap"}, {"test_only": True, "use_v2": "os:system"},
    ]  # fmt: skip
    return {f"references {number}": references(**one) for number, one in enumerate(stated)}


def beside_weights(name: str, content: object) -> Write:
    def write(folder: Path) -> str:
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
        torch.save(weights(), folder / "weights.pt")
        return "weights.pt"

    return write


TAGS = ("!!python/object/apply:os.system ['touch PWNED']", "model: !!python/name:os.system", "a: &a [*a, *a]")


def sidecar_attacks() -> dict[str, Write]:
    found: list[tuple[str, object]] = [
        *((name, tag) for name in ("hparams.yaml", "config.yaml", "args.yaml") for tag in TAGS),
        *(("params.json", {"model.arch": name}) for name in (*NAMES[:10], *NOT_TEXT)),
        *(("params.json", {"model.arch": "resnet18", "validation.resolution": side}) for side in SIZES),
        ("params.json", "[" * 100_000), ("params.json", " " * 10_000_000), ("params.json",
        '{"a": 1' + "0" * 5000 + "}"),
        ("config.json", "\xff"), ("config.json", "[]"), ("config.json", {"model_type": "vit", "auto_map": AUTO}),
        ("preprocessor_config.json", {"auto_map": AUTO}), ("preprocessor_config.json", "null"), ("hubconf.py", "trap"),
    ]  # fmt: skip
    return {f"sidecar {n}": beside_weights(name, content) for n, (name, content) in enumerate(found)}


FAMILIES: Mapping[str, Callable[[], dict[str, Write]]] = {
    "own": own_attacks, "timm train.py": timm_attacks, "timm folder": timm_folders,
    "transformers": transformers_attacks,
    "lightning": lightning_attacks, "torchvision": reference_attacks, "sidecars": sidecar_attacks,
}  # fmt: skip
