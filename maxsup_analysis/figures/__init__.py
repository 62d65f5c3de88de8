"""Figures: data in, a matplotlib Figure out; one file a family."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from maxsup_analysis.figures import logits, metrics, reliability, spectrum, templates, umap
from maxsup_analysis.figures.style import FigureOptions, require_suffix, save, svg_of
from maxsup_analysis.representation import Representation
from maxsup_analysis.table import Table

__all__ = ["FIGURES", "FigureKind", "FigureOptions", "require_suffix", "save", "svg_of"]


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure: its caption, and how named representations become one."""

    caption: str
    draw: Callable[[Mapping[str, Representation], FigureOptions], Figure]


FIGURES: Table[FigureKind] = Table("figure")
FIGURES.add("templates", FigureKind(templates.CAPTION, templates.draw))
FIGURES.add("umap", FigureKind(umap.CAPTION, umap.draw))
FIGURES.add("logits", FigureKind(logits.CAPTION, logits.draw))
FIGURES.add("reliability", FigureKind(reliability.CAPTION, reliability.draw))
FIGURES.add("metrics", FigureKind(metrics.CAPTION, metrics.draw))
FIGURES.add("spectrum", FigureKind(spectrum.CAPTION, spectrum.draw))
