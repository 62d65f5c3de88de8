"""Metrics of the spectrum of one class, averaged over classes, with the influence of every sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.class_rows import map_classes
from maxsup_analysis.class_spectrum import ClassSpectrum, class_spectrum
from maxsup_analysis.errors import NotSmooth, Undefined
from maxsup_analysis.metrics.metric import ClassMetric
from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import Rows

NONE_DIFFER = "in no class do two samples differ, so there is no spectrum"


@dataclass(frozen=True)
class ClassAverage:
    """A metric at its value, and the influence of each of N samples on it.

    influence: None where there is no value or no derivative, for the reason given, or where none was asked for.
    """

    value: float
    influence: Float64[Tensor, " N"] | None
    reason: str | None = None


@dataclass
class _Running:
    """What classes add to an average, class after class: a sum in the making."""

    values: list[float] = field(default_factory=list)
    parts: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    reason: str | None = None

    def add(
        self, metric: ClassMetric, spectrum: ClassSpectrum, places: Int64[Tensor, " n"], *, errors: bool
    ) -> None:
        """One class, unless the metric has no value there."""
        leaf = spectrum.values.clone().requires_grad_(errors)
        try:
            value = metric.value(leaf)
        except Undefined:
            return
        except NotSmooth as point:
            self.values.append(point.value)
            self.reason = str(point)
            return
        self.values.append(value.item())
        if errors:
            self.parts.append((places, spectrum.influence(torch.autograd.grad(value, leaf)[0])))

    def average(self, N: int, *, errors: bool) -> ClassAverage:
        """Classes weigh equally."""
        if not self.values:
            return ClassAverage(math.nan, None, NONE_DIFFER)
        M = len(self.values)
        value = math.fsum(self.values) / M
        if not errors or self.reason:
            return ClassAverage(value, None, self.reason)
        influence = torch.zeros(N, dtype=torch.float64)
        for places, part in self.parts:
            influence[places] = part / M
        return ClassAverage(value, influence)


def class_averages(
    representation: Representation, metrics: Sequence[ClassMetric], *, errors: bool
) -> list[ClassAverage]:
    """Each metric over the classes whose first 512 samples differ; the samples after them have no influence."""
    labels = torch.cat(list(representation.blocks.map(_labels)))
    order, counts = labels.argsort(stable=True), representation.means.features.counts
    starts = (counts.cumsum(0) - counts).long()
    running = [_Running() for _ in metrics]
    spectra = map_classes(partial(_spectrum, shares=errors), representation.blocks, counts)
    try:
        for label, n, spectrum in spectra:
            places = order[starts[label] : starts[label] + n]
            for metric, sums in zip(metrics, running, strict=True):
                sums.add(metric, spectrum, places, errors=errors)
    except Undefined as reason:
        return [ClassAverage(math.nan, None, str(reason)) for _ in metrics]
    return [sums.average(len(labels), errors=errors) for sums in running]


def _spectrum(label: int, rows: Rows, *, shares: bool) -> tuple[int, int, ClassSpectrum]:
    return label, len(rows), class_spectrum(rows.features, shares=shares)


def _labels(rows: Rows) -> Int64[Tensor, " B"]:
    return rows.labels
