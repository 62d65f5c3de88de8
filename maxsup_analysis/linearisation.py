"""Metrics at their values, with their gradients with respect to what they are functions of, by autograd."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from maxsup_analysis.errors import NotSmooth, Undefined
from maxsup_analysis.gathering import Gathered, Outcome
from maxsup_analysis.metrics.metric import Metric, MomentMetric, OrderMetric, SampleMetric, SpectralMetric
from maxsup_analysis.moments import ClassMoments, ClusterMoments, SpanScatter
from maxsup_analysis.representation import Representation
from maxsup_analysis.spectra import Spectra

OVERFLOW = "the computation left the range of float64; scale the features"


@dataclass
class ClusterGradient:
    """Derivatives of a metric with respect to the moments of one kind of points; None where it depends on none.

    offsets: in the precision of products with deviations; large, and taken out by who has use for it.
    spreads: also where the spreads follow from counts and offsets, whose derivatives are then at given spreads.
    """

    counts: Float64[Tensor, " K"] | None
    offsets: Float[Tensor, "K D"] | None
    spreads: Float64[Tensor, " K"] | None
    inside: Float64[Tensor, ""] | None
    distance: Float64[Tensor, ""] | None

    def take_offsets(self) -> Float[Tensor, "K D"] | None:
        """That with respect to the means, which is then no longer here."""
        offsets, self.offsets = self.offsets, None
        return offsets

    @property
    def touched(self) -> Tensor | None:
        """The classes whose mean or spread matters."""
        parts = [] if self.offsets is None else [self.offsets.abs().sum(1)]
        parts += [] if self.spreads is None else [self.spreads.abs()]
        return sum(parts[1:], parts[0]) > 0 if parts else None


@dataclass(frozen=True)
class MomentGradient:
    """Derivatives of a metric with respect to the moments.

    forms: vectors that the scatter was looked at along, and the derivatives with respect to what was seen.
    """

    features: ClusterGradient
    directions: ClusterGradient
    scatter: Float64[Tensor, "D D"] | None
    forms: tuple[tuple[Float64[Tensor, "R D"], Float64[Tensor, " R"]], ...] = ()

    @property
    def any(self) -> bool:
        """Whether anything of the samples matters; not to a metric of the head alone, or one that is constant."""
        parts = [getattr(one, part.name) for one in (self.features, self.directions) for part in fields(one)]
        return self.in_scatter or any(part is not None for part in parts)

    @property
    def in_scatter(self) -> bool:
        """Whether the scatter matters, or its part in the span of the class means: that of every class."""
        parts = (
            self.scatter,
            self.features.inside,
            self.features.distance,
            self.directions.inside,
            self.directions.distance,
        )
        return bool(self.forms) or any(part is not None for part in parts)


Gradient = MomentGradient | Tensor


@dataclass(frozen=True)
class Linearised:
    """A metric at its value, and how it changes with what it is a function of.

    gradient: for a MomentMetric a MomentGradient; else a number for each total, eigenvalue or sample. None where
    the value does not exist or has no derivative, for the reason given.
    """

    metric: Metric
    value: float
    gradient: Gradient | None
    reason: str | None = None

    @property
    def is_constant(self) -> bool:
        """Whether the metric depends on no sample, as one of the head alone."""
        gradient = self.gradient
        if not isinstance(gradient, MomentGradient):
            return False
        parts = [gradient.features, gradient.directions]
        known = [part for one in parts for part in (one.counts, one.offsets, one.spreads)]
        return not gradient.in_scatter and all(part is None for part in known)


def linearise(
    representation: Representation,
    gathered: Gathered,
    spectra: Spectra | None,
    metrics: Sequence[Metric],
    *,
    errors: bool,
) -> list[Linearised]:
    """Value and, where errors are wanted, gradient of each metric."""
    if errors:
        representation = _watched(representation)
    evaluate = partial(
        _evaluated, representation=representation, gathered=gathered, spectra=spectra, errors=errors
    )
    return [_linearised(metric, evaluate) for metric in metrics]


def through_means(entry: Linearised, gathered: Gathered, representation: Representation) -> Linearised | None:
    """A metric of samples as a function of the class means that they are seen from; None where they are not."""
    metric, gradient = entry.metric, entry.gradient
    if not isinstance(metric, SampleMetric) or metric.seen_from is None or not isinstance(gradient, Tensor):
        return None
    assert gathered.pulls is not None, "where standard errors are wanted, so are these"
    slopes = gradient[0] * gathered.pulls.slopes(metric.seen_from, representation.means.directions)
    moved = ClusterGradient(None, slopes.to(representation.precision), None, None, None)
    still = ClusterGradient(None, None, None, None, None)
    directed = metric.seen_from.mean == "own direction"
    found = MomentGradient(still, moved, None) if directed else MomentGradient(moved, still, None)
    # Under another name: nothing is kept of it.
    return Linearised(replace(metric, name=f"{metric.name} through class means"), entry.value, found)


def _linearised(metric: Metric, evaluate: Callable[[Metric], tuple[float, Gradient | None]]) -> Linearised:
    try:
        value, gradient = evaluate(metric)
    except Undefined as reason:
        return Linearised(metric, math.nan, None, str(reason))
    except NotSmooth as point:
        return Linearised(metric, point.value, None, str(point))
    if not math.isfinite(value):
        return Linearised(metric, math.nan, None, OVERFLOW)
    return Linearised(metric, value, gradient)


def _evaluated(
    metric: Metric,
    representation: Representation,
    gathered: Gathered,
    spectra: Spectra | None,
    errors: bool,
) -> tuple[float, Gradient | None]:
    """Value and gradient of one metric."""
    if isinstance(metric, MomentMetric):
        return _moment_gradient(metric, representation, errors=errors)
    if isinstance(metric, SampleMetric):
        return vector_gradient(metric.combine, _known(gathered.totals[metric.name]), errors=errors)
    if isinstance(metric, SpectralMetric):
        assert spectra is not None, "spectral metrics need the scatter"
        return vector_gradient(metric.value, spectra.of(metric.matrix).values, errors=errors)
    assert isinstance(metric, OrderMetric)
    columns = _known(gathered.kept.columns[metric.name])
    weights = torch.ones(len(columns), dtype=torch.float64)
    return vector_gradient(partial(metric.value, columns), weights, errors=errors)


def _known(sums: Outcome) -> Tensor:
    if isinstance(sums, Undefined):
        raise sums
    return sums


def vector_gradient(
    value_of: Callable[[Tensor], Tensor], vector: Float64[Tensor, " P"], *, errors: bool
) -> tuple[float, Float64[Tensor, " P"] | None]:
    """Value and, where errors are wanted, gradient of a function of some numbers; zeros where it is constant."""
    if not errors:
        return value_of(vector).item(), None
    leaf = vector.detach().clone().requires_grad_()
    with torch.enable_grad():
        value = value_of(leaf)
    if not value.requires_grad:
        return value.item(), torch.zeros_like(vector)
    return value.item(), torch.autograd.grad(value, leaf)[0]


def _moment_gradient(
    metric: MomentMetric, representation: Representation, *, errors: bool
) -> tuple[float, MomentGradient | None]:
    if not errors:
        return metric.value(representation).item(), None
    moments = representation.known_moments
    forms = moments.forms
    assert forms is not None, "where standard errors are wanted, moments are watched"
    forms.clear()
    with torch.enable_grad():
        value = metric.value(representation)
    watched = (*_leaves(moments.features), *_leaves(moments.directions), moments.scatter)
    leaves = [leaf for leaf in watched if leaf is not None] + [zeros for _, zeros in forms]
    # A metric of the head alone depends on no sample.
    found: Sequence[Tensor | None] = [None] * len(leaves)
    if value.requires_grad:
        # What metrics share, such as the centred means, is differentiated more than once.
        found = torch.autograd.grad(value, leaves, allow_unused=True, retain_graph=True)
    gradients = iter(found)
    parts = [None if leaf is None else next(gradients) for leaf in watched]
    for place in (1, 6):
        offsets = parts[place]
        parts[place] = None if offsets is None else offsets.to(representation.precision)
    seen = tuple(
        (vectors, slope) for (vectors, _), slope in zip(forms, gradients, strict=True) if slope is not None
    )
    return value.item(), MomentGradient(
        ClusterGradient(*parts[:5]), ClusterGradient(*parts[5:10]), parts[10], seen
    )


def _watched(representation: Representation) -> Representation:
    """The same, of whose moments derivatives are wanted."""
    moments = representation.known_moments
    scatter = None if moments.scatter is None else moments.scatter.detach().requires_grad_()
    features, directions = _watched_cluster(moments.features), _watched_cluster(moments.directions)
    return replace(representation, moments=ClassMoments(features, directions, scatter, []))


def _watched_cluster(moments: ClusterMoments) -> ClusterMoments:
    counts, offsets, spreads, inside, distance = (
        None if part is None else part.detach().requires_grad_() for part in _leaves(moments)
    )
    assert counts is not None and offsets is not None and spreads is not None
    span = None
    known = moments.span_scatter
    if known is not None and inside is not None and distance is not None:
        span = SpanScatter(inside, distance, known.inside_slope, known.distance_slope)
    return ClusterMoments(moments.origin, counts, offsets, spreads, span)


def _leaves(moments: ClusterMoments) -> tuple[Tensor | None, ...]:
    """What a metric of moments is differentiated by, in the order of ClusterGradient."""
    span = moments.span_scatter
    return (
        moments.counts,
        moments.offsets,
        moments.spreads,
        None if span is None else span.inside,
        None if span is None else span.distance,
    )
