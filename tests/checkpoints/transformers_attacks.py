"""What a stranger's folder of transformers can say: code, files, addresses and sizes, in each of its files."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.hugging_face.nets import VIT
from tests.hugging_face.producer import network, written
from tests.hugging_face.test_payloads import SIZE

Write = Callable[[Path], str]
Entries = Mapping[str, Any]
NAN, HUGE, DEEP, LONG = float("nan"), 10**400, 10**9, "x" * 1_000
SIZES = (
    DEEP,
    HUGE,
    0,
    -1,
    2.5,
    NAN,
    float("inf"),
    LONG,
    [10**5, 10**5],
    [],
    [[]],
    {"height": 10**5},
    True,
    "10",
)


@cache
def vit() -> Any:
    return network("vit")


def transformers_folder(config: Entries, processor: Entries, **files: object) -> Write:
    """As save_pretrained writes it, with entries changed and more files beside."""

    def write(folder: Path) -> str:
        target = written(folder / "hub", vit(), {**SIZE, **processor})
        said = {**json.loads((target / "config.json").read_text()), **config}
        (target / "config.json").write_text(json.dumps(said))
        for name, content in files.items():
            (target / name).write_text(content if isinstance(content, str) else json.dumps(content))
        for name in ("trap_file.py", "trap.pth"):
            (target / name).write_bytes((folder / name).read_bytes())
        return "hub"

    return write


AUTO = {"AutoConfig": "trap_file.factory", "AutoModelForImageClassification": "trap_file.factory"}
CODE: tuple[Entries, ...] = (
    {"auto_map": AUTO}, {"auto_map": AUTO, "model_type": "own"},
    {"auto_map": {"AutoConfig": "org/x--trap_file.factory"}},
    {"model_type": "own"}, {"model_type": ["vit"]}, {"model_type": "timm_backbone"}, {"model_type": "trap_file"},
    {"architectures": ["os.system"]}, {"architectures": "os.system"}, {"dtype": "os.system"},
    {"torch_dtype": "hub.load"},
    {"dtype": {"vision": "os.system"}}, {"attn_implementation": "org/kernel:fn"},
    {"_attn_implementation": {"": "org/k"}},
    {"quantization_config": {"quant_method": "gptq", "backend": "trapmodule"}}, {"backbone": "org/x"},
    {"backbone_config": {"model_type": "own", "auto_map": AUTO}}, {"use_pretrained_backbone": True},
    {"use_timm_backbone": True, "backbone": "hf-hub:org/x"}, {"backbone_kwargs": {"checkpoint_path": "trap.pth"}},
    {"_name_or_path": "org/x", "name_or_path": "trap.pth"}, {"transformers_weights": "trap.pth"}, {"use_kernels": True},
    {"custom_pipelines": {"own": {"impl": "trap_file.factory"}}}, {"hidden_act": "os.system"}, {"hidden_act": ["gelu"]},
    {"_commit_hash": "x", "base_model_name_or_path": "org/x"}, {"peft_type": "LORA"}, {"tp_plan": {"*": "os.system"}},
    {"label2id": {"os:system": 0}}, {"id2label": {"0": "\x1b[2J\n", "1": "../trap"}}, {"id2label": "os:system"},
    {"problem_type": "os.system"}, {"decoder": {"auto_map": AUTO}}, {"vision_config": {"model_type": "own"}},
    {"torchscript": True}, {"__class__": "os.system"}, {"return_dict": "os:system"}, {"pruned_heads": {"0": [0, 1]}},
    {"pruned_heads": "os:system"}, {"architectures": ["ViTModel\x1b"]}, {"model_type": "vision-encoder-decoder"},
)  # fmt: skip
PROCESSING: tuple[Entries, ...] = (
    {"auto_map": {"AutoImageProcessor": "trap_file.factory"}}, {"image_processor_type": "OwnProcessor"},
    {"image_processor_type": "os.system"}, {"image_processor_type": ["ViTImageProcessor"]}, {"do_pad": True},
    {"feature_extractor_type": "trap_file.factory", "image_processor_type": None}, {"processor_class": "os.system"},
    {"resample": "os.system"}, {"resample": DEEP}, {"resample": -1}, {"image_mean": [NAN] * 3}, {"image_std": [0] * 3},
    {"image_mean": [0.5] * 10**5}, {"rescale_factor": NAN}, {"rescale_factor": 0}, {"rescale_factor": HUGE},
    *({"size": side} for side in SIZES), *({"size": {"height": side, "width": 8}} for side in SIZES[:8]),
    {"size": {"height": 4096, "width": 4096}}, {"do_center_crop": True, "crop_size": 10**5},
    {"do_center_crop": True, "crop_size": {"height": -1, "width": 0}}, {"do_resize": "os:system"}, {"crop_pct": 1e-300},
)  # fmt: skip
BESIDE: tuple[Entries, ...] = (
    {"chat_template.jinja": "{{ ''.__class__.__mro__[1].__subclasses__() }}"},
    {"generation_config.json": {"custom_generate": "trap_file.py"}}, {"tokenizer_config.json": {"auto_map": AUTO}},
    {"processor_config.json": {"image_processor": {"auto_map": {"AutoImageProcessor": "trap_file.factory"}}}},
    {"processor_config.json": {"auto_map": AUTO, "image_processor": "os:system"}},
    {"adapter_config.json": {"base_model_name_or_path": "org/x", "auto_mapping": {"parent_library": "trapmodule"}}},
    {"modules.json": [{"type": "trapmodule.factory"}]}, {"handler.py": "import trapmodule"},
    {"processor_config.json": "[" * 100_000}, {"params.json": {"model.arch": "trap_file.py:factory"}},
    {"quantize_config.json": {"model_file_base_name": "trap"}}, {"config.yaml": "!!python/object/apply:os.system [x]"},
)  # fmt: skip
NUMBERS = (
    "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "image_size", "patch_size",
    "num_channels", "num_labels", "layer_norm_eps", "encoder_stride",
)  # fmt: skip


def transformers_attacks() -> dict[str, Write]:
    numbers = [{name: value} for name in NUMBERS for value in (DEEP, HUGE, 0, -1, NAN, LONG, [10**5, 10**5])]
    kinds = [
        {"model_type": kind, "hidden_sizes": [1 << 16] * 16, "depths": [256] * 16}
        for kind in ("resnet", "convnext")
    ]
    stated = (*CODE, *numbers, *kinds, {"num_labels": 10**7, "id2label": None}, {**VIT, "image_size": 2048})
    return {
        **{f"transformers {number}": transformers_folder(one, {}) for number, one in enumerate(stated)},
        **{f"processor {number}": transformers_folder({}, one) for number, one in enumerate(PROCESSING)},
        **{
            f"beside transformers {number}": transformers_folder({}, {}, **one)
            for number, one in enumerate(BESIDE)
        },
    }
