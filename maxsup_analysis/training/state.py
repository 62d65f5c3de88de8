"""The file from which an interrupted training goes on: tensors in safetensors, the rest as JSON in its header.

Nothing in it can be run, whoever wrote it. It replaces its predecessor in one step, so that it is whole at any moment.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.files import path_as_text, refusing_to_write, write_durably
from maxsup_analysis.leftovers import remove_leftovers

FORMAT = "maxsup-analysis training state, version 1"
ADVICE = "delete it to start over"


def write_state(path: Path, tree: object) -> None:
    """Write a tree of dicts, lists, numbers, words and tensors. Raises InputError where the disk does not take it."""
    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_described(tree, tensors))
    with refusing_to_write(path, "make room, then go on with the same command"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, save(tensors, {"format": FORMAT, "tree": structure}))


def read_state(path: Path) -> dict:
    """The tree, its tensors on the CPU. Raises InputError where the file is damaged or something else."""
    try:
        with path_as_text(path) as place, safe_open(place, framework="pt") as file:
            about = file.metadata() or {}
            if about.get("format") != FORMAT:
                raise InputError(
                    f"expected a training state of this version in {path}, got another; {ADVICE}"
                )
            tree = _restored(json.loads(about["tree"]), file)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as reason:
        if isinstance(reason, InputError):
            raise
        detail = " ".join(str(reason).split())[:120]
        raise InputError(
            f"expected a whole training state in {path}, got a damaged file ({detail}); {ADVICE}"
        ) from None
    if not isinstance(tree, dict):
        raise InputError(f"expected a training state in {path}, got a {type(tree).__name__}; {ADVICE}")
    return tree


def remove_state(path: Path) -> None:
    """The state, and what killed writers of it left."""
    path.unlink(missing_ok=True)
    remove_leftovers(path)


def _described(node: object, tensors: dict[str, Tensor]) -> object:
    """JSON, with tensors by number; dicts as pairs, since their keys may be numbers."""
    if isinstance(node, Tensor):
        tensors[str(len(tensors))] = node.detach().cpu().clone().contiguous()
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(node, Mapping):
        return {"pairs": [[key, _described(value, tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        return {"list": [_described(value, tensors) for value in node]}
    return node


def _restored(node: object, file: safe_open) -> object:
    match node:
        case {"tensor": name}:
            return file.get_tensor(name)
        case {"pairs": pairs}:
            return {key: _restored(value, file) for key, value in pairs}
        case {"list": values}:
            return [_restored(value, file) for value in values]
    return node
