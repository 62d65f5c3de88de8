"""What metrics and figures may look at: means and moments, the head, and the rows behind them."""

from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from maxsup_analysis.errors import InputError, Undefined
from maxsup_analysis.lazy import Remembering, lazy
from maxsup_analysis.moments import (
    ClassMeans,
    ClassMoments,
    ClassSums,
    ClusterMeans,
    ClusterMoments,
    ClusterSums,
    directions_of,
    lengths_of,
)
from maxsup_analysis.rows import Blocks, RowBlocks, Rows, require_finite, require_labels
from maxsup_analysis.span import Span
from maxsup_analysis.surroundings import undisturbed


@dataclass(frozen=True)
class Head:
    """The last linear map of a classifier: logits = weight @ features + bias."""

    weight: Float64[Tensor, "K D"]
    bias: Float64[Tensor, " K"] | None = None

    def logits(self, features: Float64[Tensor, "B D"]) -> Float64[Tensor, "B K"]:
        """What the head makes of features."""
        logits = features @ self.weight.T
        return logits if self.bias is None else logits + self.bias

    @lazy
    def lengths(self) -> Float64[Tensor, " K"]:
        """Euclidean lengths of the rows."""
        return lengths_of(self.weight)

    @lazy
    def directions(self) -> Float64[Tensor, "K D"]:
        """The rows scaled to length one; zero vectors stay zero."""
        return directions_of(self.weight, self.lengths)

    @lazy
    def single(self) -> Float[Tensor, "K D"]:
        """The rows in float32."""
        return self.weight.float()

    @lazy
    def with_signs(self) -> tuple[Float64[Tensor, "K 32"], Float64[Tensor, "D 32"]]:
        """Random signs for the classes, the same ones always, and the sums of the rows with these signs."""
        drawn = torch.randint(2, (len(self.weight), 32), generator=torch.Generator().manual_seed(0))
        signs = 2 * drawn.double() - 1
        return signs, self.weight.T @ signs


@dataclass(frozen=True)
class ClassVectors:
    """A vector for each class, and its product with the mean of the class."""

    vectors: Float64[Tensor, "K D"]
    at_means: Float64[Tensor, " K"]

    @lazy
    def single(self) -> Float32[Tensor, "K D"]:
        """The vectors in float32."""
        return self.vectors.float()


@dataclass(frozen=True)
class Representation(Remembering):
    """N labelled features of one classifier; K classes, D features.

    means: of every class, from a first sweep over the rows.
    blocks: the rows themselves.
    class_names: K names, in the order of the labels.
    moments: what a second sweep adds for metrics; None before it.
    temperature: what logits are divided by to be calibrated, or why nothing is; None where no metric asked.
    power: the p of the p-norm that logits are divided by for selection, or why nothing is; None where no metric
        asked.
    """

    means: ClassMeans
    blocks: Blocks
    class_names: tuple[str, ...]
    head: Head | None = None
    moments: ClassMoments | None = None
    temperature: float | Undefined | None = None
    power: int | Undefined | None = None

    @lazy
    def occupied(self) -> Int64[Tensor, " M"]:
        """The labels of the classes that have samples."""
        return self.means.features.counts.nonzero()[:, 0]

    @lazy
    def class_means(self) -> ClusterMeans:
        """Feature means of the classes that have samples."""
        return self.means.features.occupied

    @lazy
    def classes(self) -> ClusterMoments:
        """Feature moments of the classes that have samples."""
        return self.known_moments.features.occupied

    @lazy
    def directions(self) -> ClusterMoments:
        """Moments of the unit-length features, of the classes that have any."""
        directions = self.known_moments.directions.occupied
        if len(directions.counts) == 0:
            raise Undefined("all features are zero vectors, which have no direction")
        return directions

    @lazy
    def class_directions(self) -> ClassVectors:
        """The means of the unit-length features."""
        return self._vectors(self.means.directions.means)

    @lazy
    def head_directions(self) -> ClassVectors:
        """The rows of the head scaled to length one."""
        return self._vectors(self.known_head.directions)

    def _vectors(self, vectors: Float64[Tensor, "K D"]) -> ClassVectors:
        return ClassVectors(vectors, (self.means.features.means * vectors).sum(1))

    @property
    def scatter(self) -> Float64[Tensor, "D D"]:
        """Pooled within-class scatter, of metrics that say they need it."""
        scatter = self.known_moments.scatter
        assert scatter is not None, "a metric that looks at the scatter says so in `needs`"
        return scatter

    def scatter_along(self, vectors: Float64[Tensor, "R D"]) -> Float64[Tensor, " R"]:
        """The product v S v of each vector v, S being the pooled within-class scatter: cheaper than to look at S."""
        return self.known_moments.scatter_along(vectors)

    @property
    def known_moments(self) -> ClassMoments:
        """The moments of the second sweep."""
        assert self.moments is not None, "metrics are computed after the second sweep"
        return self.moments

    @property
    def known_head(self) -> Head:
        """The head, for metrics that cannot do without."""
        if self.head is None:
            raise Undefined("there is no head (weight and bias of the last layer)")
        return self.head

    @property
    def span(self) -> Span:
        """The span of the centred class means."""
        return self.means.features.span

    @property
    def direction_span(self) -> Span:
        """The span of the centred class means of the unit-length features."""
        return self.means.directions.span

    @lazy
    def summary(self) -> "Representation":
        """The same without the rows: what a function of one block may take along."""
        alone = replace(self, blocks=RowBlocks())
        # Found once, here, and not again for every block.
        for name in ("occupied", "class_means"):
            alone.__dict__[name] = getattr(self, name)
        return alone

    @lazy
    def precision(self) -> torch.dtype:
        """Of products with deviations."""
        return self.means.precision(next(iter(self.blocks)).precision)

    @property
    def samples(self) -> int:
        """N."""
        return int(self.means.features.counts.sum())

    @property
    def dimensions(self) -> int:
        """D."""
        return self.means.features.offsets.shape[1]


@undisturbed()
def represent(blocks: Blocks, *, class_names: tuple[str, ...], head: Head | None = None) -> Representation:
    """The class means of rows; raises InputError that names the sample where a value is not finite."""
    origin = next((_first(rows) for rows in blocks if len(rows)), None)
    if origin is None:
        raise InputError("expected at least one sample, got none; extract features from data that has some")
    sums = blocks.total(partial(class_sums, classes=len(class_names), origin=origin))
    assert sums is not None, "there is a block"
    return Representation(sums.means(origin), blocks, class_names, head)


@undisturbed()
def head_of(weight: Tensor | None, bias: Tensor | None) -> Head | None:
    """A head in float64 from what a checkpoint or a file holds; raises InputError where a number is not finite."""
    if weight is None:
        return None
    for name, part in (("weight", weight), ("bias", bias)):
        if part is not None and not part.isfinite().all():
            row = int((~part.isfinite()).nonzero()[0, 0])
            raise InputError(
                f"expected finite numbers in the {name} of the head, got {_one_of(part[row])} in row {row}; mend the "
                "checkpoint or the file that it is from"
            )
    return Head(_own(weight), None if bias is None else _own(bias))


def _own(part: Tensor) -> Tensor:
    """In float64 and without a graph; a copy of what was made in inference mode, which no derivative may look at."""
    part = part.detach().double()
    return part.clone() if part.is_inference() else part


def _one_of(row: Tensor) -> float:
    """The first number of a row, or the one, that is not finite."""
    return float(row.flatten()[~row.flatten().isfinite()][0])


def class_numbers(K: int) -> tuple[str, ...]:
    """Names for classes that have none."""
    return tuple(str(k) for k in range(K))


def _first(rows: Rows) -> Float64[Tensor, " D"]:
    """The first of the rows, if it is finite: any point among the others will do as their origin."""
    return rows.features[0].double().nan_to_num(0.0, 0.0, 0.0)


def class_sums(rows: Rows, classes: int, origin: Float64[Tensor, " D"]) -> ClassSums:
    """Counts and sums of a block, of features as seen from the origin."""
    require_labels(rows, classes)
    sums, direction_sums = torch.zeros(2, classes, len(origin), dtype=torch.float64)
    lengths = torch.empty(len(rows), dtype=torch.float64)
    # Fresh memory for what is as large as a tile would take as long as all of the rest.
    scratch, more = torch.empty(2, min(rows.tile_size(), len(rows)), len(origin), dtype=torch.float64)
    start = 0
    for tile in rows.tiles():
        points = scratch[: len(tile)].copy_(tile.features)
        lengths[start : start + len(tile)] = own = lengths_of(points)
        direction_sums.index_add_(0, tile.labels, directions_of(points, own, more[: len(tile)]))
        sums.index_add_(0, tile.labels, points.sub_(origin))
        start += len(tile)
    # A sum is finite where all its numbers are, but for overflow: then a closer look.
    logits = rows.logits
    if not (sums.isfinite().all() and (logits is None or logits.sum(dtype=rows.precision).isfinite())):
        require_finite(rows)
    counts = torch.bincount(rows.labels, minlength=classes).double()
    directed = torch.bincount(rows.labels[lengths > 0], minlength=classes).double()
    squares = torch.zeros(classes, dtype=torch.float64).index_add_(0, rows.labels, lengths.square_())
    return ClassSums(ClusterSums(counts, sums), squares, ClusterSums(directed, direction_sums))
