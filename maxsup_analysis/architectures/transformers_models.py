"""From a checked configuration to a network of transformers: offline, silent, without code or parts of any folder."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from maxsup_analysis.architectures.transformers_config import Configuration
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.stated import Stated

# A network may hold tables beside its weights, which files do not have: so many times as many numbers, and some more.
MOST_NUMBERS_FACTOR, MOST_TABLES = 2, 1 << 24
# Without a file, more numbers than any published image classifier has.
MOST_NUMBERS = 1 << 32
SILENT = 100  # above every level of Python's logging
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def untrained(found: Configuration, name: str) -> nn.Module:
    """A network of this configuration."""
    with _alone(name):
        made, config = _configured(found, name)
        _require_room(made, config, name, MOST_NUMBERS)
        return _built(lambda: made(config), name)


def trained(found: Configuration, name: str, weights: Mapping[str, Tensor]) -> nn.Module:
    """A network of this configuration with these weights, by the names in the file, every one in its place."""
    with _alone(name):
        made, config = _configured(found, name)
        held = sum(tensor.numel() for tensor in weights.values())
        _require_room(made, config, name, MOST_NUMBERS_FACTOR * held + MOST_TABLES)
        # transformers knows what older versions of it called each weight; it is given tensors, never a path.
        module, about = _built(
            lambda: made.from_pretrained(
                None, config=config, state_dict=dict(weights), dtype=torch.float32, local_files_only=True,
                ignore_mismatched_sizes=True, output_loading_info=True,
            ),
            name,
        )  # fmt: skip
    _require_whole(about, name)
    return module


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """While it lasts, transformers says nothing and reaches nothing, whatever the environment says."""
    before = {key: os.environ.get(key) for key in OFFLINE}
    os.environ.update(OFFLINE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _silent(name):
                yield
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})


@contextmanager
def _silent(name: str) -> Iterator[None]:
    try:
        from huggingface_hub import constants
        from transformers import logging
    except ImportError:
        raise InputError(
            f"{name} needs transformers, which is not installed; pip install 'maxsup-analysis[transformers]'"
        ) from None
    offline, verbosity, bars = (
        constants.HF_HUB_OFFLINE,
        logging.get_verbosity(),
        logging.is_progress_bar_enabled(),
    )
    constants.HF_HUB_OFFLINE = True
    logging.set_verbosity(SILENT)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _configured(found: Configuration, name: str) -> tuple[Any, Any]:
    """The class of the network and its configuration, both from transformers' own tables."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING

    if found.refused:
        raise InputError(next(iter(found.refused.values())))
    if found.kind not in CONFIG_MAPPING:
        raise InputError(f"{name} needs a newer transformers, which knows {found.kind}; update transformers")
    kind: Any = CONFIG_MAPPING[found.kind]
    config = _built(lambda: kind(**found.values, num_labels=found.classes), name)
    _require_agreement(found, config)
    classes = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING[kind]
    alternatives = classes if isinstance(classes, tuple) else (classes,)
    # The plain one comes first, the distilled one second.
    return alternatives[-1 if found.teacher else 0], config


def _require_agreement(found: Configuration, config: Any) -> None:
    """InputError where what is stated besides is not what the other numbers make."""
    made = config.to_dict()
    made |= {other: made.get(name) for other, name in type(config).attribute_map.items()}
    for name, stated in found.derived.items():
        expected = made.get(name)
        if expected is not None and not _agrees(stated, expected):
            raise stated.refused("which is not what its other numbers make; get the folder again")


def _agrees(stated: Stated, expected: object) -> bool:
    if stated.is_equal_to(expected) or not (isinstance(expected, list) and stated.is_list):
        return stated.is_equal_to(expected)
    # LeViT adds [""] to its own configuration whenever it is built.
    parts, own = stated.parts(16), [*expected, *[[""]] * 16]
    return len(parts) >= len(expected) and all(map(Stated.is_equal_to, parts, own))


def _require_room(made: Any, config: Any, name: str, most: int) -> None:
    """InputError where the network would be larger than its weights are; it is built without memory to see that."""

    def built() -> nn.Module:
        with torch.device("meta"):
            return made(config)

    module = _built(built, name)
    numbers = sum(tensor.numel() for tensor in (*module.parameters(), *module.buffers()))
    if numbers > most:
        raise InputError(
            f"{name}: its config.json describes a network of {numbers:,} numbers, many more than its weights are; "
            "get the folder again"
        )


def _built(build: Any, name: str) -> Any:
    try:
        return build()
    except Exception as reason:  # Whatever a library makes of numbers that do not belong together.
        detail = clean_label(" ".join(str(reason).split()), 200) or type(reason).__name__
        raise InputError(
            f"{name} cannot be built as its config.json says: {detail}; name the network with --model"
        ) from None


def _require_whole(about: Mapping[str, Any], name: str) -> None:
    parts = []
    for what, kind in (
        ("missing", "missing_keys"),
        ("left over", "unexpected_keys"),
        ("of another shape", "mismatched_keys"),
    ):
        keys = sorted(clean_label(key[0] if isinstance(key, tuple) else str(key)) for key in about[kind])
        if keys:
            parts.append(f"{len(keys)} are {what} ({', '.join(keys[:3])})")
    if parts:
        raise InputError(
            f"the weights are not those of {name}: {'; '.join(parts)}; give the folder whose config.json belongs to "
            "them with --model hf:FOLDER"
        )
