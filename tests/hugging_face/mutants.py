"""Mutations of a config.json or a preprocessor_config.json: types, sizes, NaN, nesting, what is missing."""

import copy
import json
import random
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 10**5, 10**9, 10**18, 10**40, -(10**9), 0.5, -0.0, 1e-300, 1e300,
    float("nan"), float("inf"), float("-inf"), "", "a", "224", "os.system", "org/kernel", "hf-hub:org/name",
    "file:///etc/passwd", "../../x", "\u202e\x1b[31m\n", "x" * 5000, "\ud800", [], {}, [1], [[1]], [None], [-1, 0],
    [10**9] * 3, {"a": 1}, {"height": -1, "width": 0}, {"shortest_edge": 10**9}, {"height": 1e300, "width": "x"},
    {"shortest_edge": [1]}, [224, 224, 224], ["a"] * 3, {"0": None}, {"x": {"y": {"z": [{}]}}},
)  # fmt: skip
NAMES = (
    "auto_map", "dtype", "torch_dtype", "quantization_config", "custom_pipelines", "backbone", "num_labels",
    "image_size", "num_channels", "hidden_size", "depths", "id2label", "label2id", "model_type", "architectures",
    "size", "crop_size", "image_mean", "image_std", "resample", "rescale_factor", "do_resize",
    "do_center_crop", "do_normalize", "crop_pct",
    "image_processor_type", "feature_extractor_type", "_attn_implementation", "problem_type", "per_layer_config",
    "vision_config", "pretrained_cfg", "architecture", "model_args", "label_names", "x" * 300, "\u202e", "",
)  # fmt: skip


def mutated(original: dict[str, Any], random_: random.Random) -> str:
    """The text of a mutant: one to four changes, sometimes of the text itself."""
    config = copy.deepcopy(original)
    for _ in range(random_.choice((1, 1, 1, 2, 4))):
        _change(config, random_)
    text = json.dumps(config)
    match random_.random():
        case chance if chance < 0.02:
            return text[: random_.randrange(len(text))]
        case chance if chance < 0.03:
            return "[" * 20_000 + text
        case chance if chance < 0.04:
            return json.dumps(random_.choice(VALUES))
        case chance if chance < 0.05:
            return text.replace(":", ": 1" + "0" * 5000 + ', "z":', 1)
    return text


def _change(config: dict[str, Any], random_: random.Random) -> None:
    name = random_.choice((*config, *NAMES))
    match random_.randrange(6):
        case 0:
            config.pop(name, None)
        case 1 if isinstance(config.get(name), dict) and config[name]:
            config[name][random_.choice(list(config[name]))] = random_.choice(VALUES)
        case 1 if isinstance(config.get(name), list) and config[name]:
            config[name][random_.randrange(len(config[name]))] = random_.choice(VALUES)
        case 2 if isinstance(config.get(name), int | float):
            config[name] = config[name] * random_.choice((-1, 2, 1000, 0.5, 10**9))
        case 3 if isinstance(config.get(name), list):
            config[name] = config[name] * random_.choice((0, 2, 50))
        case _:
            config[name] = random_.choice(VALUES)
