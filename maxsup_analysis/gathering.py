"""The second sweep over the rows: with the class means known, all sums that metrics are functions of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from operator import add, iadd

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.mean_pulls import MeanPulls
from maxsup_analysis.metrics.metric import SampleMetric
from maxsup_analysis.moments import ClassMoments, ClusterMeans, ClusterMoments
from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import FEWEST, Rows
from maxsup_analysis.span_sums import SpanParts, SpanSums, span_scatter, sums_from_scatter
from maxsup_analysis.symmetric import half_product, mirrored
from maxsup_analysis.ties import TIED
from maxsup_analysis.tile import Tile
from maxsup_analysis.wanted import Wanted

Outcome = Tensor | Undefined
MANY = 256  # axes, along which it takes long to look at every sample, and whose rounding errors average out
PLACES = 2**20  # coordinates that are kept until the logits are looked at


@dataclass(frozen=True)
class Kept:
    """Numbers kept of samples, in the order of the rows.

    span, direction_span: what each sample adds to `SpanSums.inside` and `SpanSums.distance`.
    """

    columns: Mapping[str, Outcome] = field(default_factory=dict)
    span: Float64[Tensor, "N 2"] | None = None
    direction_span: Float64[Tensor, "N 2"] | None = None

    @classmethod
    def joined(cls, parts: Sequence["Kept"]) -> "Kept":
        """One after the other, all at once."""
        columns = {name: _joined([part.columns[name] for part in parts]) for name in parts[0].columns}
        spans = [part.span for part in parts if part.span is not None]
        direction_spans = [part.direction_span for part in parts if part.direction_span is not None]
        return cls(
            columns,
            torch.cat(spans) if spans else None,
            torch.cat(direction_spans) if direction_spans else None,
        )


@dataclass(frozen=True)
class Gathered:
    """Everything the sweep sums, and what it keeps; spreads are None where they follow from what is known before.

    scatter: its upper half until all is summed. largest_logit: of the predictions, in size.
    parts: what is kept, a part for each block until they are joined.
    """

    spreads: Float64[Tensor, " K"] | None
    direction_spreads: Float64[Tensor, " K"] | None
    span: SpanSums | None
    direction_span: SpanSums | None
    scatter: Float64[Tensor, "D D"] | None
    totals: Mapping[str, Outcome]
    parts: tuple[Kept, ...]
    pulls: MeanPulls | None = None
    largest_logit: float = 0.0

    @property
    def kept(self) -> Kept:
        """What is kept of all samples."""
        (kept,) = self.parts
        return kept

    def __add__(self, other: "Gathered") -> "Gathered":
        return self._sum(other, add)

    def __iadd__(self, other: "Gathered") -> "Gathered":
        return self._sum(other, iadd)

    def _sum(self, other: "Gathered", plus: Callable) -> "Gathered":
        return Gathered(
            _both(plus, self.spreads, other.spreads),
            _both(plus, self.direction_spreads, other.direction_spreads),
            _both(plus, self.span, other.span),
            _both(plus, self.direction_span, other.direction_span),
            _both(plus, self.scatter, other.scatter),
            {name: added(total, other.totals[name]) for name, total in self.totals.items()},
            self.parts + other.parts,
            _both(plus, self.pulls, other.pulls),
            max(self.largest_logit, other.largest_logit),
        )


def gather(representation: Representation, wanted: Wanted) -> Gathered:
    """One sweep over the rows; none where nothing is left to sum."""
    summary = representation.summary
    # Here, where torch has all of its threads, and once.
    if wanted.span:
        _ = summary.span.single
    if wanted.direction_span:
        _ = summary.direction_span.single
    if summary.means.features_are_loose:
        _ = summary.means.features.single
        if wanted.direction_span and summary.means.directions_are_loose:
            _ = summary.means.directions.single
    if wanted.nothing and summary.means.features_are_loose and summary.means.directions_are_loose:
        return Gathered(None, None, None, None, None, {}, (Kept(),))
    through_scatter = wanted.span and wanted.scatter and not wanted.errors and summary.span.rank >= MANY
    gathered = _swept(representation, replace(wanted, span=wanted.span and not through_scatter))
    scatter = None if gathered.scatter is None else mirrored(gathered.scatter)
    span = gathered.span
    if through_scatter and scatter is not None:
        span = sums_from_scatter(summary.span, scatter, representation.precision)
        # A sweep more, where rounding of the scatter would show.
        span = _swept(representation, Wanted(span=True)).span if span is None else span
    return replace(gathered, span=span, scatter=scatter, parts=(Kept.joined(gathered.parts),))


def _swept(representation: Representation, wanted: Wanted) -> Gathered:
    summary = representation.summary
    gathered = representation.blocks.total(partial(_gathered, representation=summary, wanted=wanted))
    assert gathered is not None, "a representation has rows"
    return gathered


def moments_of(representation: Representation, gathered: Gathered) -> ClassMoments:
    """The moments that metrics look at."""
    means = representation.means
    spreads = means.spreads if gathered.spreads is None else gathered.spreads
    return ClassMoments(
        _moments(means.features, spreads, gathered.span),
        _moments(means.directions, gathered.direction_spreads, gathered.direction_span),
        gathered.scatter,
    )


def within_scatter(representation: Representation) -> Float64[Tensor, "D D"]:
    """The pooled within-class scatter, sum_i (h_i - mean of its class)(h_i - mean of its class)^T."""
    scatter = gather(representation, Wanted(scatter=True)).scatter
    assert scatter is not None, "it was asked for"
    return scatter


def added(first: Outcome, second: Outcome) -> Outcome:
    """The sum of both, or why there is none."""
    if isinstance(first, Undefined):
        return first
    return second if isinstance(second, Undefined) else first + second


def attempted(function, *arguments: object) -> Outcome:  # noqa: ANN001
    """What a function of a metric gives, or why it gives nothing."""
    try:
        return function(*arguments)
    except Undefined as reason:
        # Without what it was raised through, which would keep the rows alive.
        return reason.with_traceback(None)


def _both(plus, first, second):  # noqa: ANN001, ANN202
    return None if first is None or second is None else plus(first, second)


def _gathered(rows: Rows, representation: Representation, wanted: Wanted) -> Gathered:
    """The sums over one block: first of what looks at features, then of what looks at logits and places."""
    of_samples, of_points = _SampleParts(wanted), _PointParts(Tile(rows, representation), wanted)
    for group in rows.cut(of_points.group_size):
        for part in group.tiles():
            tile = Tile(part, representation)
            of_points.add(tile)
            of_samples.look(tile, geometric=True)
        places, start = of_points.end_group(), 0
        for part in group.tiles(wide=False):
            known = None if places is None else places[start : start + len(part)]
            of_samples.look(Tile(part, representation, known), geometric=False)
            start += len(part)
    return of_points.gathered(of_samples)


class _PointParts:
    """What the tiles of one block add to sums over features and their directions."""

    def __init__(self, whole: Tile, wanted: Wanted) -> None:
        self.whole, self.wanted = whole, wanted
        self.squares: list[Tensor] = []
        self.direction_squares: list[Tensor] = []
        means = whole.representation.means
        self.loose, self.directions_are_loose = means.features_are_loose, means.directions_are_loose
        self.group_size = _group_size(whole, wanted)
        self.span = self.direction_span = None
        if wanted.span:
            self.span = SpanParts(whole.span, self.group_size, errors=wanted.errors)
        if wanted.direction_span:
            self.direction_span = SpanParts(whole.direction_span, self.group_size, errors=wanted.errors)
        # One matrix of the block: a product of many rows at once.
        shape = whole.rows.features.shape if wanted.scatter else (0, 0)
        self.deviations = torch.empty(shape, dtype=whole.precision)
        self.seen = 0
        self.pulls: list[MeanPulls] = []

    def add(self, tile: Tile) -> None:
        """Take a tile along."""
        if not self.loose:
            self.squares.append(tile.squares)
        if not self.directions_are_loose:
            self.direction_squares.append(tile.direction_squares)
        if self.span is not None:
            self.span.add(tile.product_deviations)
        if self.direction_span is not None:
            self.direction_span.add(tile.product_direction_deviations)
        if self.wanted.pulls:
            self.pulls.append(MeanPulls.of(tile))
        if self.wanted.scatter:
            self.deviations[self.seen : self.seen + len(tile)] = tile.product_deviations
            self.seen += len(tile)

    def end_group(self) -> Float[Tensor, "B R"] | None:
        """Where the samples since the last group lie in the span of the class means."""
        if self.direction_span is not None:
            self.direction_span.end_group()
        return None if self.span is None else self.span.end_group()

    def gathered(self, of_samples: "_SampleParts") -> Gathered:
        """The sums, with those of metrics of samples."""
        labels, K = self.whole.labels, len(self.whole.representation.class_names)
        span, direction_span = self.span, self.direction_span
        return Gathered(
            None if self.loose else _by_class(self.squares, labels, K),
            None if self.directions_are_loose else _by_class(self.direction_squares, labels, K),
            None if span is None else span.sums,
            None if direction_span is None else direction_span.sums,
            half_product(self.deviations).double() if self.wanted.scatter else None,
            of_samples.totals,
            (
                Kept(
                    of_samples.joined,
                    None if span is None else span.shares,
                    None if direction_span is None else direction_span.shares,
                ),
            ),
            reduce(add, self.pulls) if self.pulls else None,
            of_samples.largest_logit,
        )


def _group_size(whole: Tile, wanted: Wanted) -> int:
    """Rows whose places are kept until their logits are looked at."""
    ranks = [1]
    ranks += [whole.span.rank] if wanted.span else []
    ranks += [whole.direction_span.rank] if wanted.direction_span else []
    return max(min(PLACES // max(ranks), len(whole)), FEWEST)


def _by_class(parts: Sequence[Tensor], labels: Int64[Tensor, " B"], K: int) -> Float64[Tensor, " K"]:
    """Sums over each class of numbers of the samples of one block."""
    return torch.zeros(K, dtype=torch.float64).index_add_(0, labels, torch.cat(list(parts)))


class _SampleParts:
    """What the tiles of one block add to the totals of metrics of samples, and what is kept of each sample."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.totals: dict[str, Outcome] = {}
        self.columns: dict[str, list[Outcome]] = {metric.name: [] for metric in wanted.kept}
        self.looks_at_logits = not all(metric.is_geometric for metric in (*wanted.kept, *wanted.totals))
        self.largest_logit = 0.0

    def look(self, tile: Tile, *, geometric: bool) -> None:
        """Take a tile along, for the metrics that look at features or for those that do not."""
        if self.looks_at_logits and not geometric and len(tile):
            self.largest_logit = max(self.largest_logit, _largest_logit(tile))
        for metric in self.wanted.kept:
            if metric.is_geometric == geometric:
                assert metric.columns is not None, "what is kept has columns"
                self.columns[metric.name].append(attempted(metric.columns, tile))
        for metric in self.wanted.totals:
            if metric.is_geometric == geometric:
                self._add(metric.name, self._total(metric, tile))

    def _total(self, metric: SampleMetric, tile: Tile) -> Outcome:
        if metric.name not in self.columns:
            return attempted(metric.totals, tile)
        kept = self.columns[metric.name][-1]
        return kept if isinstance(kept, Undefined) else kept.sum(0)

    def _add(self, name: str, total: Outcome) -> None:
        self.totals[name] = added(self.totals[name], total) if name in self.totals else total

    @property
    def joined(self) -> dict[str, Outcome]:
        """The columns of the block."""
        return {name: _joined(parts) for name, parts in self.columns.items()}


def _largest_logit(tile: Tile) -> float:
    found = attempted(lambda seen: seen.top_logits.abs().max() + seen.logit_rounding.max() / TIED, tile)
    return 0.0 if isinstance(found, Undefined) else float(found)


def _joined(parts: Sequence[Outcome]) -> Outcome:
    for part in parts:
        if isinstance(part, Undefined):
            return part
    return torch.cat([part for part in parts if not isinstance(part, Undefined)])


def _moments(
    means: ClusterMeans, spreads: Float64[Tensor, " K"] | None, sums: SpanSums | None
) -> ClusterMoments:
    scatter = None if sums is None else span_scatter(sums, means.span)
    return ClusterMoments(means.origin, means.counts, means.offsets, spreads, scatter)
