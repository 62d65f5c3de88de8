"""The classes of data that come with numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label

CLASS_FILE = "classes.txt"


def class_labels(values: object, place: str) -> Int64[Tensor, " N"]:
    """Labels as a tensor; InputError where they are not numbers from 0, one a sample."""
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0, object)
    if array.ndim == 2 and array.shape[1:] == (1,):
        array = array[:, 0]
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        raise InputError(
            f"expected a whole number for each sample as labels in {place}, got {array.dtype} of shape "
            f"{array.shape}; number the classes from 0"
        )
    if array.min() < 0:
        raise InputError(
            f"expected labels from 0 in {place}, got {array.min()}; leave samples without a class out"
        )
    return torch.from_numpy(array.astype(np.int64))


def class_names(labels: Int64[Tensor, " N"], names: Sequence[str] | None, place: str) -> tuple[str, ...]:
    """The names, or numbers where there are none; InputError where they are fewer than the labels need."""
    needed = int(labels.max()) + 1
    if names is None:
        return tuple(str(label) for label in range(needed))
    if len(names) < needed:
        raise InputError(
            f"{place} names {len(names)} classes but has labels up to {needed - 1}; name every class"
        )
    return tuple(clean_label(str(name)) for name in names)


def names_beside(folder: Path) -> list[str] | None:
    """The lines of classes.txt in a folder, if it is there."""
    file = folder / CLASS_FILE
    if not file.is_file():
        return None
    return [line.strip() for line in file.read_text("utf-8", "replace").splitlines() if line.strip()]
