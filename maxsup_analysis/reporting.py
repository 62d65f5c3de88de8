"""From opened runs to figures and a report on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maxsup_analysis.comparison import Comparison
from maxsup_analysis.errors import InputError
from maxsup_analysis.figures import FIGURES, FigureOptions, save, svg_of
from maxsup_analysis.figures.metrics import interval_rows_figure
from maxsup_analysis.files import whole_file
from maxsup_analysis.pipeline import Source, compare_named, measure_source
from maxsup_analysis.progress import track
from maxsup_analysis.report import comparison_report, render_html, render_pdf, single_report
from maxsup_analysis.representation import Representation
