"""Densities of the logits, and of what MaxSup holds down."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maxsup_analysis.errors import InputError
from maxsup_analysis.figures.style import PALETTE, FigureOptions, house_style, panels
from maxsup_analysis.labels import clean_label
from maxsup_analysis.projection import same_samples
from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import all_rows
from maxsup_analysis.surroundings import undisturbed

CAPTION = (
    "Left: density of all logits. Right: density over samples of the largest logit minus the mean logit, the "
    "quantity that MaxSup penalises. The same samples and bins for every checkpoint."
)
BINS = 60


@undisturbed()
def draw(representations: Mapping[str, Representation], options: FigureOptions) -> Figure:
    """Histograms with shared bins."""
    logits = {name: _logits(name, item, options) for name, item in representations.items()}
    excess = {name: z.max(1) - z.mean(1) for name, z in logits.items()}
    with house_style():
        figure, axes = panels(2, columns=2, height=2.4)
        _densities(axes[0], {name: z.ravel() for name, z in logits.items()}, "logit z")
        _densities(axes[1], excess, "max z − mean z")
        axes[0].set_ylabel("density")
        axes[0].legend()
    return figure


def without_logits(name: str) -> InputError:
    """What to say of a run that has none."""
    return InputError(f"expected logits or a head in {name}, got neither; bring them for this figure")


def _logits(name: str, representation: Representation, options: FigureOptions) -> np.ndarray:
    rows = all_rows(representation.blocks)
    chosen = same_samples(rows.ids, options.max_samples, options.seed)
    if rows.logits is not None:
        return rows.logits[chosen].numpy()
    if representation.head is None:
        raise without_logits(name)
    return representation.head.logits(rows.features[chosen]).numpy()


def _densities(ax: Axes, columns: Mapping[str, np.ndarray], label: str) -> None:
    low, high = min(map(np.min, columns.values())), max(map(np.max, columns.values()))
    bins = np.linspace(low, high if high > low else low + 1, BINS + 1)
    for position, (name, values) in enumerate(columns.items()):
        density, _ = np.histogram(values, bins, density=True)
        colour = PALETTE[position % len(PALETTE)]
        ax.stairs(density, bins, color=colour, linewidth=1.2, label=clean_label(name, 24))
        ax.stairs(density, bins, color=colour, fill=True, alpha=0.08)
    ax.set(xlabel=label, ylim=(0, None))
