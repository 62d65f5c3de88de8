"""The first samples of each class together: for what cannot be summed sample by sample."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.rows import Blocks, Rows, runs
from maxsup_analysis.threads import threaded

T = TypeVar("T")
MOST = 512  # samples of a class
ROOM = 10**8  # bytes of features that are in memory at once


def map_classes(
    function: Callable[[int, Rows], T],
    blocks: Blocks,
    counts: Float64[Tensor, " K"],
    limit: int = MOST,
    room: int = ROOM,
) -> Iterator[T]:
    """What the function makes of each class that has samples: of its label and its first `limit` samples.

    counts: how many samples each class has. Samples are in the order of the rows, without their logits. Classes come
    in the order of their labels, several at once in threads; as many at a time as `room` holds, each time after one
    sweep that reads the labels of a block and the rows that are wanted.
    """
    first = next(iter(blocks), None)
    if first is None:
        return
    wanted = counts.long().clamp(max=limit)
    bytes_each = first.features.shape[1] * first.features.element_size()
    for classes in _groups(wanted, max(room // max(bytes_each, 1), 1)):
        yield from threaded(partial(_applied, function), _swept(blocks, wanted, classes))


def _applied(function: Callable[[int, Rows], T], item: tuple[int, list[Rows]]) -> T:
    label, parts = item
    return function(label, _joined(parts))


def _groups(wanted: Int64[Tensor, " K"], rows: int) -> Iterator[range]:
    """Ranges of classes that want no more than so many rows together, but for a class that alone wants more."""
    start, held = 0, 0
    for label, number in enumerate(wanted.tolist()):
        if held and held + number > rows:
            yield range(start, label)
            start, held = label, 0
        held += number
    if held:
        yield range(start, len(wanted))


def _swept(blocks: Blocks, wanted: Int64[Tensor, " K"], classes: range) -> list[tuple[int, list[Rows]]]:
    """The labels of some classes and their rows, from one sweep, which ends as soon as they are complete."""
    missing = {label: int(wanted[label]) for label in classes if wanted[label] > 0}
    parts: dict[int, list[Rows]] = {label: [] for label in missing}
    for rows in blocks.map(partial(_first_of_classes, classes=classes, limit=int(wanted.max()))):
        for label, start, stop in runs(rows.labels):
            if missing[label] > 0:
                part = rows.part(slice(start, min(stop, start + missing[label])))
                parts[label].append(part)
                missing[label] -= len(part)
        if not any(missing.values()):
            break
    return list(parts.items())


def _first_of_classes(rows: Rows, classes: range, limit: int) -> Rows:
    """The first rows of a block of each of some classes, class after class, without their logits."""
    chosen = ((rows.labels >= classes.start) & (rows.labels < classes.stop)).nonzero()[:, 0]
    chosen = chosen[rows.labels[chosen].argsort(stable=True)]
    counts = rows.labels[chosen].unique_consecutive(return_counts=True)[1]
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    chosen = chosen[torch.arange(len(chosen)) - starts < limit]
    return Rows(rows.ids, rows.labels, rows.features).take(chosen)


def _joined(parts: list[Rows]) -> Rows:
    return Rows(
        np.concatenate([part.ids for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat([part.features for part in parts]),
    )
