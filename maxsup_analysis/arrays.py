"""Features of the user's own: a plain .npz, .safetensors or .pt with named arrays."""

from pathlib import Path

import numpy as np

from maxsup_analysis.checkpoints import load_tensors
from maxsup_analysis.containers import Contents, Object, StoredTensor, read
from maxsup_analysis.containers.contents import entries_of
from maxsup_analysis.containers.verify import verified
from maxsup_analysis.errors import InputError
from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.representation import Representation

REQUIRED = ("features", "labels")
OPTIONAL = ("logits", "weight", "bias", "ids")


def holds_arrays(contents: Contents) -> bool:
    """Whether a file holds arrays of samples rather than the weights of a model."""
    return bool(set(REQUIRED) & set(entries_of(contents.tree)))


def read_arrays(path: Path, contents: Contents | None = None) -> Representation:
    """A file with features (N x D), labels (N), and optionally logits, weight, bias and ids."""
    contents = contents or read(path)
    entries = entries_of(contents.tree)
    if missing := [name for name in REQUIRED if name not in entries]:
        raise InputError(
            f"expected arrays named {', '.join(REQUIRED)} (optionally {', '.join(OPTIONAL)}) in {path}, "
            f"got {', '.join(entries) or 'none'}; add {' and '.join(missing)}"
        )
    if unknown := [name for name in entries if name not in REQUIRED + OPTIONAL]:
        raise InputError(
            f"{path} holds {', '.join(unknown)} besides what is known ({', '.join(REQUIRED + OPTIONAL)}); "
            "rename or remove"
        )
    stored = {name: entry for name, entry in entries.items() if isinstance(entry, StoredTensor)}
    other = [name for name in entries if name not in stored]
    if other and not (other == ["ids"] and entries["ids"] == Object("numpy array of text")):
        raise InputError(f"{path} holds {', '.join(other)} as other than arrays of numbers; save arrays")
    verified(path, contents)
    arrays: dict = dict(load_tensors(path, stored))
    ids = _names(path) if other else arrays.pop("ids", None)
    return represent_arrays(**arrays, ids=None if ids is None else np.asarray(ids))


def _names(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return file["ids"]
