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
MOST_FILE_BYTES = 2**27
# More classes than any model has; every class takes a name.
MOST_CLASSES = 2**20


def class_labels(values: object, place: str) -> Int64[Tensor, " N"]:
    """Labels as a tensor; InputError where they are not numbers from 0, one a sample."""
    if np.ma.is_masked(values):
        raise InputError(
            f"expected a label for each sample in {place}, got some that are masked; leave those samples out"
        )
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError):
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
    if array.max() >= MOST_CLASSES:
        raise InputError(
            f"expected labels below {MOST_CLASSES:,} in {place}, got {array.max()}; number the classes from 0 on"
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
    return lines_of(file) if file.is_file() else None


def lines_of(file: Path) -> list[str]:
    """The lines of a text file that are not empty, without the space around them; InputError where it is none."""
    shown = clean_label(str(file), 400)
    if not file.is_file():
        raise InputError(
            f"expected a text file at {shown}, got {'something else' if file.exists() else 'nothing'} there"
        )
    try:
        if file.stat().st_size > MOST_FILE_BYTES:
            raise InputError(
                f"expected at most {MOST_FILE_BYTES:,} bytes in {shown}, got more; name a list of classes"
            )
        text = file.read_text("utf-8-sig", "surrogateescape")
    except OSError as reason:
        raise InputError(f"{shown}: {reason.strerror}; check the file") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
