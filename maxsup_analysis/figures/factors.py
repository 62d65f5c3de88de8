"""How metrics change with the levels of a factor, one line for each level of another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maxsup_analysis.contrasts import Interval
from maxsup_analysis.figures.style import MARKERS, PALETTE, house_style, legend_columns, panels
from maxsup_analysis.labels import clean_label

CAPTION = (
    "Means over seeds and over the other factors, with 95 % intervals. Lines that are not parallel interact."
)
SHIFT = 0.06  # between lines at the same level, so that their intervals do not hide each other


@dataclass(frozen=True)
class FactorPanel:
    """One metric: levels of a factor from left to right, and for each line an interval a level; None where not run."""

    label: str
    levels: Sequence[str]
    lines: Mapping[str, Sequence[Interval | None]]


def factor_figure(factor: str, found: Sequence[FactorPanel]) -> Figure:
    """Small axes, one a metric, which share the factor on their x-axes."""
    with house_style():
        figure, axes = panels(len(found), height=1.9)
        for ax, panel in zip(axes, found, strict=True):
            _panel(ax, panel)
            ax.set_xlabel(clean_label(factor, 40))
        handles, labels = axes[0].get_legend_handles_labels()
        if len(labels) > 1:
            figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    return figure


def _panel(ax: Axes, panel: FactorPanel) -> None:
    for number, (name, intervals) in enumerate(panel.lines.items()):
        offset = SHIFT * (number - (len(panel.lines) - 1) / 2)
        there = [(x + offset, one) for x, one in enumerate(intervals) if one is not None]
        gaps = [(one.value - one.low, one.high - one.value) for _, one in there]
        halves = np.nan_to_num(np.array(gaps).reshape(-1, 2).T)
        ax.errorbar(
            [x for x, _ in there], [one.value for _, one in there], yerr=halves, markersize=3.5, capsize=1.5,
            label=clean_label(name, 24), color=PALETTE[number % len(PALETTE)], marker=MARKERS[number % len(MARKERS)],
        )  # fmt: skip
    ax.set_title(panel.label, loc="left", fontsize=8, pad=3)
    labels = [clean_label(level, 14) for level in panel.levels]
    crowded = sum(map(len, labels)) > 24
    ax.set_xticks(
        range(len(labels)), labels, rotation=30 if crowded else 0, ha="right" if crowded else "center"
    )
    ax.set_xlim(-0.4, len(labels) - 0.6)
    ax.tick_params(labelsize=7, length=2, pad=1)
