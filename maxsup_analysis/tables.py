"""Results as tables on the terminal."""

import math
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from maxsup_analysis.comparison import Comparison, Interval
from maxsup_analysis.estimates import Estimate
from maxsup_analysis.measurements import Measurements

NORMAL_95 = 1.959963984540054


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
        title=f"value ± half of the 95 % interval; against {compared.baseline}", title_justify="left"
    )
    table.add_column("metric", overflow="fold")
    for name in compared.runs:
        table.add_column(name, overflow="fold")
    for metric, levels in compared.levels.items():
        cells = []
        for name, level in levels.items():
            words = "" if name == compared.baseline else f"\n{compared.difference(metric, name).words}"
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
        console.print(f"note: {note}", markup=False)


def plus_minus(level: Interval) -> str:
    """A value with its half-width, to two digits of the latter."""
    if math.isnan(level.value):
        return "undefined"
    if math.isnan(level.half_width):
        return f"{level.value:.4g} (no interval)"
    digits = 4 if level.half_width == 0 else min(max(1 - math.floor(math.log10(level.half_width)), 0), 8)
    return f"{level.value:.{digits}f} ± {level.half_width:.{digits}f}"


def _cells(item: Estimate) -> tuple[str, str, str]:
    if math.isnan(item.value):
        return "undefined", "", item.reason or ""
    if math.isnan(item.standard_error):
        return f"{item.value:.6g}", "unknown", item.reason or ""
    half = NORMAL_95 * item.standard_error
    interval = f"{item.value - half:.5g} to {item.value + half:.5g}"
    return f"{item.value:.6g}", f"{item.standard_error:.2g}", interval
