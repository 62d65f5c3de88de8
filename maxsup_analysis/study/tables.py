"""The results of a study on the terminal."""

from rich.table import Table

from maxsup_analysis.rounding import plus_minus
from maxsup_analysis.study.results import Results
from maxsup_analysis.study.write_up import combination_name
from maxsup_analysis.tables import plain_text


def study_table(results: Results) -> Table:
    """Headline metrics of each part: one row a metric, a column for each combination of levels."""
    table = Table(title="mean over seeds, and how far its 95 % interval reaches", title_justify="left")
    combinations = list(
        dict.fromkeys(levels for design in results.designs.values() for levels in design.combinations)
    )
    table.add_column("metric", overflow="fold")
    for levels in combinations:
        table.add_column(plain_text(combination_name(dict(levels), results.study.varied)), overflow="fold")
    for part, design in results.designs.items():
        there = results.metrics(part)
        for metric in (name for name in results.study.report.metrics if name in there):
            means = [design.mean(metric, dict(levels)) for levels in combinations]
            cells = ["–" if mean is None else plus_minus(mean) for mean in means]
            table.add_row(plain_text(f"{part}: {metric}"), *cells)
    return table
