"""How much each sample weighs in a metric: its influence function, by autograd and the chain rule.

A metric is a differentiable function of sample weights; the influence of a sample is the derivative with
respect to its weight, at weight one (the infinitesimal jackknife). The gradient with respect to moments or
totals is taken once; one sweep over the rows then gives each sample's share of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.errors import NotSmooth, Undefined
from maxsup_analysis.metrics import Metric, MomentMetric, SampleMetric
from maxsup_analysis.moments import ClassMoments, ClusterMoments, directions_of
from maxsup_analysis.representation import Representation, Rows

OVERFLOW = "the computation left the range of float64; scale the features"


@dataclass(frozen=True)
class ClusterGradient:
    """Derivatives of a metric with respect to the counts, means and spreads of one kind of points."""

    counts: Float64[Tensor, " K"]
    means: Float64[Tensor, "K D"] | None
    spreads: Float64[Tensor, " K"] | None

    def share(
        self, counts: Float64[Tensor, " K"], deviations: Float64[Tensor, "B D"], labels: Int64[Tensor, " B"]
    ) -> Float64[Tensor, " B"]:
        """What the weight of each point changes: d mean = deviation / n, d spread = |deviation|^2."""
        total = self.counts[labels]
        if self.means is not None:
            total = total + (deviations * (self.means / counts.clamp(min=1)[:, None])[labels]).sum(1)
        if self.spreads is not None:
            total = total + self.spreads[labels] * deviations.square().sum(1)
        return total

    @property
    def touched(self) -> Tensor:
        """The classes whose mean or spread matters."""
        parts = [self.means.abs().sum(1)] if self.means is not None else []
        parts += [self.spreads.abs()] if self.spreads is not None else []
        return sum(parts, torch.zeros_like(self.counts)) > 0


@dataclass(frozen=True)
class MomentGradient:
    """Derivatives of a metric with respect to the moments."""

    features: ClusterGradient
    directions: ClusterGradient
    scatter: Float64[Tensor, "D D"] | None


@dataclass(frozen=True)
class Linearised:
    """A metric at its value, and how it changes with what it is a function of.

    gradient: for a MomentMetric a MomentGradient, for a SampleMetric one number a total; None where the
    value does not exist or has no derivative, for the reason given.
    """

    metric: Metric
    value: float
    gradient: MomentGradient | Float64[Tensor, " P"] | None
    reason: str | None = None


@dataclass(frozen=True)
class Totals:
    """For each metric the sums over samples that it combines, or why there are none."""

    by_name: Mapping[str, Tensor | Undefined]

    def __add__(self, other: "Totals") -> "Totals":
        return Totals({name: _sum(part, other.by_name[name]) for name, part in self.by_name.items()})


@dataclass(frozen=True)
class Samples:
    """Which samples influences speak of, in order."""

    ids: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Influences:
    """How much each of N samples weighs in each of P metrics."""

    samples: Samples
    values: Float64[Tensor, "P N"]


def linearise(representation: Representation, metrics: Sequence[Metric]) -> list[Linearised]:
    """Value and gradient of each metric; one sweep over the rows where a metric needs totals."""
    totals = _totals(representation, [metric for metric in metrics if isinstance(metric, SampleMetric)])
    return [_linearised(metric, representation, totals) for metric in metrics]


def influences(representation: Representation, entries: Sequence[Linearised]) -> Influences:
    """The influence of every sample on each of P linearised metrics; one sweep over the rows."""
    share = partial(_block_influences, representation=representation.summary, entries=tuple(entries))
    parts = list(representation.blocks.map(share))
    return Influences(
        Samples(
            np.concatenate([part.samples.ids for part in parts]),
            np.concatenate([part.samples.labels for part in parts]),
        ),
        torch.cat([part.values for part in parts], 1),
    )


def _linearised(
    metric: Metric, representation: Representation, totals: Mapping[str, Tensor | Undefined]
) -> Linearised:
    try:
        if isinstance(metric, MomentMetric):
            value, gradient = _moment_gradient(metric, representation)
        else:
            assert isinstance(metric, SampleMetric)
            value, gradient = _total_gradient(metric, totals[metric.name])
    except Undefined as reason:
        return Linearised(metric, math.nan, None, str(reason))
    except NotSmooth as point:
        return Linearised(metric, point.value, None, str(point))
    if not math.isfinite(value):
        return Linearised(metric, math.nan, None, OVERFLOW)
    return Linearised(metric, value, gradient)


def _moment_gradient(metric: MomentMetric, representation: Representation) -> tuple[float, MomentGradient]:
    moments = representation.moments
    leaves = [
        part.detach().clone().requires_grad_()
        for cluster in (moments.features, moments.directions)
        for part in (cluster.counts, cluster.means, cluster.spreads)
    ]
    scatter = moments.scatter.detach().requires_grad_()
    value = metric.value(
        replace(
            representation,
            moments=ClassMoments(
                ClusterMoments(leaves[0], leaves[1], moments.features.residuals, leaves[2]),
                ClusterMoments(leaves[3], leaves[4], moments.directions.residuals, leaves[5]),
                scatter,
            ),
        )
    )
    # A metric of the head alone depends on no sample.
    gradients = (
        torch.autograd.grad(value, [*leaves, scatter], allow_unused=True)
        if value.requires_grad
        else [None] * (len(leaves) + 1)
    )
    zeros = torch.zeros_like(moments.features.counts)
    features, directions = (
        ClusterGradient(zeros if part[0] is None else part[0], part[1], part[2])
        for part in (gradients[:3], gradients[3:6])
    )
    return value.item(), MomentGradient(features, directions, gradients[6])


def _total_gradient(metric: SampleMetric, totals: Tensor | Undefined) -> tuple[float, Tensor]:
    if isinstance(totals, Undefined):
        raise totals
    leaf = totals.detach().clone().requires_grad_()
    value = metric.combine(leaf)
    return value.item(), torch.autograd.grad(value, leaf)[0]


def _totals(
    representation: Representation, metrics: Sequence[SampleMetric]
) -> Mapping[str, Tensor | Undefined]:
    """The sums over samples that each metric combines, or why there are none."""
    if not metrics:
        return {}
    block_totals = partial(_block_totals, representation=representation.summary, metrics=tuple(metrics))
    totals = representation.blocks.total(block_totals)
    assert totals is not None, "a representation has rows"
    return totals.by_name


def _block_totals(rows: Rows, representation: Representation, metrics: Sequence[SampleMetric]) -> Totals:
    return Totals({metric.name: _contributed(metric, rows, representation) for metric in metrics})


def _contributed(metric: SampleMetric, rows: Rows, representation: Representation) -> Tensor | Undefined:
    try:
        return metric.contributions(rows, representation).sum(0)
    except Undefined as reason:
        # Without what it was raised through, which would keep the rows alive.
        return reason.with_traceback(None)


def _sum(first: Tensor | Undefined, second: Tensor | Undefined) -> Tensor | Undefined:
    if isinstance(first, Undefined):
        return first
    return second if isinstance(second, Undefined) else first + second


def _block_influences(
    rows: Rows, representation: Representation, entries: Sequence[Linearised]
) -> Influences:
    points = _Deviations.of(rows, representation.moments)
    shares = [torch.empty(0, len(rows.labels), dtype=torch.float64)]
    for entry in entries:
        if isinstance(entry.gradient, MomentGradient):
            shares.append(points.share(entry.gradient)[None])
        else:
            assert isinstance(entry.metric, SampleMetric) and entry.gradient is not None
            shares.append((entry.metric.contributions(rows, representation) @ entry.gradient)[None])
    return Influences(Samples(rows.ids, rows.labels.numpy()), torch.cat(shares))


@dataclass(frozen=True)
class _Deviations:
    """Each point of a block, and its direction, as seen from the mean of its class."""

    moments: ClassMoments
    labels: Int64[Tensor, " B"]
    features: Float64[Tensor, "B D"]
    directions: Float64[Tensor, "B D"]
    has_direction: Tensor

    @classmethod
    def of(cls, rows: Rows, moments: ClassMoments) -> "_Deviations":
        units, nonzero = directions_of(rows.features)
        directions = moments.directions.deviations(units, rows.labels) * nonzero[:, None]
        return cls(
            moments, rows.labels, moments.features.deviations(rows.features, rows.labels), directions, nonzero
        )

    def share(self, gradient: MomentGradient) -> Float64[Tensor, " B"]:
        counts = self.moments.features.counts
        total = gradient.features.share(counts, self.features, self.labels)
        counts = self.moments.directions.counts
        total = total + gradient.directions.share(counts, self.directions, self.labels) * self.has_direction
        if gradient.scatter is not None:
            total = total + (self.features @ gradient.scatter * self.features).sum(1)
        return total
