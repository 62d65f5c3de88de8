"""Reliability diagrams: how often predictions of a confidence are right."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest

from maxsup_analysis.errors import Undefined
from maxsup_analysis.figures.logits import without_logits
from maxsup_analysis.figures.style import PALETTE, FigureOptions, house_style, panels
from maxsup_analysis.fits import fitted
from maxsup_analysis.labels import clean_label
from maxsup_analysis.metrics.calibration import Reliability, reliability
from maxsup_analysis.representation import Representation
from maxsup_analysis.surroundings import undisturbed

CAPTION = (
    "Reliability: accuracy against mean confidence in 15 bins of equal width, with 95 % intervals of Wilson; the "
    "area of a mark is the share of samples, and lines join bins of ten or more. Below the diagonal a classifier is "
    "too confident. Left: as it is. Right: at the temperature that suits it best, on the samples that this was not "
    "fitted on."
)
# Areas of the marks of no and, beyond that, of all samples, in square points.
SMALLEST, LARGEST = 5, 90
JOINED = 10  # samples of a bin that a line goes through


@undisturbed()
def draw(representations: Mapping[str, Representation], options: FigureOptions) -> Figure:
    """Both diagrams, a line a checkpoint."""
    found = {name: fitted(item, {"temperature"}) for name, item in representations.items()}
    with house_style():
        figure, axes = panels(2, columns=2, height=2.8 + 0.16 * len(found))
        for position, (name, representation) in enumerate(found.items()):
            colour, shown = PALETTE[position % len(PALETTE)], clean_label(name, 24)
            _line(axes[0], _diagram(name, representation), colour, shown)
            if isinstance(representation.temperature, float):
                tempered = reliability(representation, at_temperature=True)
                _line(axes[1], tempered, colour, f"{shown}, T = {representation.temperature:.2f}")
        _finish(axes[0], "confidence")
        _finish(axes[1], "confidence at temperature T")
        axes[0].set_ylabel("accuracy")
        if not axes[1].containers:
            reasons = dict.fromkeys(str(item.temperature) for item in found.values())
            text = "\n".join(textwrap.fill(reason, 36) for reason in reasons)
            axes[1].text(0.5, 0.5, text, ha="center", va="center", backgroundcolor="white", fontsize=8)
    return figure


def _diagram(name: str, representation: Representation) -> Reliability:
    try:
        return reliability(representation)
    except Undefined:
        raise without_logits(name) from None


def _line(ax: Axes, diagram: Reliability, colour: str, label: str) -> None:
    held = (diagram.counts > 0).numpy()
    counts, confidences, accuracies = (
        column.numpy()[held] for column in (diagram.counts, diagram.confidences, diagram.accuracies)
    )
    pairs = zip(diagram.hits.numpy()[held], counts, strict=True)
    ends = [binomtest(int(hits), int(n)).proportion_ci(method="wilson") for hits, n in pairs]
    low, high = np.array([(end.low, end.high) for end in ends]).T
    # Rounding may put an end on the wrong side of a share of 0 or 1.
    bars = np.maximum([accuracies - low, high - accuracies], 0)
    ax.errorbar(confidences, accuracies, bars, color=colour, linestyle="", elinewidth=0.6, alpha=0.5)
    joined = counts >= JOINED
    ax.plot(confidences[joined], accuracies[joined], color=colour, linewidth=0.7)
    areas = SMALLEST + LARGEST * counts / counts.sum()
    ax.scatter(
        confidences, accuracies, areas, color=colour, linewidths=0, label=label, clip_on=False, zorder=3
    )


def _finish(ax: Axes, label: str) -> None:
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.6, linestyle="--", zorder=0)
    ax.set(xlabel=label, xlim=(0, 1), ylim=(0, 1), aspect="equal")
    if ax.containers:
        legend = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), handletextpad=0.2)
        for mark in legend.legend_handles:
            mark.set_sizes([25])  # type: ignore[union-attr]
