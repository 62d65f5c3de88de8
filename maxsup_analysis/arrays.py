"""Features of the user's own: a plain .npz, .safetensors or .pt with named arrays."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.representation import Representation

REQUIRED = ("features", "labels")
OPTIONAL = ("logits", "weight", "bias", "ids")
SUFFIXES = (".npz", ".safetensors")


def read_arrays(path: Path) -> Representation:
    """A file with features (N x D), labels (N), and optionally logits, weight, bias and ids."""
    arrays = _read(path)
    if missing := [name for name in REQUIRED if name not in arrays]:
        raise InputError(
            f"expected arrays named {', '.join(REQUIRED)} (optionally {', '.join(OPTIONAL)}) in {path}, "
            f"got {', '.join(arrays) or 'none'}; add {' and '.join(missing)}"
        )
    if unknown := [name for name in arrays if name not in REQUIRED + OPTIONAL]:
        raise InputError(
            f"{path} holds {', '.join(unknown)} besides what is known ({', '.join(REQUIRED + OPTIONAL)}); "
            "rename or remove"
        )
    ids = arrays.pop("ids", None)
    return represent_arrays(**arrays, ids=None if ids is None else np.asarray(ids))  # type: ignore[arg-type]


def holds_arrays(path: Path) -> bool:
    """Whether a .pt file holds named arrays rather than a checkpoint."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        return False
    return isinstance(content, Mapping) and "features" in content


def _read(path: Path) -> dict[str, np.ndarray | Tensor]:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        SafetensorError,
        pickle.UnpicklingError,
    ) as reason:
        detail = " ".join(str(reason).split())[:120]
        raise InputError(f"{path} cannot be read as arrays ({detail}); write it again") from None
