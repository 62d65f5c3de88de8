"""What metrics and figures may look at: the moments, the head, and the rows behind them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.errors import InputError, Undefined
from maxsup_analysis.moments import ClassMoments, ClusterMoments, Sum, added, summarize

T = TypeVar("T")


@dataclass(frozen=True)
class Head:
    """The last linear map of a classifier: logits = weight @ features + bias."""

    weight: Float64[Tensor, "K D"]
    bias: Float64[Tensor, " K"] | None = None

    def logits(self, features: Float64[Tensor, "B D"]) -> Float64[Tensor, "B K"]:
        """What the head makes of features."""
        logits = features @ self.weight.T
        return logits if self.bias is None else logits + self.bias


@dataclass(frozen=True)
class Rows:
    """B samples: ids, labels, penultimate features and, where they are known, logits; float64."""

    ids: np.ndarray
    labels: Int64[Tensor, " B"]
    features: Float64[Tensor, "B D"]
    logits: Float64[Tensor, "B K"] | None = None

    @cached_property
    def known_logits(self) -> Float64[Tensor, "B K"]:
        """The logits, for metrics that cannot do without."""
        if self.logits is None:
            raise Undefined("there are neither logits nor a head to compute them from")
        return self.logits

    @cached_property
    def true_logits(self) -> Float64[Tensor, " B"]:
        """The logit of the true class."""
        return self.known_logits.gather(1, self.labels[:, None])[:, 0]

    @cached_property
    def log_probabilities(self) -> Float64[Tensor, "B K"]:
        """Log of the softmax at temperature 1."""
        return self.known_logits.log_softmax(1)

    @cached_property
    def predictions(self) -> Int64[Tensor, " B"]:
        """The class of the largest logit; of several equal ones, the first."""
        return self.known_logits.argmax(1)

    @cached_property
    def correct(self) -> Float64[Tensor, " B"]:
        """1 where the prediction is the label, else 0."""
        return (self.predictions == self.labels).double()


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
        """The sum of that, added in the order of `moments.added`; None where there are no blocks."""
        ...


@dataclass(frozen=True)
class RowBlocks:
    """Blocks that are in memory."""

    rows: tuple[Rows, ...] = ()

    def __iter__(self) -> Iterator[Rows]:
        return iter(self.rows)

    def map(self, function: Callable[[Rows], T]) -> Iterator[T]:
        """One after the other."""
        return map(function, self.rows)

    def total(self, function: Callable[[Rows], Sum]) -> Sum | None:
        """One after the other."""
        return added(self.map(function))


@dataclass(frozen=True)
class Representation:
    """N labelled features of one classifier, summarised; K classes, D features.

    blocks: the rows behind the moments.
    class_names: K names, in the order of the labels.
    """

    moments: ClassMoments
    blocks: Blocks
    class_names: tuple[str, ...]
    head: Head | None = None

    @cached_property
    def occupied(self) -> Int64[Tensor, " M"]:
        """The labels of the classes that have samples."""
        return self.moments.features.counts.nonzero()[:, 0]

    @cached_property
    def classes(self) -> ClusterMoments:
        """Feature moments of the classes that have samples."""
        return self.moments.features.occupied

    @cached_property
    def directions(self) -> ClusterMoments:
        """Moments of the unit-length features, of the classes that have any."""
        directions = self.moments.directions.occupied
        if len(directions.counts) == 0:
            raise Undefined("all features are zero vectors, which have no direction")
        return directions

    @property
    def scatter(self) -> Float64[Tensor, "D D"]:
        """Pooled within-class scatter."""
        return self.moments.scatter

    @property
    def known_head(self) -> Head:
        """The head, for metrics that cannot do without."""
        if self.head is None:
            raise Undefined("there is no head (weight and bias of the last layer)")
        return self.head

    @property
    def summary(self) -> "Representation":
        """The same without the rows: what a function of one block may take along."""
        return replace(self, blocks=RowBlocks())

    @property
    def samples(self) -> int:
        """N."""
        return int(self.moments.features.counts.sum())

    @property
    def dimensions(self) -> int:
        """D."""
        return self.moments.scatter.shape[0]


def represent(blocks: Blocks, *, class_names: tuple[str, ...], head: Head | None = None) -> Representation:
    """Summarise rows; raises InputError that names the sample where a value is not finite."""
    moments = blocks.total(partial(_checked_moments, classes=len(class_names)))
    if moments is None:
        raise InputError("expected at least one sample, got none; extract features from data that has some")
    return Representation(moments, blocks, class_names, head)


def checked(rows: Rows, classes: int) -> Rows:
    """The rows themselves, once their labels are in range and their numbers finite."""
    outside = (rows.labels < 0) | (rows.labels >= classes)
    if outside.any():
        first = int(outside.nonzero()[0, 0])
        raise InputError(
            f"expected labels from 0 to {classes - 1}, got {int(rows.labels[first])} for sample "
            f"{rows.ids[first]}; bring labels and classes of the same data"
        )
    for name, values in (("features", rows.features), ("logits", rows.logits)):
        if values is not None and not (finite := values.isfinite().all(1)).all():
            bad = rows.ids[(~finite).numpy()]
            more = f" and {len(bad) - 1} more in its block" if len(bad) > 1 else ""
            raise InputError(
                f"expected finite {name}, got NaN or infinity for sample {bad[0]}{more}; "
                "extract in float32, or leave these samples out"
            )
    return rows


def _checked_moments(rows: Rows, classes: int) -> ClassMoments:
    return summarize(checked(rows, classes).features, rows.labels, classes=classes)


def head_of(weight: Tensor | None, bias: Tensor | None) -> Head | None:
    """A head in float64 from what a checkpoint or a file holds."""
    if weight is None:
        return None
    return Head(weight.double(), None if bias is None else bias.double())


def class_numbers(K: int) -> tuple[str, ...]:
    """Names for classes that have none."""
    return tuple(str(k) for k in range(K))


def with_logits(rows: Rows, head: Head | None) -> Rows:
    """Rows whose logits, where they lack, come from the head."""
    if rows.logits is not None or head is None:
        return rows
    return Rows(rows.ids, rows.labels, rows.features, head.logits(rows.features))


def all_rows(blocks: Iterable[Rows]) -> Rows:
    """One block of them all, for figures that look at every sample."""
    parts = list(blocks)
    logits = [rows.logits for rows in parts if rows.logits is not None]
    return Rows(
        np.concatenate([rows.ids for rows in parts]),
        torch.cat([rows.labels for rows in parts]),
        torch.cat([rows.features for rows in parts]),
        torch.cat(logits) if len(logits) == len(parts) else None,
    )
