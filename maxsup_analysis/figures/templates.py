"""Three classes on the plane that they span, one panel a checkpoint."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maxsup_analysis.figures.style import PALETTE, FigureOptions, house_style, panels
from maxsup_analysis.labels import clean_label
from maxsup_analysis.projection import Plane, class_plane, closest_classes
from maxsup_analysis.representation import Representation
from maxsup_analysis.surroundings import undisturbed

CAPTION = (
    "Penultimate features of three classes, projected on the plane through the three rows of the head (or, with "
    "basis=centroids, through the class centroids). Every panel has axes of the same length. Compactness: mean "
    "squared distance of points from their class centroid over that of the centroids from their centre."
)


@undisturbed()
def draw(representations: Mapping[str, Representation], options: FigureOptions) -> Figure:
    """The plane of three classes; see `projection.class_plane`."""
    first = next(iter(representations.values()))
    classes = options.classes or closest_classes(first)
    planes = {
        name: class_plane(
            representation,
            classes,
            basis=options.basis,
            center=options.center,
            per_class=max(options.max_samples // 3, 1),
        )
        for name, representation in representations.items()
    }
    names = [clean_label(first.class_names[label], 20) for label in classes]
    with house_style():
        figure, axes = panels(len(planes), height=2.4)
        for ax, (name, plane) in zip(axes, planes.items(), strict=True):
            _panel(ax, name, plane, classes, names)
        _share_limits(axes)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=3, markerscale=1.6, handletextpad=0.2
        )
    return figure


def _panel(ax: Axes, name: str, plane: Plane, classes: Sequence[int], names: Sequence[str]) -> None:
    for label, colour, class_name in zip(classes, PALETTE, names, strict=False):
        x, y = plane.coordinates[plane.labels == label].T.tolist()
        ax.scatter(
            x, y, s=7, color=colour, alpha=0.6, linewidths=0, label=class_name, rasterized=len(x) > 5000
        )
    ax.set_title(f"{clean_label(name, 24)}\ncompactness {plane.compactness:.2g}")
    ax.tick_params(length=2)


def _share_limits(axes: Sequence[Axes]) -> None:
    """One square window for every panel, so that no panel looks tighter by its axes."""
    boxes = [ax.dataLim for ax in axes]
    side = max(max(box.width, box.height) for box in boxes) * 1.08
    for ax, box in zip(axes, boxes, strict=True):
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        ax.set(xlim=(x - side / 2, x + side / 2), ylim=(y - side / 2, y + side / 2), box_aspect=1)
