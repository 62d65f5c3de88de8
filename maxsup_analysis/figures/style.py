"""The house style of the figures, and saving them so that the same figure gives the same bytes."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from maxsup_analysis.errors import InputError
from maxsup_analysis.files import whole_file
from maxsup_analysis.labels import clean_label
from maxsup_analysis.projection import Basis, Center

TEXT_WIDTH = 6.3
# Letters of a legend across the page, and those that the mark of a label takes the room of.
LEGEND_LETTERS, HANDLE_LETTERS = 105, 8
LONGEST = 200  # letters of a line of text
SUFFIXES = (".png", ".svg", ".pdf")
# Okabe and Ito's colours, which most colour-blind readers tell apart.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
RC = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral", "DejaVu Serif"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "maxsup-analysis",
    "savefig.dpi": 200,
    "figure.dpi": 100,
}


@dataclass(frozen=True)
class FigureOptions:
    """How figures are drawn.

    classes: three labels for the plane of classes; None takes three close ones of the first run.
    max_samples: points drawn, the same samples for every run.
    """

    classes: tuple[int, ...] | None = None
    basis: Basis = "templates"
    center: Center = "none"
    max_samples: int = 2000
    seed: int = 0


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's settings while a figure is made or saved."""
    with matplotlib.rc_context(RC):  # type: ignore[arg-type]
        yield


def panels(count: int, *, columns: int = 3, height: float = 2.1) -> tuple[Figure, Sequence[Axes]]:
    """A figure of text width with `count` panels in rows."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(TEXT_WIDTH, height * rows), layout="constrained")
    axes = [figure.add_subplot(rows, columns, position + 1) for position in range(count)]
    return figure, axes


def legend_columns(labels: Sequence[str]) -> int:
    """How many labels fit beside each other across the page, at most six."""
    return max(1, min(6, len(labels), LEGEND_LETTERS // (max(map(len, labels), default=0) + HANDLE_LETTERS)))


def svg_of(figure: Figure) -> bytes:
    """A figure as SVG."""
    buffer = io.BytesIO()
    _clean(figure)
    with house_style(), _any_letter():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write a figure whole, in the format of the suffix: .png, .svg or .pdf."""
    require_suffix(path)
    undated = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    _clean(figure)
    with house_style(), _any_letter(), whole_file(path) as partial:
        figure.savefig(partial, metadata=undated[path.suffix])


@contextmanager
def _any_letter() -> Iterator[None]:
    """A letter that the fonts lack becomes a box, without a word about it on stderr."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _clean(figure: Figure) -> None:
    """Whatever text is in a figure, made fit to be shown; line breaks of ours stay."""
    for item in figure.findobj(Text):
        assert isinstance(item, Text)
        item.set_text("\n".join(clean_label(line, LONGEST) for line in item.get_text().split("\n")))


def require_suffix(path: Path) -> None:
    """Raise InputError for a format that figures cannot have."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"expected a file ending in {', '.join(SUFFIXES)}, got {path.name}; change -o")
