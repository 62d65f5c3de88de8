"""Features in `.npy` files: an array a file, and what lies beside them."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maxsup_analysis.arrays import Arrays, names_of
from maxsup_analysis.errors import InputError

FEATURES = "features.npy"
LABELS = "labels.npy"
# As thingsvision writes it: a path a line, in whose folder are the samples of a class.
FILE_NAMES = "file_names.txt"
NUMBERS = "fiub"
INTEGER = re.compile(r"-?[0-9]{1,18}")


def arrays_beside(
    path: Path, labels: Path | None, class_names: tuple[str, ...] | None
) -> tuple[Arrays, Mapping[str, str]]:
    """The features of a file with their labels, and the digests of the other files that were read.

    Beside `features.npy` also logits, weight, bias, ids and class_names where they are there.
    """
    read = {
        name: path.with_name(f"{name}.npy") for name in ("logits", "weight", "bias", "ids", "class_names")
    }
    read = {name: file for name, file in read.items() if path.name == FEATURES and file.is_file()}
    loaded = {name: load(file) for name, file in read.items()}
    names = names_of(loaded.pop("class_names", None), str(path.parent))
    source = labels or _labels_of(path)
    numbers, found = _labels(source, class_names or names)
    ids = loaded.pop("ids", None)
    tensors = {name: _tensor(array, read[name]) for name, array in loaded.items()}
    arrays = Arrays(
        labels=numbers,
        features=_tensor(load(path), path),
        logits=tensors.get("logits"),
        weight=tensors.get("weight"),
        bias=tensors.get("bias"),
        ids=ids,
        class_names=names or found,
        sha256=digest_of(path),
    )
    return arrays, {file.name: digest_of(file) for file in [source, *read.values()]}


def load(path: Path) -> np.ndarray:
    """An array of numbers or text, mapped into memory; raises InputError where it is anything else."""
    _require_file(path, "a .npy array")
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (ValueError, OSError, EOFError) as reason:
        cause = (str(reason).splitlines() or ["empty"])[0]
        raise InputError(f"{path} is no .npy array, or damaged ({cause}); save it with numpy.save") from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} is an archive of arrays, expected one .npy array; rename it to .npz")
    return array


def lines_of(path: Path) -> list[str]:
    """The lines of a text, without empty ones at its end."""
    _require_file(path, "a text")
    try:
        return path.read_text("utf-8").rstrip().splitlines()
    except OSError as reason:
        raise InputError(
            f"expected a text at {path}, cannot read it ({reason.strerror}); check the path"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"expected a text in UTF-8 at {path}, got other bytes; save it as UTF-8") from None


def _require_file(path: Path, what: str) -> None:
    """Pipes and devices may never end, or never begin."""
    if path.exists() and not path.is_file():
        raise InputError(f"expected {what} at {path}, found no file; check the path")


def digest_of(path: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _labels_of(path: Path) -> Path:
    found = next((file for name in (LABELS, FILE_NAMES) if (file := path.with_name(name)).is_file()), None)
    if found is None:
        raise InputError(
            f"expected the labels of {path} beside it, as {LABELS} or {FILE_NAMES}, found neither; "
            "name them with --labels"
        )
    return found


def _labels(source: Path, class_names: tuple[str, ...] | None) -> tuple[Tensor, tuple[str, ...] | None]:
    """Labels, and names of the classes where the source has some."""
    if source.suffix == ".npy":
        return _tensor(load(source), source), None
    lines = lines_of(source)
    if source.name == FILE_NAMES:
        return _classes_of(source, lines, class_names)
    for number, line in enumerate(lines, 1):
        if not INTEGER.fullmatch(line.strip()):
            raise InputError(
                f"expected an integer a line in {source}, got {line[:40]!r} in line {number}; save labels"
            )
    return torch.tensor([int(line) for line in lines], dtype=torch.int64), None


def _classes_of(
    source: Path, lines: list[str], class_names: tuple[str, ...] | None
) -> tuple[Tensor, tuple[str, ...]]:
    """The class of a file is the folder that it lies in."""
    folders = [Path(line.replace("\\", "/")).parent.name for line in lines]
    names = class_names or tuple(sorted(set(folders)))
    if unknown := set(folders) - set(names) or {""} & set(folders):
        raise InputError(
            f"expected paths in the folders of classes in {source}, got the folder {min(unknown)!r}, which is none of "
            "them; give the labels with --labels"
        )
    numbers = {name: number for number, name in enumerate(names)}
    return torch.tensor([numbers[folder] for folder in folders], dtype=torch.int64), names


def _tensor(array: np.ndarray, path: Path) -> Tensor:
    """Numbers in the byte order of this machine."""
    if array.dtype.kind not in NUMBERS:
        raise InputError(f"expected numbers in {path}, got {array.dtype}; save numbers")
    native = array.dtype.newbyteorder("=")
    return torch.from_numpy(np.ascontiguousarray(array, dtype=native))
