"""Results as tables on the terminal."""

import math
from collections.abc import Iterable

from pandas.api.types import is_numeric_dtype
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from maxsup_analysis.breakdown import Breakdown
from maxsup_analysis.catalogue import Convention
from maxsup_analysis.comparison import Comparison
from maxsup_analysis.estimates import Estimate
from maxsup_analysis.labels import clean_label
from maxsup_analysis.measurements import Measurements
from maxsup_analysis.rounding import plain, plus_minus


def measurements_table(measured: Measurements) -> Table:
    """One row a metric."""
    size = measured.size
    table = Table(
        title=f"N = {size['samples']}, K = {size['classes']}, D = {size['features']}", title_justify="left"
    )
    for column in ("metric", "value", "standard error", "95 % interval"):
        table.add_column(column, justify="left" if column == "metric" else "right", overflow="fold")
    for name, item in measured.items():
        table.add_row(name, *_cells(item))
    return table


def breakdown_table(found: Breakdown) -> Table:
    """One row a class, or three a decile; without the standard errors, which --csv and --json have."""
    frame = found.frame.reset_index()
    table, columns = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0)), []
    for name in frame.columns:
        if name != "label" and not name.endswith("_error"):
            # A word a line, so that columns are as narrow as their numbers.
            lines, cells = name.removeprefix("logit_").split("_"), list(map(_cell, frame[name]))
            justify = "right" if is_numeric_dtype(frame[name]) else "left"
            width = max(map(cell_len, [*lines, *cells]))
            table.add_column("\n".join(lines), justify=justify, min_width=width, no_wrap=True)
            columns.append(cells)
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return table


def comparison_table(compared: Comparison) -> Table:
    """One row a metric; a column for each name, with the verdict against the baseline."""
    table = Table(
        title=f"value, and how far its 95 % interval reaches; against {plain_text(compared.baseline)}",
        title_justify="left",
    )
    table.add_column("metric", overflow="fold")
    for name in compared.runs:
        table.add_column(plain_text(name), overflow="fold")
    for metric, levels in compared.levels.items():
        cells = []
        for name, level in levels.items():
            words = (
                ""
                if name == compared.baseline
                else f"\n{plain_text(compared.difference(metric, name).words)}"
            )
            cells.append(plus_minus(level) + words)
        table.add_row(metric, *cells)
    return table


def conventions_table(conventions: Iterable[Convention]) -> Table:
    """One row a variant."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("metric", "quantity", "how it differs", "source"):
        table.add_column(column, overflow="fold", no_wrap=column == "metric")
    for one in conventions:
        table.add_row(
            one.name, plain_text(one.label), plain_text(one.differs, 300), plain_text(one.source, 200)
        )
    return table


def show(table: Table, notes: Iterable[str]) -> None:
    """Print a table and the notes below it on stdout, never narrower than it can be read."""
    console = Console(highlight=False)
    if not console.is_terminal:
        # Columns that do not wrap are printed whole, however many there are.
        unlimited = console.options.update(width=10**4)
        console.width = max(110, console.measure(table, options=unlimited).minimum)
    console.print(table)
    for note in notes:
        console.print(plain_text(f"note: {note}", 400))


def plain_text(text: str, limit: int = 120) -> str:
    """Text that the terminal shows as it is: no markup, no control characters."""
    return escape(clean_label(text, limit))


def _cell(entry: object) -> str:
    """Four digits of a number, and nothing where there is none."""
    if isinstance(entry, float):
        return "" if math.isnan(entry) else f"{entry:.4g}"
    return "" if entry is None else plain_text(str(entry), 24)


def _cells(item: Estimate) -> tuple[str, str, str]:
    if math.isnan(item.value):
        return "undefined", "", plain_text(item.reason or "")
    value = f"{item.value:.6g}".replace("-", "−")
    if math.isnan(item.standard_error):
        return value, "unknown", plain_text(item.reason or "")
    ends = (plain(end, item.half_width) for end in (item.low, item.high))
    return value, f"{item.standard_error:.2g}", " to ".join(ends)
