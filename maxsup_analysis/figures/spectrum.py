"""Spectra: how many dimensions the variance within classes and the class means take."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from maxsup_analysis.figures.style import PALETTE, FigureOptions, house_style, panels
from maxsup_analysis.gathering import within_scatter
from maxsup_analysis.labels import clean_label
from maxsup_analysis.representation import Representation
from maxsup_analysis.surroundings import undisturbed

CAPTION = (
    "Left: eigenvalues of the pooled within-class covariance as shares of their sum. Right: singular values of "
    "the centred class means as shares of their sum; a simplex has K − 1 equal ones."
)
SMALLEST = 1e-7


@undisturbed()
def draw(representations: Mapping[str, Representation], options: FigureOptions) -> Figure:
    """Both spectra, a line a checkpoint."""
    with house_style():
        figure, axes = panels(2, columns=2, height=2.4)
        for position, (name, representation) in enumerate(representations.items()):
            style = {"color": PALETTE[position % len(PALETTE)], "label": clean_label(name, 24)}
            _line(axes[0], within_spectrum(representation), style)
            _line(axes[1], means_spectrum(representation), {**style, "marker": ".", "markersize": 4})
        axes[0].set(xlabel="eigenvalue within classes", ylabel="share", yscale="log")
        axes[1].set(xlabel="singular value of class means", ylim=(0, None))
        # Matplotlib's own labels of powers are mathtext, which the house style leaves unparsed.
        axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
        axes[0].legend()
    return figure


@undisturbed()
def within_spectrum(representation: Representation) -> np.ndarray:
    """Eigenvalues of the within-class scatter as shares, largest first."""
    values = torch.linalg.eigvalsh(within_scatter(representation)).flip(0).clamp(min=0)
    return _shares(values.numpy())


@undisturbed()
def means_spectrum(representation: Representation) -> np.ndarray:
    """The K - 1 singular values of the centred class means as shares, largest first."""
    means = representation.class_means.centred_means
    return _shares(torch.linalg.svdvals(means)[: max(len(means) - 1, 1)].numpy())


def _shares(values: np.ndarray) -> np.ndarray:
    total = values.sum()
    return values / total if total > 0 else values


def _line(ax: Axes, values: np.ndarray, style: Mapping[str, object]) -> None:
    shown = values[values > SMALLEST]
    ax.plot(np.arange(1, len(shown) + 1), shown, **style)  # type: ignore[arg-type]
