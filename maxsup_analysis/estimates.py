"""A value and its standard error, for every metric alike."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.class_averages import ClassAverage, class_averages
from maxsup_analysis.errors import NO_FEATURES, Undefined
from maxsup_analysis.few_samples import few_for_spectra, few_members, why_few
from maxsup_analysis.fits import fitted
from maxsup_analysis.floors import floor_of
from maxsup_analysis.gathering import gather, moments_of
from maxsup_analysis.influence import Samples, influences
from maxsup_analysis.linearisation import OVERFLOW, Linearised, linearise, through_means
from maxsup_analysis.metrics.metric import (
    SUBSETS,
    ClassMetric,
    Matrix,
    Metric,
    MomentMetric,
    QuotientMetric,
    SpectralMetric,
    Subset,
)
from maxsup_analysis.representation import Representation
from maxsup_analysis.sampling import interval_ends, quantile_95, within_classes
from maxsup_analysis.spectra import spectra_of
from maxsup_analysis.subsets import part_of
from maxsup_analysis.surroundings import cores, torch_threads, undisturbed
from maxsup_analysis.wanted import Wanted

AT_ZERO = "it is zero up to rounding, where it has no derivative"
ALIKE = "no sample differs from the others of its class in this, so its sampling variance is unknown"
# Of a value, below which an error is rounding.
ROUNDING = 1e-14
# Classes whose geometry takes so long that torch has all of its threads for it; the last digits may depend on these.
MANY_CLASSES = 512
NOT_ASKED = "standard errors were not asked for"


@dataclass(frozen=True)
class Estimate:
    """A value, its standard error, and the influence of every sample on it.

    reason: why the value, or else the standard error, is NaN; None where both are numbers.
    influence: in the order of the samples that it comes with; None where
        there is no standard error, unless for want of samples that differ.
    degrees_of_freedom: of Student's t in the interval, fewer the less is known of the standard error.
    rounding: how far the value may be from that of exact arithmetic; values that differ by less are equal.
    skewed: whether its interval is that of its logarithm; see `interval_ends`.
    """

    value: float
    standard_error: float
    reason: str | None = None
    influence: Float64[Tensor, " N"] | None = field(default=None, compare=False, repr=False)
    degrees_of_freedom: float = math.inf
    rounding: float = field(default=0.0, repr=False)
    skewed: bool = field(default=False, repr=False)

    @classmethod
    def of(
        cls,
        value: float,
        influence: Float64[Tensor, " N"],
        labels: Int64[Tensor, " N"],
        *,
        constant: bool = False,
    ) -> "Estimate":
        """From the influences of samples with these labels; constant: whether the metric depends on no sample."""
        variance = within_classes(influence, labels)
        if not math.isfinite(variance.error):
            return cls(value, math.nan, OVERFLOW)
        if not constant and variance.error <= ROUNDING * abs(value):
            return cls(value, math.nan, ALIKE, influence)
        return cls(value, variance.error, None, influence, variance.degrees_of_freedom)

    @property
    def half_width(self) -> float:
        """Student's t times the standard error: from the value to either end of its 95 % interval, unless skewed."""
        return quantile_95(self.degrees_of_freedom) * self.standard_error

    @property
    def low(self) -> float:
        """Lower end of its 95 % interval."""
        return interval_ends(self.value, self.half_width, skewed=self.skewed).low

    @property
    def high(self) -> float:
        """Upper end of its 95 % interval."""
        return interval_ends(self.value, self.half_width, skewed=self.skewed).high


@dataclass(frozen=True)
class Estimates(Mapping[str, Estimate]):
    """Metric name -> estimate.

    samples: those that the influences speak of; None where none were asked for.
    notes: which classes metrics of classes leave out, one sentence each.
    """

    by_name: Mapping[str, Estimate]
    samples: Samples | None = None
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Estimate:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)

    def by_id(self) -> "Estimates":
        """The same with samples and influences in the order of the ids, whatever that of the rows is."""
        if self.samples is None or bool((self.samples.ids[1:] > self.samples.ids[:-1]).all()):
            return self
        order = np.argsort(self.samples.ids, kind="stable")
        places = torch.from_numpy(order)
        moved = {
            name: item if item.influence is None else replace(item, influence=item.influence[places])
            for name, item in self.by_name.items()
        }
        return replace(
            self, by_name=moved, samples=Samples(self.samples.ids[order], self.samples.labels[order])
        )


@undisturbed()
def estimate(
    representation: Representation, metrics: Iterable[Metric], *, standard_errors: bool = True
) -> Estimates:
    """Every metric with its standard error, in two sweeps over the rows after that for the class means.

    The standard error is stratified: samples are taken to be drawn within their class, with the number of
    samples a class fixed; see `within_classes`.
    Metrics of the geometry of some samples alone take the same sweeps over those.
    """
    threads = cores() if len(representation.class_names) >= MANY_CLASSES else 1
    with torch_threads(threads):
        return _estimates(representation, list(metrics), standard_errors=standard_errors)


def _estimates(
    representation: Representation, every: Sequence[Metric], *, standard_errors: bool
) -> Estimates:
    seen = [metric for metric in every if metric.is_of_logits or representation.dimensions]
    by_name = {
        metric.name: Estimate(math.nan, math.nan, NO_FEATURES) for metric in every if metric not in seen
    }
    representation = fitted(representation, {need for metric in seen for need in metric.needs})
    of_classes = [metric for metric in seen if isinstance(metric, ClassMetric)]
    whole = [metric for metric in seen if not _is_of_a_part(metric) and metric not in of_classes]
    parts = list(dict.fromkeys(part for metric in whole for part in _parts_of(metric)))
    swept, found = _swept(representation, parts, errors=standard_errors)
    of_parts = dict(zip(parts, swept, strict=True))
    by_name |= {metric.name: _estimated(_put_together(metric, of_parts), found) for metric in whole}
    averages = class_averages(representation, of_classes, errors=found is not None) if of_classes else []
    few = few_for_spectra(representation) if of_classes and found is not None else None
    by_name |= {
        metric.name: _above_floor(
            _estimate_of(one.value, None if few else one.influence, one.reason or few, found), one.rounding
        )
        for metric, one in zip(of_classes, averages, strict=True)
    }
    for subset in SUBSETS:
        if chosen := [metric for metric in seen if _is_of_a_part(metric) and metric.subset == subset]:
            by_name |= _of_a_part(representation, subset, chosen, found)
    return Estimates(
        {metric.name: replace(by_name[metric.name], skewed=metric.skewed) for metric in every},
        found,
        _left_out(of_classes, averages),
    )


@dataclass(frozen=True)
class _Swept:
    """A metric with its influences, where it has any, and why classes of few samples leave its error unknown."""

    entry: Linearised
    influence: Tensor | None = None
    few: str | None = None
    rounding: float = 0.0


def _swept(
    representation: Representation, metrics: Sequence[Metric], *, errors: bool
) -> tuple[list[_Swept], Samples | None]:
    """Each metric, and the samples that influences speak of."""
    gathered = gather(representation, Wanted.by(metrics, representation.samples, errors=errors))
    representation = replace(representation, moments=moments_of(representation, gathered))
    matrices: set[Matrix] = {metric.matrix for metric in metrics if isinstance(metric, SpectralMetric)}
    spectra = spectra_of(representation, matrices, errors=errors) if matrices else None
    entries = linearise(representation, gathered, spectra, metrics, errors=errors)
    if not errors:
        return [_Swept(entry) for entry in entries], None
    smooth = [entry for entry in entries if entry.gradient is not None]
    # Before the gradients are spent.
    few = [why_few(entry, representation, spectra) for entry in smooth]
    moving = [through_means(entry, gathered, representation) for entry in smooth]
    moved = [entry for entry in moving if entry is not None]
    floors = [floor_of(entry, representation, gathered, spectra) for entry in entries]
    found = influences(representation, gathered.kept, spectra, [*smooth, *moved])
    through = iter(found.values[len(smooth) :])
    whole = [
        own if entry is None else own + next(through)
        for own, entry in zip(found.values, moving, strict=False)
    ]
    known = zip(whole, few, strict=True)
    swept = [_Swept(entry) if entry.gradient is None else _Swept(entry, *next(known)) for entry in entries]
    return [replace(one, rounding=floor) for one, floor in zip(swept, floors, strict=True)], found.samples


def _parts_of(metric: Metric) -> tuple[Metric, ...]:
    return (metric.dividend, metric.divisor) if isinstance(metric, QuotientMetric) else (metric,)


def _put_together(metric: Metric, parts: Mapping[Metric, _Swept]) -> _Swept:
    """A metric from what was found of its parts."""
    if not isinstance(metric, QuotientMetric):
        return parts[metric]
    dividend, divisor = parts[metric.dividend], parts[metric.divisor]
    of, by = dividend.entry, divisor.entry
    reasons = [part.reason for part in (of, by) if math.isnan(part.value)] + [of.reason, by.reason]
    value, reason = of.value / by.value, next(filter(None, reasons), None)
    rounding = (dividend.rounding + abs(value) * divisor.rounding) / abs(by.value)
    if dividend.influence is None or divisor.influence is None:
        return _Swept(Linearised(metric, value, None, reason), rounding=rounding)
    influence = (dividend.influence - value * divisor.influence) / by.value
    return _Swept(Linearised(metric, value, None, reason), influence, dividend.few or divisor.few, rounding)


def _left_out(metrics: Sequence[ClassMetric], averages: Sequence[ClassAverage]) -> tuple[str, ...]:
    """A sentence for each reason, with the metrics that it is one for."""
    names: dict[str, list[str]] = {}
    for metric, one in zip(metrics, averages, strict=True):
        if one.left_out:
            names.setdefault(one.left_out, []).append(metric.name)
    return tuple(f"classes left out of {', '.join(of)}: {which}" for which, of in names.items())


def _is_of_a_part(metric: Metric) -> bool:
    return isinstance(metric, MomentMetric) and metric.subset != "all"


def _of_a_part(
    representation: Representation, subset: Subset, metrics: Sequence[Metric], samples: Samples | None
) -> dict[str, Estimate]:
    """Metrics of some samples; the others have no influence on them."""
    try:
        members, part = part_of(representation, subset)
    except Undefined as reason:
        return {metric.name: Estimate(math.nan, math.nan, str(reason)) for metric in metrics}
    swept, _ = _swept(part, metrics, errors=samples is not None)
    few = few_members(part, subset)
    estimates = {}
    for one in swept:
        one = replace(one, few=one.few or few) if one.influence is not None else one
        if one.influence is not None:
            everywhere = torch.zeros(len(members.places), dtype=torch.float64)
            one = replace(one, influence=everywhere.masked_scatter_(members.places, one.influence))
        estimates[one.entry.metric.name] = _estimated(one, samples)
    return estimates


def _estimated(one: _Swept, samples: Samples | None) -> Estimate:
    if one.few:
        return Estimate(one.entry.value, math.nan, one.few, rounding=one.rounding)
    found = _estimate_of(
        one.entry.value, one.influence, one.entry.reason, samples, constant=one.entry.is_constant
    )
    metric = one.entry.metric
    return _above_floor(found, one.rounding, kinked=isinstance(metric, MomentMetric) and metric.kinked)


def _above_floor(found: Estimate, rounding: float, *, kinked: bool = False) -> Estimate:
    """The estimate with the rounding of its value, below which nothing varies; kinked: see `MomentMetric`."""
    error = found.standard_error
    if kinked and abs(found.value) <= rounding < error:
        return Estimate(found.value, math.nan, AT_ZERO, rounding=rounding)
    return replace(found, standard_error=0.0 if error <= rounding else error, rounding=rounding)


def _estimate_of(
    value: float,
    influence: Tensor | None,
    reason: str | None,
    samples: Samples | None,
    *,
    constant: bool = False,
) -> Estimate:
    if influence is None or samples is None:
        return Estimate(value, math.nan, reason or NOT_ASKED)
    return Estimate.of(value, influence, torch.from_numpy(samples.labels), constant=constant)
