"""Metrics seen a second time: of the logits divided by a temperature, on samples that it was not fitted on."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.metrics.entry import enter_metric
from maxsup_analysis.metrics.metric import METRICS, OrderMetric, SampleMetric
from maxsup_analysis.tile import Tile

Function = TypeVar("Function", bound=Callable[..., object])
GUO = "Guo et al. 2017 (arXiv 1706.04599)"
AT_TEMPERATURE = (
    "The logits are divided by the T that minimises the negative log-likelihood of the held-out half; the other half "
    "is measured, and the standard error takes T as given."
)


def also_at_temperature(function: Function) -> Function:
    """Enter the metric of a function once more, for logits divided by the fitted temperature."""
    metric = METRICS[function.__name__]
    described = replace(
        metric,
        name=f"{metric.name}_at_temperature",
        label=f"{metric.label}, at temperature",
        formula=f"{metric.formula}, z -> z/T",
        source=metric.source if GUO in metric.source else f"{metric.source}; {GUO}",
        summary=f"{metric.summary.rstrip('.')}; at the fitted temperature.",
        convention=f"{metric.convention} {AT_TEMPERATURE}",
        standard=False,
        needs=("temperature",),
    )
    assert isinstance(described, SampleMetric | OrderMetric), "others do not look at logits"
    enter_metric(_of_order(described) if isinstance(described, OrderMetric) else _of_samples(described))
    return function


def _of_order(metric: OrderMetric) -> OrderMetric:
    """The same of the logits at the temperature, with a last column that says whom the value is about."""
    columns = partial(_marked_columns, columns=metric.columns)
    return replace(metric, columns=columns, value=partial(value_of_the_rest, value=metric.value))


def _of_samples(metric: SampleMetric) -> SampleMetric:
    """The same of the logits at the temperature."""
    return replace(
        metric,
        totals=partial(_totals_of_the_rest, totals=metric.totals),
        shares=partial(_shares_of_the_rest, shares=metric.shares),
        columns=None if metric.columns is None else partial(_columns_of_the_rest, columns=metric.columns),
    )


def _totals_of_the_rest(tile: Tile, totals: Callable[[Tile], Tensor]) -> Tensor:
    return totals(tile.at_temperature)


def _shares_of_the_rest(tile: Tile, gradient: Tensor, shares: Callable[[Tile, Tensor], Tensor]) -> Tensor:
    return _placed(shares(tile.at_temperature, gradient), tile)


def _columns_of_the_rest(tile: Tile, columns: Callable[[Tile], Tensor]) -> Tensor:
    return _placed(columns(tile.at_temperature), tile)


def _marked_columns(tile: Tile, columns: Callable[[Tile], Tensor]) -> Tensor:
    return _placed(torch.nn.functional.pad(columns(tile.at_temperature), (0, 1), value=1.0), tile)


def _placed(values: Tensor, tile: Tile) -> Tensor:
    """Numbers of the samples that are not held out at their places among all, and zeros at the others."""
    every = values.new_zeros(len(tile), *values.shape[1:])
    every[~tile.held_out] = values
    return every


def value_of_the_rest(
    columns: Float64[Tensor, "N C"], weights: Float64[Tensor, " N"], value: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """The value of the columns but the last, of the samples where that is 1; the others have no influence."""
    rest = columns[:, -1] > 0
    return value(columns[rest, :-1], weights[rest])
