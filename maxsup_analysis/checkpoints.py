"""Open a checkpoint without running anything from it, and write one that says what it is."""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.files import whole_file

FORMAT = "maxsup-analysis checkpoint, version 1"


@dataclass(frozen=True)
class Checkpoint:
    """Weights and what is known of them.

    metadata: plain values: architecture {name, arguments}, classes, preprocessing {mean, std}, data, split,
    training {loss, alpha, seed, epoch, ...}.
    sha256: digest of the bytes of the file.
    """

    state_dict: Mapping[str, Tensor]
    metadata: Mapping[str, object]
    sha256: str
    name: str


def save_checkpoint(path: Path, state_dict: Mapping[str, Tensor], metadata: Mapping[str, object]) -> None:
    """Write a checkpoint whole; it opens with torch.load(weights_only=True)."""
    with whole_file(path) as partial:
        torch.save({"format": FORMAT, "metadata": dict(metadata), "state_dict": dict(state_dict)}, partial)


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint that `train` wrote; raises InputError for anything else."""
    if not path.is_file():
        raise InputError(f"expected a checkpoint, found no file at {path}; check the path")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, IndexError):
        raise InputError(
            f"{path} is not a checkpoint that opens safely: expected a file written by `maxsup-analyze train`"
        ) from None
    if not (isinstance(content, dict) and content.get("format") == FORMAT):
        found = _keys(content) if isinstance(content, dict) else type(content).__name__
        raise InputError(
            f"{path} does not say what it is: expected the metadata that `maxsup-analyze train` writes, "
            f"got {found}; extract its features yourself and bring them as .npz with features, labels, logits"
        )
    return Checkpoint(content["state_dict"], content["metadata"], file_digest(path), path.name)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keys(content: Mapping[object, object]) -> str:
    keys = [str(key)[:40] for key in list(content)[:5]]
    more = ", ..." if len(content) > 5 else ""
    return f"a dictionary with the keys {', '.join(keys)}{more}" if keys else "an empty dictionary"
