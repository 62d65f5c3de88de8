"""UMAP of the features, one panel a checkpoint."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from torch import Tensor

from maxsup_analysis.figures.style import FigureOptions, house_style, panels
from maxsup_analysis.labels import clean_label
from maxsup_analysis.projection import same_samples, umap_coordinates
from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import all_rows
from maxsup_analysis.surroundings import undisturbed

CAPTION = (
    "UMAP of the penultimate features (PCA to 50 dimensions first), coloured by class; the same samples and "
    "seed in every panel. Distances between clusters and the size of a cluster mean nothing here: read the table."
)
MOST_IN_LEGEND = 12


@undisturbed()
def draw(representations: Mapping[str, Representation], options: FigureOptions) -> Figure:
    """UMAP of the same samples of every checkpoint."""
    first = next(iter(representations.values()))
    occupied = first.occupied.tolist()
    colours = matplotlib.colormaps["tab20" if len(occupied) > 10 else "tab10"]
    with house_style():
        figure, axes = panels(len(representations), height=2.4)
        for ax, (name, representation) in zip(axes, representations.items(), strict=True):
            rows = all_rows(representation.blocks)
            chosen = same_samples(rows.ids, options.max_samples, options.seed)
            coordinates = umap_coordinates(rows.features[chosen], seed=options.seed)
            _panel(ax, coordinates, rows.labels[chosen], occupied, colours)
            ax.set_title(clean_label(name, 24))
        _legend(figure, axes[0], [clean_label(first.class_names[label], 16) for label in occupied])
    return figure


def _panel(
    ax: Axes,
    coordinates: Tensor,
    labels: Tensor,
    occupied: Sequence[int],
    colours: Colormap,
) -> None:
    for position, label in enumerate(occupied):
        x, y = coordinates[labels == label].T.tolist()
        colour = colours(position % colours.N)
        ax.scatter(x, y, s=4, color=colour, linewidths=0, rasterized=len(labels) > 5000)
    ax.set(xticks=[], yticks=[], box_aspect=1)


def _legend(figure: Figure, ax: Axes, names: Sequence[str]) -> None:
    if len(names) > MOST_IN_LEGEND:
        figure.supxlabel(f"{len(names)} classes; colours repeat", fontsize=8)
        return
    columns = min(len(names), 5 if max(map(len, names)) > 6 else 10)
    figure.legend(
        ax.collections,
        names,
        loc="outside lower center",
        ncols=columns,
        markerscale=2.5,
        handletextpad=0.1,
        columnspacing=1,
    )
