"""Results as tables on the terminal."""

import math
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

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


def comparison_table(compared: Comparison) -> Table:
    """One row a metric; a column for each name, with the verdict against the baseline."""
    table = Table(
        title=f"value ± half of the 95 % interval; against {plain_text(compared.baseline)}",
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


def show(table: Table, notes: Iterable[str]) -> None:
    """Print a table and the notes below it on stdout, never narrower than it can be read."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 110
    console.print(table)
    for note in notes:
        console.print(plain_text(f"note: {note}", 400))


def plain_text(text: str, limit: int = 120) -> str:
    """Text that the terminal shows as it is: no markup, no control characters."""
    return escape(clean_label(text, limit))


def _cells(item: Estimate) -> tuple[str, str, str]:
    if math.isnan(item.value):
        return "undefined", "", plain_text(item.reason or "")
    if math.isnan(item.standard_error):
        return f"{item.value:.6g}", "unknown", plain_text(item.reason or "")
    ends = (plain(item.value + sign * item.half_width, item.half_width) for sign in (-1, 1))
    return f"{item.value:.6g}", f"{item.standard_error:.2g}", " to ".join(ends)
