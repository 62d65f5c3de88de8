"""Labelled rows: ids, labels, features and logits of samples, in blocks that can be read any number of times."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.sums import Sum, added
from maxsup_analysis.threads import threaded

T = TypeVar("T")
TILE = 2**22  # bytes of a float64 matrix; in float32 one or two of them stay in the processor's cache
FEWEST = 16  # rows of a tile, however wide


@dataclass(frozen=True)
class Rows:
    """B samples: ids, labels, penultimate features and, where they are known, logits; of any floating type."""

    ids: np.ndarray
    labels: Int64[Tensor, " B"]
    features: Float[Tensor, "B D"]
    logits: Float[Tensor, "B K"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def precision(self) -> torch.dtype:
        """Of products with deviations: float32, which are made in float64; float64 where the features are."""
        return torch.float64 if self.features.dtype == torch.float64 else torch.float32

    def part(self, chosen: slice) -> "Rows":
        """Some of them, without a copy."""
        logits = None if self.logits is None else self.logits[chosen]
        return Rows(self.ids[chosen], self.labels[chosen], self.features[chosen], logits)

    def take(self, chosen: Tensor) -> "Rows":
        """Some of them, by a mask or by number; ten times as fast as by an index in brackets."""
        numbers = chosen.nonzero()[:, 0] if chosen.dtype == torch.bool else chosen
        logits = None if self.logits is None else self.logits.index_select(0, numbers)
        features = self.features.index_select(0, numbers)
        return Rows(self.ids[numbers.numpy()], self.labels[numbers], features, logits)

    def tiles(self, *, wide: bool = True) -> Iterator["Rows"]:
        """The same, a few rows at a time: what is computed on a tile stays in the processor's cache.

        wide: features are looked at, not the logits alone.
        """
        return self.cut(self.tile_size(wide=wide))

    def cut(self, size: int) -> Iterator["Rows"]:
        """The same, so many rows at a time; at least one part, which may be empty."""
        return (self.part(slice(start, start + size)) for start in range(0, max(len(self), 1), size))

    def tile_size(self, *, wide: bool = True) -> int:
        """Rows of a tile."""
        widths = [1] if self.logits is None else [self.logits.shape[1]]
        widths += [self.features.shape[1]] if wide or self.logits is None else []
        return max(TILE // 8 // max(widths), FEWEST)


@runtime_checkable
class Blocks(Protocol):
    """Rows cut into blocks, which can be read any number of times, always in the same order.

    A sweep over all rows is a function of one block, applied here or elsewhere: whoever implements this
    decides by how many threads or machines. Functions and what they give have to be picklable.
    """

    def __iter__(self) -> Iterator[Rows]: ...

    def map(self, function: Callable[[Rows], T]) -> Iterator[T]:
        """What the function makes of each block, in the order of the blocks."""
        ...

    def total(self, function: Callable[[Rows], Sum]) -> Sum | None:
        """The sum of that, added in the order of `sums.added`; None where there are no blocks."""
        ...


@dataclass(frozen=True)
class RowBlocks:
    """Blocks that are in memory."""

    rows: tuple[Rows, ...] = ()

    def __iter__(self) -> Iterator[Rows]:
        return iter(self.rows)

    def map(self, function: Callable[[Rows], T]) -> Iterator[T]:
        """By threads where there are several, as blocks of a store are."""
        return threaded(function, self.rows, threads=None if len(self.rows) > 1 else 1)

    def total(self, function: Callable[[Rows], Sum]) -> Sum | None:
        """The sum of that, whatever the number of threads."""
        return added(self.map(function))


def require_labels(rows: Rows, classes: int) -> None:
    """Raise InputError where a label is out of range."""
    outside = (rows.labels < 0) | (rows.labels >= classes)
    if outside.any():
        first = int(outside.nonzero()[0, 0])
        raise InputError(
            f"expected labels from 0 to {classes - 1}, got {int(rows.labels[first])} for sample "
            f"{rows.ids[first]}; bring labels and classes of the same data"
        )


def runs(labels: Int64[Tensor, " B"]) -> Iterator[tuple[int, int, int]]:
    """Each label with where it starts and stops, of labels that are sorted.

    Example:
        >>> list(runs(torch.tensor([3, 3, 5])))
        [(3, 0, 2), (5, 2, 3)]
    """
    values, counts = labels.unique_consecutive(return_counts=True)
    stops = counts.cumsum(0)
    return zip(values.tolist(), (stops - counts).tolist(), stops.tolist(), strict=True)


def all_rows(blocks: Iterable[Rows]) -> Rows:
    """One block of them all in float64, in the order of their ids, for figures that look at every sample."""
    parts = list(blocks)
    logits = [rows.logits.double() for rows in parts if rows.logits is not None]
    rows = Rows(
        np.concatenate([rows.ids for rows in parts]),
        torch.cat([rows.labels for rows in parts]),
        torch.cat([rows.features.double() for rows in parts]),
        torch.cat(logits) if len(logits) == len(parts) else None,
    )
    order = np.argsort(rows.ids, kind="stable")
    return rows if (order[1:] > order[:-1]).all() else rows.take(torch.from_numpy(order))


def require_finite(rows: Rows) -> None:
    """Raise InputError, with the sample, where a feature or a logit is not finite."""
    for name, values in (("features", rows.features), ("logits", rows.logits)):
        if values is not None and not (finite := values.isfinite().all(1)).all():
            bad = rows.ids[(~finite).numpy()]
            more = f" and {len(bad) - 1} more in its block" if len(bad) > 1 else ""
            raise InputError(
                f"expected finite {name}, got NaN or infinity for sample {bad[0]}{more}; "
                "extract in float32, or leave these samples out"
            )
