"""From measurements to a report: the words follow the numbers."""

import math
from collections.abc import Mapping, Sequence

from maxsup_analysis.comparison import Comparison, Difference
from maxsup_analysis.contrasts import JOINING
from maxsup_analysis.estimates import Estimate
from maxsup_analysis.labels import clean_label
from maxsup_analysis.losses import LOSSES
from maxsup_analysis.measurements import Measurements
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.report.document import (
    Bullets,
    Paragraph,
    Plate,
    Report,
    Section,
    Table,
    shown,
)
from maxsup_analysis.report.parts import READING, appendix, by_family, mapping, prose
from maxsup_analysis.rounding import plain, plus_minus, span

HEADLINES = (
    "d_within_unbiased",
    "class_separation",
    "nc1_pinv",
    "nc1_trace_ratio",
    "nc3_self_duality",
    "accuracy",
    "nll",
    "ece",
)


def comparison_report(compared: Comparison, plates: Sequence[Plate], *, title: str = "") -> Report:
    """The report of several names against a baseline."""
    names = [clean_label(name, 30) for name in compared.runs]
    metrics = [METRICS[name] for name in compared.levels]
    return Report(
        shown(title or f"{', '.join(names)}: how the representations differ"),
        _subtitle(compared.runs),
        [
            Section("What was compared", [_runs_table(compared.runs), *prose(compared.notes)]),
            Section(
                "Findings", [Paragraph(_preamble(compared)), Bullets(_findings(compared)), Paragraph(READING)]
            ),
            Section("Measurements", [_levels_table(compared), _differences_table(compared)]),
            Section("Figures", plates),
            *appendix(metrics, [run for group in compared.runs.values() for run in group]),
        ],
    )


def single_report(measured: Measurements, plates: Sequence[Plate], *, title: str = "") -> Report:
    """The report of one run."""
    runs = {"run": (measured,)}
    rows = by_family(measured, lambda name: _estimate_cells(measured[name]))
    table = Table("Metrics with their standard errors.", ["metric", "value ± half", "standard error"], rows)
    return Report(
        shown(title or "The representation of a classifier"),
        _subtitle(runs),
        [
            Section("What was measured", [_runs_table(runs), *prose(measured.notes)]),
            Section("Measurements", [table, Paragraph(READING.partition(" Towards")[0])]),
            Section("Figures", plates),
            *appendix([METRICS[name] for name in measured], [measured]),
        ],
    )


def _subtitle(runs: Mapping[str, Sequence[Measurements]]) -> str:
    first = next(iter(runs.values()))[0]
    size, about = first.size, first.provenance
    data = " ".join(str(about[key]) for key in ("data", "split") if key in about) or str(
        about.get("source", "")
    )
    widths = sorted({run.size["features"] for group in runs.values() for run in group})
    counts = (
        f"N = {size['samples']:,} samples, K = {size['classes']} classes, "
        f"D = {' or '.join(map(str, widths))} features"
    )
    return shown(f"{data}: {counts}" if data else counts)


def _preamble(compared: Comparison) -> str:
    seeds = any(len(runs) > 1 for runs in compared.runs.values())
    chance = (
        "the draw of the test samples and the spread between training runs"
        if seeds
        else ("the draw of the test samples")
    )
    found = sum(metric in compared.levels for metric in HEADLINES)
    few = f" Here are {found} of the {len(compared.levels)} metrics that the tables have."
    return (
        f"Differences from {shown(compared.baseline)}, sample by sample on the same data; their 95 % intervals "
        f"cover {chance}." + few * (found < len(compared.levels))
    )


def _findings(compared: Comparison) -> list[str]:
    """One sentence a headline metric, made of verdicts and nothing else."""
    names = [name for name in compared.runs if name != compared.baseline]
    return [
        f"{METRICS[metric].label} ({metric}): "
        + "; ".join(_finding(compared.difference(metric, name)) for name in names)
        + "."
        for metric in HEADLINES
        if metric in compared.levels
    ]


def _finding(row: Difference) -> str:
    name = clean_label(row.name, 30)
    if row.verdict == "undefined":
        return f"{name} undefined ({row.interval.reason})"
    words = f"{name} {row.verdict} {JOINING[row.verdict]} {clean_label(row.baseline, 30)}"
    if row.verdict in ("equal", "not distinguishable"):
        return words
    direction = f", {row.direction}" if row.direction else ""
    return f"{words} by {plain(abs(row.interval.value), row.interval.half_width)}{direction}"


def _runs_table(runs: Mapping[str, Sequence[Measurements]]) -> Table:
    columns = ["name", "loss", "alpha", "seed", "architecture", "checkpoint", "SHA-256"]
    rows = [
        [clean_label(name, 30), *_run_cells(run.provenance)] for name, group in runs.items() for run in group
    ]
    return Table("The runs, and the files that they were measured from.", columns, rows)


def _run_cells(about: Mapping[str, object]) -> list[str]:
    training, checkpoint = mapping(about.get("training")), mapping(about.get("checkpoint"))
    loss, begin, end = training.get("loss"), training.get("alpha"), training.get("alpha_end")
    strength = (
        "–" if begin is None or loss == "ce" else f"{begin}" if end in (begin, None) else f"{begin} to {end}"
    )
    cells = [
        LOSSES[loss].title if isinstance(loss, str) and loss in LOSSES else "–",
        strength,
        training.get("seed", "–"),
        mapping(about.get("architecture")).get("name", "–"),
        checkpoint.get("name", about.get("source", "–")),
        str(checkpoint.get("sha256", "–"))[:12],
    ]
    return [clean_label(str(cell), 30) for cell in cells]


def _levels_table(compared: Comparison) -> Table:
    columns = ["metric", *(clean_label(name, 30) for name in compared.runs)]
    rows = by_family(
        compared.levels, lambda metric: [plus_minus(level) for level in compared.levels[metric].values()]
    )
    return Table("Values, each with how far its 95 % interval reaches.", columns, rows)


def _differences_table(compared: Comparison) -> Table:
    names = [name for name in compared.runs if name != compared.baseline]
    columns = ["metric"]
    for name in names:
        columns += [f"{clean_label(name, 30)} − {clean_label(compared.baseline, 30)}", "verdict"]

    def cells(metric: str) -> list[str]:
        rows = [compared.difference(metric, name) for name in names]
        return [cell for row in rows for cell in (span(row.interval), shown(row.words))]

    caption = f"Differences from {shown(compared.baseline)} with their 95 % intervals, and what they say."
    return Table(caption, columns, by_family(compared.levels, cells))


def _estimate_cells(item: Estimate) -> tuple[str, str]:
    if math.isnan(item.value):
        return "–", item.reason or ""
    if math.isnan(item.standard_error):
        return f"{item.value:.4g}", item.reason or ""
    return plus_minus(item), f"{item.standard_error:.2g}"
