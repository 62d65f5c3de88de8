"""Values with intervals, one row a metric, each on its own scale."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from maxsup_analysis.comparison import Comparison
from maxsup_analysis.contrasts import Interval
from maxsup_analysis.estimates import estimate
from maxsup_analysis.figures.style import (
    MARKERS,
    PALETTE,
    TEXT_WIDTH,
    FigureOptions,
    house_style,
    legend_columns,
)
from maxsup_analysis.labels import clean_label
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.representation import Representation
from maxsup_analysis.surroundings import undisturbed

CAPTION = "Values with 95 % intervals, one row a metric, each on its own scale."
HEADLINES = (
    "d_within_unbiased",
    "d_total",
    "class_separation",
    "cdnv",
    "nc1_pinv",
    "nc1_trace_ratio",
    "nc2_etf_means",
    "nc3_self_duality",
    "nc4_agreement",
    "accuracy",
    "nll",
    "ece",
)


@dataclass(frozen=True)
class IntervalRow:
    """One metric: a value with its interval for each name."""

    label: str
    levels: Mapping[str, Interval]


@undisturbed()
def draw(representations: Mapping[str, Representation], options: FigureOptions) -> Figure:
    """The headline metrics of single runs, with the error of the samples alone."""
    chosen = [METRICS[name] for name in HEADLINES]
    estimates = {name: estimate(item, chosen) for name, item in representations.items()}
    rows = [
        IntervalRow(
            metric.label,
            {
                name: Interval(
                    one.value, one.standard_error, math.nan, one.degrees_of_freedom, skewed=one.skewed
                )
                for name, found in estimates.items()
                for one in (found[metric.name],)
            },
        )
        for metric in chosen
    ]
    return interval_rows_figure(rows)


def comparison_rows(compared: Comparison) -> list[IntervalRow]:
    """The headline metrics of a comparison, with the error of samples and of seeds."""
    names = [name for name in HEADLINES if name in compared.levels]
    return [IntervalRow(METRICS[name].label, compared.levels[name]) for name in names]


def interval_rows_figure(rows: Sequence[IntervalRow]) -> Figure:
    """Two columns of small axes, one a metric; names from top to bottom in each."""
    names = list(rows[0].levels)
    with house_style():
        lines = -(-len(rows) // 2)
        figure = Figure(figsize=(TEXT_WIDTH, lines * (0.42 + 0.13 * len(names)) + 0.3), layout="constrained")
        for position, row in enumerate(rows):
            _row(figure.add_subplot(lines, 2, position + 1), row)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    return figure


def _row(ax: Axes, row: IntervalRow) -> None:
    for position, (name, level) in enumerate(row.levels.items()):
        known = not math.isnan(level.half_width)
        gaps = [[level.value - level.low], [level.high - level.value]] if known else [0.0]
        look = {"color": PALETTE[position % len(PALETTE)], "marker": MARKERS[position % len(MARKERS)]}
        ax.errorbar(
            [level.value], [-position], xerr=gaps, markersize=4, capsize=2, linestyle="",
            label=clean_label(name, 24), **look,  # type: ignore[arg-type]
        )  # fmt: skip
    ax.set_title(row.label, loc="left", fontsize=8, pad=2)
    ax.set(yticks=[], ylim=(-len(row.levels) + 0.4, 0.6))
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(axis="x", labelsize=7, length=2, pad=1)
