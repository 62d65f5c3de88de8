"""Arrays in memory as a representation: rows in blocks, once their shapes, labels and ids belong together."""

import numpy as np
import torch
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.given import Given, class_labels, numbers
from maxsup_analysis.identity import canonical_ids
from maxsup_analysis.labels import well_formed
from maxsup_analysis.representation import Representation, class_numbers, head_of, represent
from maxsup_analysis.rows import RowBlocks, Rows
from maxsup_analysis.surroundings import undisturbed

BLOCK = 4096
# Classes that labels alone may speak of, beside as many as there are samples: each takes a row of sums.
MOST_CLASSES = 10_000


@undisturbed()
def represent_arrays(
    features: Given,
    labels: Given,
    logits: Given = None,
    weight: Given = None,
    bias: Given = None,
    *,
    ids: Given = None,
    class_names: tuple[str, ...] | None = None,
) -> Representation:
    """A representation of arrays in memory; see `measure`. Without features it has no dimensions."""
    if labels is None:
        raise InputError("expected labels, one a sample, got none; give the class of each sample")
    if class_names is not None and not class_names:
        raise InputError("expected a name for each class, got no class_names; give them, or leave them out")
    given = class_labels(labels)
    y, z = given.numbers, None if logits is None else numbers("logits", logits)
    x = _features(features, z, weight, len(y))
    w, b = (None if a is None else numbers(n, a) for n, a in (("weight", weight), ("bias", bias)))
    known = None if ids is None else canonical_ids(ids)
    require_shapes(x, y, z, w, b, known)
    _require_columns(given.names, class_names, w if z is None else z.T)
    names = tuple(map(well_formed, class_names or ())) or given.names or class_numbers(_class_count(y, z, w))
    rows = Rows(np.arange(len(y)) if known is None else known, y, x, z)
    return represent(RowBlocks(_blocks(rows)), class_names=names, head=head_of(w, b))


def require_shapes(
    features: Tensor,
    labels: Tensor,
    logits: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    ids: np.ndarray | None,
) -> None:
    """Raise InputError where the arrays do not belong together."""
    if features.ndim != 2 or not features.is_floating_point():
        _refuse("features", "N x D floating-point numbers", features)
    N, D = features.shape
    if labels.shape != (N,) or labels.is_floating_point() or labels.is_complex():
        _refuse("labels", f"{N} integers, one a row of features", labels)
    if ids is not None and np.shape(ids) != (N,):
        raise InputError(f"expected {N} ids, one a row of features, got shape {np.shape(ids)}")
    if ids is not None and len(np.unique(ids)) != N:
        raise InputError(f"expected {N} different ids, got {len(np.unique(ids))}; an id names one sample")
    if weight is not None and (weight.ndim != 2 or weight.shape[1] != D):
        _refuse("weight", f"K x {D}, a column for each of the {D} features", weight)
    K = len(weight) if weight is not None else None
    if bias is not None and weight is None:
        raise InputError(
            "expected the weight of the head beside its bias, got none; give both, or leave bias out"
        )
    if bias is not None and bias.shape != (K,):
        _refuse("bias", f"{K} numbers, one a row of weight", bias)
    if logits is not None and (logits.ndim != 2 or len(logits) != N or K not in (None, logits.shape[1])):
        _refuse("logits", f"{N} x {K or 'K'}, a row a sample and a column a class", logits)


def _features(features: Given, logits: Tensor | None, weight: Given, count: int) -> Tensor:
    """The features, or none of each sample where there are logits alone."""
    if features is not None:
        found = numbers("features", features)
        if found.ndim == 2 and found.shape[1] == 0:
            raise InputError(
                "expected features of one dimension or more, got N x 0; of logits alone leave them out"
            )
        return found
    if logits is None:
        raise InputError("expected features, or logits at least, got neither; give N x D features")
    if weight is not None:
        raise InputError(
            "expected features beside the weight of a head, got logits alone; leave weight and bias out"
        )
    return torch.empty(count, 0, dtype=torch.float64)


def _require_columns(
    named: tuple[str, ...] | None, names: tuple[str, ...] | None, columns: Tensor | None
) -> None:
    """Raise InputError where labels are names, and nothing says which column of the classifier each of them is."""
    if named is not None and (columns is not None or names is not None):
        raise InputError(
            "expected labels as integers beside logits, a head or class_names: names do not say which column each of "
            "them is; give the number of the column"
        )


def _class_count(labels: Tensor, logits: Tensor | None, weight: Tensor | None) -> int:
    """K as the head or the logits have it, else one more than the largest label."""
    if weight is not None:
        return len(weight)
    if logits is not None:
        if logits.shape[1] == 0:
            raise InputError("expected logits of one class or more, got N x 0; give a column a class")
        return logits.shape[1]
    most = max(MOST_CLASSES, len(labels))
    largest = int(labels.max()) if len(labels) else 0
    if largest >= most:
        raise InputError(
            f"expected labels below {most:,}, the most that {len(labels):,} samples can speak of without logits or a "
            f"head, got {largest:,}; number the classes from 0, as numpy.unique(labels, return_inverse=True)[1] does"
        )
    return largest + 1


def _blocks(rows: Rows) -> tuple[Rows, ...]:
    """Blocks of bounded size, so that no step needs more than a block's worth of scratch memory."""
    return tuple(rows.part(slice(start, start + BLOCK)) for start in range(0, len(rows), BLOCK))


def _refuse(name: str, expected: str, got: Tensor) -> None:
    kind = str(got.dtype).removeprefix("torch.")
    raise InputError(f"expected {name} to be {expected}, got shape {tuple(got.shape)} of {kind}")
