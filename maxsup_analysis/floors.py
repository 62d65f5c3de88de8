"""How far rounding may have moved a value: the floor below which two values are equal.

Sums and products err by some share of what they are made of, each by its own count of terms and its precision. The
gradient of a metric by them, which standard errors need anyway, says how much of that arrives in its value.
"""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.gathering import Gathered
from maxsup_analysis.linearisation import ClusterGradient, Linearised, MomentGradient
from maxsup_analysis.metrics.metric import MomentMetric, OrderMetric, SampleMetric, SpectralMetric
from maxsup_analysis.moments import ClusterMoments
from maxsup_analysis.representation import Representation
from maxsup_analysis.spectra import Spectra

UNIT = torch.finfo(torch.float64).eps / 2
MOVED = 4 * UNIT  # a deviation, as a share of the length of the mean that it is from
SOME = 16  # operations in a row, each of which rounds its result


def floor_of(
    entry: Linearised, representation: Representation, gathered: Gathered, spectra: Spectra | None
) -> float:
    """How far the value of a metric may be from that of exact arithmetic; 0 where there is no value."""
    if math.isnan(entry.value):
        return 0.0
    arrived = 0.0
    if isinstance(entry.metric, MomentMetric) and entry.gradient is None and entry.metric.kinked:
        arrived = SOME * UNIT
    elif isinstance(entry.gradient, MomentGradient):
        arrived = _of_moments(entry, entry.gradient, representation)
    elif isinstance(entry.metric, SampleMetric) and entry.gradient is not None:
        arrived = _of_totals(entry.metric, entry.gradient, representation, gathered)
    elif isinstance(entry.metric, OrderMetric):
        arrived = UNIT * math.sqrt(representation.samples) * max(abs(entry.value), 1.0)
    elif isinstance(entry.metric, SpectralMetric) and entry.gradient is not None and spectra is not None:
        share = 2 * _precision(representation) + UNIT * math.sqrt(representation.dimensions)
        arrived = floor_of_spectrum(spectra.of(entry.metric.matrix).values, entry.gradient, share)
    floor = SOME * UNIT * abs(entry.value) + arrived
    return floor if math.isfinite(floor) else 0.0


def floor_of_spectrum(
    eigenvalues: Float64[Tensor, " R"], gradient: Float64[Tensor, " R"], share: float
) -> float:
    """Every eigenvalue errs by a share of the largest, each on its own."""
    if len(eigenvalues) == 0:
        return 0.0
    return share * float(eigenvalues[0] * torch.linalg.vector_norm(gradient))


def _precision(representation: Representation) -> float:
    """What a product with a deviation errs by, as a share."""
    return torch.finfo(representation.precision).eps / 2


def _of_moments(entry: Linearised, gradient: MomentGradient, representation: Representation) -> float:
    """Each moment errs on its own: means by rounding of their sums, spreads also by that of deviations."""
    assert isinstance(entry.metric, MomentMetric)
    moments, means = representation.known_moments, representation.means
    if entry.metric.size is not None:
        arrived = SOME * UNIT * float(entry.metric.size(representation))
    else:
        # A metric of the head alone, whose rows are compared at length one.
        arrived = 0.0 if gradient.any else SOME * UNIT
    arrived += _of_cluster(
        gradient.features,
        moments.features,
        means.squares if means.features_are_loose else None,
        representation,
    )
    counts = moments.directions.counts
    directed = counts if means.directions_are_loose else None
    arrived += _of_cluster(gradient.directions, moments.directions, directed, representation)
    if moments.scatter is None:
        return arrived
    share, variances = SOME * _precision(representation), moments.scatter.diagonal()
    for vectors, slope in gradient.forms:
        arrived += share * float(slope.abs() @ (vectors.square() @ variances))
    if gradient.scatter is not None:
        deviations = variances.sqrt()
        arrived += share * float(deviations @ gradient.scatter.abs() @ deviations)
    return arrived


def _of_cluster(
    gradient: ClusterGradient,
    moments: ClusterMoments,
    squares: Float64[Tensor, " K"] | None,
    representation: Representation,
) -> float:
    """squares: sums of squared lengths, where spreads are what these exceed those of the means by."""
    # Spreads that are a difference of rounded numbers may come out below zero.
    counts, spreads = moments.counts, moments.spreads.clamp(min=0)
    terms, arrived = counts.sqrt() + 2, 0.0
    if gradient.offsets is not None:
        largest = moments.offsets.abs().amax(1) if moments.offsets.shape[1] else torch.zeros_like(counts)
        errors = UNIT * (terms * largest + (spreads / counts.clamp(min=1)).sqrt())
        slopes = torch.linalg.vector_norm(gradient.offsets, dim=1, dtype=torch.float64)
        arrived += 4 * float(slopes @ errors)
        if squares is not None:
            # Through spreads that follow from the means, which those of single points of length one enter too.
            arrived += SOME * UNIT if moments.summed_spreads is None else 0.0
    if gradient.spreads is not None:
        shift = MOVED * moments.lengths
        errors = UNIT * terms * (spreads if squares is None else squares)
        errors = errors + 2 * shift * spreads.sqrt() + counts * shift.square()
        arrived += float(gradient.spreads.abs() @ errors)
    if gradient.inside is not None or gradient.distance is not None:
        arrived += _in_span(gradient, moments, _precision(representation))
    return arrived


def _in_span(gradient: ClusterGradient, moments: ClusterMoments, precision: float) -> float:
    """Of the scatter in the span of the means: products with its axes, of deviations that err themselves."""
    scatter, span = moments.span_scatter, moments.span
    assert scatter is not None and span.rank > 0, "a metric of the span has one"
    steepest, condition = 1 / float(span.variances[-1]), float(span.variances[0] / span.variances[-1])
    lengths = float(moments.counts @ moments.lengths.square())
    total, arrived = float(moments.spreads.clamp(min=0).sum()), 0.0
    parts = ((gradient.inside, scatter.inside, 1.0), (gradient.distance, scatter.distance, steepest))
    for slope, seen, weight in parts:
        if slope is not None:
            shift = SOME * precision * math.sqrt(total * weight) + MOVED * math.sqrt(lengths * weight)
            # Deviations of a class that are computed in float32 are all moved alike, and sum to zero.
            own = SOME * UNIT * condition * float(seen) + (2 * precision) ** 2 * lengths * weight
            arrived += float(slope.abs()) * (shift * (2 * math.sqrt(max(float(seen), 0.0)) + shift) + own)
    return arrived


def _of_totals(
    metric: SampleMetric, gradient: Tensor, representation: Representation, gathered: Gathered
) -> float:
    """What samples add is a sum of N numbers, each of which errs by a share of itself and of what it is made of."""
    columns, totals = gathered.kept.columns.get(metric.name), gathered.totals[metric.name]
    if isinstance(columns, Tensor):
        sizes = columns.abs().sum(0)
    else:
        assert isinstance(totals, Tensor), "a metric without totals has no gradient"
        sizes = totals.abs()
    N = representation.samples
    share = UNIT * (math.sqrt(N) + 2)
    size = gathered.largest_logit
    if metric.is_geometric:
        share += SOME * _precision(representation)
        size = 4 * float(representation.means.features.lengths.max()) if metric.seen_from is not None else 0.0
    return share * float(gradient.abs() @ sizes) + UNIT * N * size * float(gradient.abs().max())
