"""How a function becomes a metric: decorators that enter it into the table, with what its docstring says."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, TypeVar

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import InputError, NotSmooth, Undefined
from maxsup_analysis.metrics.checked import checked
from maxsup_analysis.metrics.metric import (
    METRICS,
    MOST_TOTALS,
    SUBSETS,
    ClassMetric,
    Contributions,
    Matrix,
    Metric,
    MomentMetric,
    Need,
    OrderMetric,
    QuotientMetric,
    SampleMetric,
    SeenFrom,
    SpectralMetric,
    Subset,
)
from maxsup_analysis.representation import Representation
from maxsup_analysis.tile import Tile

Unit = Callable[[Representation], Tensor]
Value = TypeVar("Value", bound=Callable[..., Tensor])


@dataclass(frozen=True)
class Entry:
    """How a metric is entered: what the author of the function says, beside its docstring."""

    label: str
    formula: str
    source: str
    collapsed: float | None
    standard: bool = False
    differs: str = ""
    needs: tuple[Need, ...] = ()
    skewed: bool = False


def moment_metric(
    *,
    label: str,
    formula: str,
    source: str,
    collapsed: float | None,
    standard: bool = False,
    differs: str = "",
    needs: tuple[Need, ...] = (),
    over: tuple[Subset, ...] = ("all",),
    size: Unit | None = None,
    kinked: bool = False,
    skewed: bool = False,
) -> Callable[[Value], Value]:
    """Enter a function of moments and head as a metric; its docstring is its definition.

    size, kinked: see `MomentMetric`. skewed: see `Metric`.
    over: also for these samples alone: the moments are then theirs, which takes sweeps of their own.
    """
    entry = Entry(label, formula, source, collapsed, standard, differs, needs, skewed)

    def enter(value: Value) -> Value:
        for subset in over:
            of_subset = entry if subset == "all" else replace(entry, standard=False)
            described = described_by(value, of_subset, subset)
            made = checked(value, "one number")
            enter_metric(MomentMetric(**described, value=made, size=size, kinked=kinked))
        return value

    return enter


def mean_metric(
    *,
    label: str,
    formula: str,
    source: str,
    collapsed: float | None,
    standard: bool = False,
    differs: str = "",
    needs: tuple[Need, ...] = (),
    over: tuple[Subset, ...] = ("all",),
    unit: Unit | None = None,
    from_own_mean: bool = False,
    skewed: bool = False,
) -> Callable[[Contributions], Contributions]:
    """Enter a per-sample function as a metric, its mean; one metric for each subset of the samples.

    unit: a function of moments and head that the mean is divided by. from_own_mean: whether the function is the
    distance from the mean of the class of a sample, whose noise then counts. skewed: see `Metric`.
    """
    entry = Entry(label, formula, source, collapsed, standard, differs, needs, skewed)

    def enter(values: Contributions) -> Contributions:
        for subset in over:
            seen = checked(values, "a number a sample")
            contributions = partial(_mean_contributions, values=seen, subset=subset)
            combine = partial(_mean, subset=subset)
            described = described_by(values, entry, subset)
            seen_from = SeenFrom("own", subset) if from_own_mean else None
            made = _of_contributions(described, contributions, combine, 2, seen_from)
            enter_metric(_in_units(made, unit))
        return values

    return enter


def total_metric(
    combine: Callable[[Tensor], Tensor],
    *,
    label: str,
    formula: str,
    source: str,
    collapsed: float | None,
    standard: bool = False,
    differs: str = "",
    needs: tuple[Need, ...] = (),
    unit: Unit | None = None,
    width: int = MOST_TOTALS,
    seen_from: SeenFrom | None = None,
    skewed: bool = False,
) -> Callable[[Contributions], Contributions]:
    """Enter a metric that `combine` makes of the sums of per-sample contributions, B x P.

    width: P, at most. unit: a function of moments and head that what it makes is divided by. seen_from: the class
    means that contributions are seen from, whose noise then counts. skewed: see `Metric`.
    """
    entry = Entry(label, formula, source, collapsed, standard, differs, needs, skewed)

    def enter(contributions: Contributions) -> Contributions:
        seen = checked(contributions, "a row of numbers a sample")
        made = checked(combine, "one number", of=contributions)
        described = described_by(contributions, entry)
        enter_metric(_in_units(_of_contributions(described, seen, made, width, seen_from), unit))
        return contributions

    return enter


def order_metric(
    value: Callable[[Tensor, Tensor], Tensor],
    *,
    label: str,
    formula: str,
    source: str,
    collapsed: float | None,
    standard: bool = False,
    differs: str = "",
    needs: tuple[Need, ...] = (),
) -> Callable[[Contributions], Contributions]:
    """Enter a metric that `value` makes of columns of all samples and their weights."""
    entry = Entry(label, formula, source, collapsed, standard, differs, needs)

    def enter(columns: Contributions) -> Contributions:
        seen = checked(columns, "a row of numbers a sample")
        made = checked(value, "one number", of=columns)
        enter_metric(OrderMetric(**described_by(columns, entry), columns=seen, value=made))
        return columns

    return enter


def spectral_metric(
    matrix: Matrix,
    *,
    label: str,
    formula: str,
    source: str,
    collapsed: float | None,
    standard: bool = False,
    differs: str = "",
) -> Callable[[Value], Value]:
    """Enter a function of the eigenvalues of a matrix as a metric."""
    entry = Entry(label, formula, source, collapsed, standard, differs, ("scatter",))
    return _of_eigenvalues(SpectralMetric, matrix, entry)


def class_metric(
    matrix: Matrix,
    *,
    label: str,
    formula: str,
    source: str,
    collapsed: float | None,
    standard: bool = False,
    differs: str = "",
) -> Callable[[Value], Value]:
    """Enter a function of the eigenvalues of a matrix of one class as a metric, its mean over classes."""
    entry = Entry(label, formula, source, collapsed, standard, differs)
    return _of_eigenvalues(ClassMetric, matrix, entry)


def _of_eigenvalues(
    kind: type[SpectralMetric] | type[ClassMetric], matrix: Matrix, entry: Entry
) -> Callable[[Value], Value]:
    def enter(value: Value) -> Value:
        described = described_by(value, entry)
        enter_metric(kind(**described, matrix=matrix, value=checked(value, "one number")))
        return value

    return enter


def enter_metric(metric: Metric) -> None:
    """Into the table, under its name."""
    METRICS.add(metric.name, metric)


def _family(module: str) -> str:
    """The file, or the folder, of a metric in this package; the file of a user's own."""
    parts = module.split(".")
    return parts[parts.index("metrics") + 1] if "metrics" in parts[:-1] else parts[-1]


def _of_contributions(
    described: dict,
    contributions: Contributions,
    combine: Callable[[Tensor], Tensor],
    width: int,
    seen_from: SeenFrom | None,
) -> SampleMetric:
    return SampleMetric(
        **described,
        totals=partial(_summed, contributions=contributions),
        shares=partial(_weighed, contributions=contributions),
        combine=combine,
        columns=contributions,
        width=width,
        seen_from=seen_from,
    )


def _in_units(metric: SampleMetric, unit: Unit | None) -> Metric:
    """The metric itself, or divided by the unit."""
    if unit is None:
        return metric
    # Equal for all metrics in this unit, so that it is computed once.
    nothing: dict[str, Any] = {
        "formula": "",
        "source": "",
        "summary": "",
        "convention": "",
        "family": "",
        "differs": "",
    }
    divisor = MomentMetric(
        name="unit", label="unit", collapsed=None, standard=False, needs=(), subset="all",
        skewed=False, value=checked(unit, "one number"), **nothing,
    )  # fmt: skip
    described = {field.name: getattr(metric, field.name) for field in fields(Metric)}
    return QuotientMetric(**described, dividend=metric, divisor=divisor)


def described_by(function: Callable[..., object], entry: Entry, subset: Subset = "all") -> dict:
    """The fields that all metrics have, from where the function stands and what its docstring says."""
    documentation = inspect.getdoc(function)
    if not documentation:
        raise InputError(
            f"expected a docstring that says what the metric {function.__name__} means, got none; readers are shown it"
        )
    summary, _, convention = documentation.partition("\n\n")
    name, summary = function.__name__, " ".join(summary.split())
    collapsed, label = entry.collapsed, entry.label
    if subset != "all":
        name, label = f"{name}_{subset}", f"{label}, {subset}"
        summary = f"{summary.rstrip('.')}; {SUBSETS[subset]} only."
        # At collapse every sample is right, so there are no wrong ones to speak of.
        collapsed = None if subset == "wrong" else collapsed
    return {
        "name": name,
        "label": label,
        "formula": entry.formula,
        "source": entry.source,
        "collapsed": collapsed,
        "summary": summary,
        "convention": " ".join(convention.split()),
        "family": _family(function.__module__),
        "standard": entry.standard,
        "differs": entry.differs,
        "needs": entry.needs,
        "subset": subset,
        "skewed": entry.skewed,
    }


def _summed(tile: Tile, contributions: Contributions) -> Tensor:
    return contributions(tile).sum(0)


def _weighed(tile: Tile, gradient: Tensor, contributions: Contributions) -> Tensor:
    return contributions(tile) @ gradient


def _mean_contributions(tile: Tile, *, values: Contributions, subset: Subset) -> Float64[Tensor, "B 2"]:
    """What each sample adds to the sum of values and to the number of samples in the subset."""
    members = {"all": torch.ones_like, "correct": torch.clone, "wrong": torch.logical_not}[subset](
        tile.correct if subset != "all" else tile.labels
    ).double()
    return torch.stack([tile.once(values).double() * members, members], 1)


def _mean(totals: Float64[Tensor, " 2"], *, subset: Subset) -> Tensor:
    if totals[1] == 0:
        raise Undefined(f"there are no {SUBSETS[subset]}")
    mean = totals[0] / totals[1]
    if totals[1] == 1:
        raise NotSmooth(
            mean.item(), f"only one of the {SUBSETS[subset]}, so the sampling variance is unknown"
        )
    return mean
