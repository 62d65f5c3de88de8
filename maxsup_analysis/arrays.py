"""Features of the user's own: a plain .npz, .safetensors or .pt with named arrays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from maxsup_analysis.array_rows import represent_arrays
from maxsup_analysis.checkpoints import load_tensors
from maxsup_analysis.containers import Contents, Node, Object, StoredTensor, read
from maxsup_analysis.containers.contents import entries_of
from maxsup_analysis.containers.verify import verified
from maxsup_analysis.errors import InputError
from maxsup_analysis.identity import canonical_ids
from maxsup_analysis.representation import Representation

REQUIRED = ("features", "labels")
OPTIONAL = ("logits", "weight", "bias", "ids", "class_names")
# Those that NumPy may hold as text.
TEXTS = ("ids", "class_names")


@dataclass(frozen=True)
class Arrays:
    """What a file holds of N samples, as it holds it; sha256: of its bytes, which were checked."""

    labels: Tensor
    features: Tensor | None
    logits: Tensor | None
    weight: Tensor | None
    bias: Tensor | None
    ids: np.ndarray | None
    class_names: tuple[str, ...] | None
    sha256: str

    @property
    def classes(self) -> int | None:
        """K as the head or the logits have it, None where there is neither."""
        if self.weight is not None and self.weight.ndim:
            return len(self.weight)
        return self.logits.shape[1] if self.logits is not None and self.logits.ndim == 2 else None


def holds_arrays(contents: Contents) -> bool:
    """Whether a file holds arrays of samples rather than the weights of a model."""
    return bool(set(REQUIRED) & set(entries_of(contents.tree)))


def read_arrays(path: Path, contents: Contents | None = None) -> Representation:
    """A file with features (N x D) or logits, labels (N), and optionally weight, bias, ids and class_names."""
    held = arrays_in(path, contents, required=("labels",))
    if held.features is None and held.logits is None:
        raise InputError(f"expected features, or logits at least, in {path}, got neither; add features")
    require_names(held.class_names, held.classes, str(path))
    return represent_arrays(
        held.features,
        held.labels,
        held.logits,
        held.weight,
        held.bias,
        ids=held.ids,
        class_names=held.class_names,
    )


def arrays_in(path: Path, contents: Contents | None = None, required: tuple[str, ...] = REQUIRED) -> Arrays:
    """The arrays of a file, over memory that is mapped from it where it is not compressed."""
    contents = contents or read(path)
    entries = entries_of(contents.tree)
    _require_known(path, entries, required)
    stored = {name: entry for name, entry in entries.items() if isinstance(entry, StoredTensor)}
    texts = [name for name in entries if name not in stored]
    if any(name not in TEXTS or entries[name] != Object("numpy array of text") for name in texts):
        raise InputError(f"{path} holds {', '.join(texts)} as other than arrays of numbers; save arrays")
    sha256 = verified(path, contents)
    tensors, text = load_tensors(path, stored), _texts(path, texts)
    ids = text.get("ids", tensors.get("ids"))
    return Arrays(
        **{name: tensors.get(name) for name in ("features", "logits", "weight", "bias")},
        labels=tensors["labels"],
        ids=None if ids is None else canonical_ids(ids),
        class_names=names_of(text.get("class_names", tensors.get("class_names")), str(path)),
        sha256=sha256,
    )


def require_names(names: Iterable[str] | None, classes: int | None, where: str) -> None:
    """Raise InputError where there are more or fewer names than classes."""
    count = None if names is None else len(tuple(names))
    if None not in (count, classes) and count != classes:
        raise InputError(f"expected {classes} class names in {where}, one a class, got {count}")


def _require_known(path: Path, entries: Mapping[str, Node], required: tuple[str, ...]) -> None:
    if missing := [name for name in required if name not in entries]:
        raise InputError(
            f"expected arrays named {', '.join(REQUIRED)} (optionally {', '.join(OPTIONAL)}) in {path}, "
            f"got {', '.join(entries) or 'none'}; add {' and '.join(missing)}"
        )
    if unknown := [name for name in entries if name not in REQUIRED + OPTIONAL]:
        raise InputError(
            f"{path} holds {', '.join(unknown)} besides what is known ({', '.join(REQUIRED + OPTIONAL)}); "
            "rename or remove"
        )


def _texts(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    if not names:
        return {}
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names}


def names_of(names: np.ndarray | Tensor | None, where: str) -> tuple[str, ...] | None:
    """The names of the classes from an array of text; raises InputError where it is another."""
    if names is None:
        return None
    if not isinstance(names, np.ndarray) or names.ndim != 1 or names.dtype.kind != "U":
        raise InputError(
            f"expected class_names in {where} to be one text a class, got other; save np.array(names)"
        )
    return tuple(names.tolist())
