"""What a metric is, and the table that every command, document and test reads."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import NotSmooth, Undefined
from maxsup_analysis.representation import Representation, Rows
from maxsup_analysis.table import Table

Subset = Literal["all", "correct", "wrong"]
Contributions = Callable[[Rows, Representation], Tensor]
SUBSETS: dict[Subset, str] = {
    "all": "samples",
    "correct": "correctly classified samples",
    "wrong": "wrongly classified samples",
}
METRICS: "Table[Metric]" = Table("metric")


@dataclass(frozen=True)
class Metric:
    """A number about a representation, and what a reader must know of it.

    name: the id in commands, files and tables.
    label: a few words for tables and axes.
    formula: in Typst's notation for mathematics, which also reads as plain text.
    collapsed: its value at exact neural collapse on a simplex; None where collapse does not settle it.
    source: where it was published.
    summary: what the number means.
    convention: which of the published variants this is.
    """

    name: str
    label: str
    formula: str
    source: str
    collapsed: float | None
    summary: str
    convention: str
    family: str


@dataclass(frozen=True)
class MomentMetric(Metric):
    """A differentiable function of the moments and the head."""

    value: Callable[[Representation], Tensor]


@dataclass(frozen=True)
class SampleMetric(Metric):
    """A differentiable function of totals over samples.

    contributions: rows -> B x P, what each sample adds to the P totals.
    combine: P totals -> the value.
    """

    contributions: Contributions
    combine: Callable[[Tensor], Tensor]


def moment_metric(
    *, label: str, formula: str, source: str, collapsed: float | None
) -> Callable[[Callable[[Representation], Tensor]], Callable[[Representation], Tensor]]:
    """Enter a function of moments and head as a metric; its docstring is its definition."""

    def enter(value: Callable[[Representation], Tensor]) -> Callable[[Representation], Tensor]:
        METRICS.add(
            value.__name__,
            MomentMetric(
                **_described(value),
                label=label,
                formula=formula,
                source=source,
                collapsed=collapsed,
                value=value,
            ),
        )
        return value

    return enter


def mean_metric(
    *, label: str, formula: str, source: str, collapsed: float | None, over: tuple[Subset, ...] = ("all",)
) -> Callable[[Contributions], Contributions]:
    """Enter a per-sample function as a metric, its mean; one metric for each subset of the samples."""

    def enter(values: Contributions) -> Contributions:
        for subset in over:
            described = _described(values)
            if subset != "all":
                described["name"] += f"_{subset}"
                described["summary"] = f"{described['summary'].rstrip('.')}; {SUBSETS[subset]} only."
            METRICS.add(
                described["name"],
                SampleMetric(
                    **described,
                    label=label if subset == "all" else f"{label}, {subset}",
                    formula=formula,
                    source=source,
                    # At collapse every sample is right, so a mean over the wrong ones is empty.
                    collapsed=None if subset == "wrong" else collapsed,
                    contributions=partial(_mean_contributions, values=values, subset=subset),
                    combine=partial(_mean, subset=subset),
                ),
            )
        return values

    return enter


def total_metric(
    combine: Callable[[Tensor], Tensor], *, label: str, formula: str, source: str, collapsed: float | None
) -> Callable[[Contributions], Contributions]:
    """Enter a metric that `combine` makes of the sums of per-sample contributions."""

    def enter(contributions: Contributions) -> Contributions:
        METRICS.add(
            contributions.__name__,
            SampleMetric(
                **_described(contributions),
                label=label,
                formula=formula,
                source=source,
                collapsed=collapsed,
                contributions=contributions,
                combine=combine,
            ),
        )
        return contributions

    return enter


def _described(function: Callable[..., object]) -> dict[str, str]:
    """Name, summary, convention and family, from where the function stands and what its docstring says."""
    summary, _, convention = inspect.getdoc(function).partition("\n\n")  # type: ignore[union-attr]
    return {
        "name": function.__name__,
        "summary": " ".join(summary.split()),
        "convention": " ".join(convention.split()),
        "family": function.__module__.rpartition(".")[2],
    }


def _mean_contributions(
    rows: Rows, representation: Representation, *, values: Contributions, subset: Subset
) -> Float64[Tensor, "B 2"]:
    """What each sample adds to the sum of values and to the number of samples in the subset."""
    members = {"all": torch.ones_like, "correct": torch.clone, "wrong": torch.logical_not}[subset](
        rows.correct
    )
    return torch.stack([values(rows, representation) * members, members.double()], 1)


def _mean(totals: Float64[Tensor, " 2"], *, subset: Subset) -> Tensor:
    if totals[1] == 0:
        raise Undefined(f"there are no {SUBSETS[subset]}")
    mean = totals[0] / totals[1]
    if totals[1] == 1:
        raise NotSmooth(
            mean.item(), f"only one of the {SUBSETS[subset]}, so the sampling variance is unknown"
        )
    return mean
