"""Metrics at their values, with their gradients with respect to what they are functions of, by autograd."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import NotSmooth, Undefined
from maxsup_analysis.gathering import Gathered
from maxsup_analysis.metrics.metric import Metric, MomentMetric, OrderMetric, SampleMetric, SpectralMetric
from maxsup_analysis.moments import ClassMoments, ClusterMoments, SpanScatter
from maxsup_analysis.representation import Representation
from maxsup_analysis.spectra import Spectra

OVERFLOW = "the computation left the range of float64; scale the features"


@dataclass(frozen=True)
class ClusterGradient:
    """Derivatives of a metric with respect to the moments of one kind of points; None where it depends on none.

    That with respect to the spreads is part of those for counts and offsets where the spreads follow from these.
    """

    counts: Float64[Tensor, " K"] | None
    offsets: Float64[Tensor, "K D"] | None
    spreads: Float64[Tensor, " K"] | None
    inside: Float64[Tensor, ""] | None
    distance: Float64[Tensor, ""] | None

    @property
    def touched(self) -> Tensor | None:
        """The classes whose mean or spread matters."""
        parts = [] if self.offsets is None else [self.offsets.abs().sum(1)]
        parts += [] if self.spreads is None else [self.spreads.abs()]
        return sum(parts[1:], parts[0]) > 0 if parts else None


@dataclass(frozen=True)
class MomentGradient:
    """Derivatives of a metric with respect to the moments."""

    features: ClusterGradient
    directions: ClusterGradient
    scatter: Float64[Tensor, "D D"] | None

    @property
    def in_span(self) -> bool:
        """Whether the scatter in the span of the class means matters: that of every class."""
        parts = (
            self.features.inside,
            self.features.distance,
            self.directions.inside,
            self.directions.distance,
        )
        return any(part is not None for part in parts)


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


def linearise(
    representation: Representation,
    gathered: Gathered,
    spectra: Spectra | None,
    metrics: Sequence[Metric],
    *,
    errors: bool,
) -> list[Linearised]:
    """Value and, where errors are wanted, gradient of each metric."""
    evaluate = partial(
        _evaluated, representation=representation, gathered=gathered, spectra=spectra, errors=errors
    )
    return [_linearised(metric, evaluate) for metric in metrics]


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
    with torch.set_grad_enabled(errors):
        if isinstance(metric, MomentMetric):
            return _moment_gradient(metric, representation, errors=errors)
        if isinstance(metric, SampleMetric):
            return _vector_gradient(metric.combine, gathered.totals[metric.name], errors=errors)
        if isinstance(metric, SpectralMetric):
            assert spectra is not None, "spectral metrics need the scatter"
            return _vector_gradient(metric.value, spectra.of(metric.matrix).values, errors=errors)
        assert isinstance(metric, OrderMetric)
        columns = gathered.kept.columns[metric.name]
        if isinstance(columns, Undefined):
            raise columns
        weights = torch.ones(len(columns), dtype=torch.float64)
        return _vector_gradient(partial(metric.value, columns), weights, errors=errors)


def _vector_gradient(
    value_of: Callable[[Tensor], Tensor], vector: Tensor | Undefined, *, errors: bool
) -> tuple[float, Tensor | None]:
    if isinstance(vector, Undefined):
        raise vector
    leaf = vector.detach().clone().requires_grad_(errors)
    value = value_of(leaf)
    if not value.requires_grad:
        return value.item(), torch.zeros_like(vector) if errors else None
    return value.item(), torch.autograd.grad(value, leaf)[0]


def _moment_gradient(
    metric: MomentMetric, representation: Representation, *, errors: bool
) -> tuple[float, MomentGradient | None]:
    moments = representation.known_moments
    if not errors:
        return metric.value(representation).item(), None
    features, directions = _leaves(moments.features), _leaves(moments.directions)
    scatter = None if moments.scatter is None else moments.scatter.detach().clone().requires_grad_()
    watched = ClassMoments(
        _watched(moments.features, features), _watched(moments.directions, directions), scatter
    )
    value = metric.value(replace(representation, moments=watched))
    leaves = [leaf for leaf in (*features, *directions, scatter) if leaf is not None]
    # A metric of the head alone depends on no sample.
    found: Sequence[Tensor | None] = [None] * len(leaves)
    if value.requires_grad:
        found = torch.autograd.grad(value, leaves, allow_unused=True)
    gradients = iter(found)
    parts = [None if leaf is None else next(gradients) for leaf in (*features, *directions, scatter)]
    return value.item(), MomentGradient(ClusterGradient(*parts[:5]), ClusterGradient(*parts[5:10]), parts[10])


def _leaves(moments: ClusterMoments) -> tuple[Tensor | None, ...]:
    """What a metric of moments is differentiated by, in the order of ClusterGradient."""
    span = moments.span_scatter
    parts = (
        moments.counts,
        moments.offsets,
        moments.summed_spreads,
        None if span is None else span.inside,
        None if span is None else span.distance,
    )
    return tuple(None if part is None else part.detach().clone().requires_grad_() for part in parts)


def _watched(moments: ClusterMoments, leaves: tuple[Tensor | None, ...]) -> ClusterMoments:
    counts, offsets, spreads, inside, distance = leaves
    assert counts is not None and offsets is not None
    span = None
    known = moments.span_scatter
    if known is not None and inside is not None and distance is not None:
        span = SpanScatter(inside, distance, known.inside_slope, known.distance_slope)
    return ClusterMoments(moments.origin, counts, offsets, spreads, span)
