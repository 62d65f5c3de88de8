"""Metrics of the spectrum of one class, averaged over classes, with the influence of every sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.class_rows import map_classes
from maxsup_analysis.class_spectrum import ClassSpectrum, class_spectra
from maxsup_analysis.errors import NotSmooth, Undefined
from maxsup_analysis.floors import SOME, UNIT, floor_of_spectrum
from maxsup_analysis.linearisation import vector_gradient
from maxsup_analysis.metrics.metric import ClassMetric, Matrix
from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import Rows

ALONE = "one sample has no spectrum to speak of"


@dataclass(frozen=True)
class ClassAverage:
    """A metric at its value, and the influence of each of N samples on it.

    influence: None where there is no value or no derivative, for the reason given, or where none was asked for.
    left_out: of classes that have no value, how many, and of the first its name and why; None where all have one.
    """

    value: float
    influence: Float64[Tensor, " N"] | None
    reason: str | None = None
    left_out: str | None = None
    rounding: float = 0.0


@dataclass
class _Running:
    """What classes add to an average, class after class: a sum in the making."""

    metric: ClassMetric
    values: list[float] = field(default_factory=list)
    parts: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    reason: str | None = None
    left_out: list[str] = field(default_factory=list)
    overflow: str | None = None
    rounding: float = 0.0

    def add(
        self, name: str, spectrum: ClassSpectrum | Undefined, places: Int64[Tensor, " n"], *, errors: bool
    ) -> None:
        """One class, unless the metric has no value there."""
        if isinstance(spectrum, Undefined):
            self.overflow = str(spectrum)
            return
        try:
            if len(places) == 1:
                raise Undefined(ALONE)
            value, gradient = vector_gradient(self.metric.value, spectrum.values, errors=errors)
        except Undefined as reason:
            self.left_out.append(f"class {name}: {reason}")
            return
        except NotSmooth as point:
            self.values.append(point.value)
            self.reason = str(point)
            return
        self.values.append(value)
        if gradient is not None:
            self.parts.append((places, spectrum.influence(gradient)))
            self.rounding += floor_of_spectrum(spectrum.values, gradient, UNIT * len(places))

    def average(self, N: int, *, errors: bool) -> ClassAverage:
        """Classes weigh equally."""
        if self.overflow or not self.values:
            why = self.overflow or f"it is defined for no class; for {self.left_out[0]}"
            return ClassAverage(math.nan, None, why)
        left_out = f"{len(self.left_out)}, such as {self.left_out[0]}" if self.left_out else None
        M = len(self.values)
        value = math.fsum(self.values) / M
        if not errors or self.reason:
            return ClassAverage(value, None, self.reason, left_out)
        influence = torch.zeros(N, dtype=torch.float64)
        for places, part in self.parts:
            influence[places] = part / M
        return ClassAverage(value, influence, None, left_out, SOME * UNIT * abs(value) + self.rounding / M)


def class_averages(
    representation: Representation, metrics: Sequence[ClassMetric], *, errors: bool
) -> list[ClassAverage]:
    """Each metric over the classes where it has a value; samples after the first 512 of a class have no influence."""
    labels = torch.cat(list(representation.blocks.map(_labels)))
    order, counts = labels.argsort(stable=True), representation.means.features.counts
    starts = (counts.cumsum(0) - counts).long()
    running = [_Running(metric) for metric in metrics]
    matrices: tuple[Matrix, ...] = tuple(dict.fromkeys(metric.matrix for metric in metrics))
    found = map_classes(partial(_spectra, matrices=matrices, shares=errors), representation.blocks, counts)
    for label, n, spectra in found:
        places, name = order[starts[label] : starts[label] + n], representation.class_names[label]
        for sums in running:
            sums.add(name, spectra[sums.metric.matrix], places, errors=errors)
    return [sums.average(len(labels), errors=errors) for sums in running]


def _spectra(
    label: int, rows: Rows, *, matrices: tuple[Matrix, ...], shares: bool
) -> tuple[int, int, dict[Matrix, ClassSpectrum | Undefined]]:
    return label, len(rows), class_spectra(rows.features, matrices, shares=shares)


def _labels(rows: Rows) -> Int64[Tensor, " B"]:
    return rows.labels
