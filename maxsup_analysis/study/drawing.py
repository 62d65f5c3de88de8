"""The figures of a study."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from matplotlib.figure import Figure

from maxsup_analysis.contrasts import Interval
from maxsup_analysis.effects import Design
from maxsup_analysis.figures.factors import CAPTION, FactorPanel, factor_figure
from maxsup_analysis.figures.metrics import IntervalRow, interval_rows_figure
from maxsup_analysis.labels import own_file_name
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.study.results import Results
from maxsup_analysis.study.write_up import combination_name

# Names that a figure of intervals can tell apart.
MOST_NAMES = 8


def study_figures(results: Results) -> Iterator[tuple[str, str, Figure]]:
    """File name, caption and figure: intervals of each part, then each factor, then each pair of factors."""
    for part, design in results.designs.items():
        metrics = [name for name in results.study.report.metrics if name in results.metrics(part)]
        if not metrics:
            continue
        stem = own_file_name(part)
        if len(design.combinations) <= MOST_NAMES:
            caption = (
                f"{part}: means over seeds with 95 % intervals, one row a metric, each on its own scale."
            )
            yield f"{stem}-metrics.svg", caption, interval_rows_figure(_rows(design, metrics))
        for factor, other in _pairs(design):
            what = f"{part}: {factor}" + (f" and {other}" if other else "")
            panels = [_panel(design, metric, factor, other) for metric in metrics]
            name = own_file_name("-".join([part, factor, *([other] if other else [])]))
            yield f"{name}.svg", f"{what}. {CAPTION}", factor_figure(factor, panels)


def _rows(design: Design, metrics: Sequence[str]) -> list[IntervalRow]:
    return [IntervalRow(METRICS[metric].label, _levels(design, metric)) for metric in metrics]


def _levels(design: Design, metric: str) -> dict[str, Interval]:
    found = {}
    for combination in design.combinations:
        levels = dict(combination)
        interval = design.mean(metric, levels)
        assert interval is not None
        found[combination_name(levels, design.factors)] = interval
    return found


def _pairs(design: Design) -> list[tuple[str, str | None]]:
    """Every pair of factors that vary; a factor alone where its levels are numbers, and form a curve."""
    varied = [factor for factor, levels in design.factors.items() if len(levels) > 1]
    curves = [
        (factor, None) for factor in varied if len(varied) == 1 and _are_numbers(design.factors[factor])
    ]
    return [*curves, *((_along(design, pair)) for pair in combinations(varied, 2))]


def _along(design: Design, pair: tuple[str, str]) -> tuple[str, str]:
    """The factor of numbers along the x-axis, where one of the two has numbers."""
    first, second = pair
    numeric = _are_numbers(design.factors[first]) or not _are_numbers(design.factors[second])
    return (first, second) if numeric else (second, first)


def _panel(design: Design, metric: str, factor: str, other: str | None) -> FactorPanel:
    levels = _in_order(design.factors[factor])
    lines: Mapping[str, Sequence[Interval | None]] = {
        name: [design.mean(metric, {factor: level} | ({other: name} if other else {})) for level in levels]
        for name in (design.factors[other] if other else [factor])
    }
    return FactorPanel(METRICS[metric].label, levels, lines)


def _in_order(levels: Sequence[str]) -> list[str]:
    return sorted(levels, key=float) if _are_numbers(levels) else list(levels)


def _are_numbers(levels: Sequence[str]) -> bool:
    try:
        return bool([float(level) for level in levels])
    except ValueError:
        return False
