"""From measurements to a report: the words follow the numbers."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from maxsup_analysis.comparison import Comparison, Difference
from maxsup_analysis.estimates import Estimate
from maxsup_analysis.labels import clean_label
from maxsup_analysis.losses import LOSSES
from maxsup_analysis.measurements import Measurements
from maxsup_analysis.metrics import METRICS, Metric
from maxsup_analysis.report.document import (
    Block,
    Bullets,
    Definition,
    Definitions,
    Paragraph,
    Plate,
    Report,
    Section,
    Table,
    shown,
)
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
READING = (
    "A value is followed by half of its 95 % interval. Intervals are for each row alone: of twenty differences "
    "that are truly zero, one is expected to look like one. Towards collapse and away from it are directions, "
    "not judgements."
)


def comparison_report(compared: Comparison, plates: Sequence[Plate], *, title: str = "") -> Report:
    """The report of several names against a baseline."""
    names = [clean_label(name, 30) for name in compared.runs]
    metrics = [METRICS[name] for name in compared.levels]
    return Report(
        shown(title or f"{', '.join(names)}: how the representations differ"),
        _subtitle(compared.runs),
        [
            Section("What was compared", [_runs_table(compared.runs), *_prose(compared.notes)]),
            Section(
                "Findings", [Paragraph(_preamble(compared)), Bullets(_findings(compared)), Paragraph(READING)]
            ),
            Section("Measurements", [_levels_table(compared), _differences_table(compared)]),
            Section("Figures", plates),
            *_appendix(metrics, [run for group in compared.runs.values() for run in group]),
        ],
    )


def single_report(measured: Measurements, plates: Sequence[Plate], *, title: str = "") -> Report:
    """The report of one run."""
    runs = {"run": (measured,)}
    rows = _by_family(measured, lambda name: _estimate_cells(measured[name]))
    table = Table("Metrics with their standard errors.", ["metric", "value ± half", "standard error"], rows)
    return Report(
        shown(title or "The representation of a classifier"),
        _subtitle(runs),
        [
            Section("What was measured", [_runs_table(runs), *_prose(measured.notes)]),
            Section("Measurements", [table, Paragraph(READING.partition(" Towards")[0])]),
            Section("Figures", plates),
            *_appendix([METRICS[name] for name in measured], [measured]),
        ],
    )


def _subtitle(runs: Mapping[str, Sequence[Measurements]]) -> str:
    first = next(iter(runs.values()))[0]
    size, about = first.size, first.provenance
    data = " ".join(str(about[key]) for key in ("data", "split") if key in about) or str(
        about.get("source", "")
    )
    counts = (
        f"N = {size['samples']:,} samples, K = {size['classes']} classes, D = {size['features']} features"
    )
    return shown(f"{data}: {counts}" if data else counts)


def _prose(notes: Iterable[str]) -> list[Block]:
    notes = [shown(note[0].upper() + note[1:] + ".") for note in notes]
    return [Bullets(notes)] if notes else []


def _preamble(compared: Comparison) -> str:
    seeds = any(len(runs) > 1 for runs in compared.runs.values())
    chance = (
        "the draw of the test samples and the spread between training runs"
        if seeds
        else ("the draw of the test samples")
    )
    return (
        f"Differences from {shown(compared.baseline)}, sample by sample on the same data; their 95 % intervals "
        f"cover {chance}."
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
    gap = f"by {plain(abs(row.interval.value), row.interval.half_width)}"
    if row.verdict == "not distinguishable":
        return f"{name} not distinguishable from {clean_label(row.baseline, 30)}"
    direction = f", {row.direction}" if row.direction else ""
    return f"{name} {row.verdict} than {clean_label(row.baseline, 30)} {gap}{direction}"


def _runs_table(runs: Mapping[str, Sequence[Measurements]]) -> Table:
    columns = ["name", "loss", "alpha", "seed", "architecture", "checkpoint", "SHA-256"]
    rows = [
        [clean_label(name, 30), *_run_cells(run.provenance)] for name, group in runs.items() for run in group
    ]
    return Table("The runs, and the files that they were measured from.", columns, rows)


def _run_cells(about: Mapping[str, object]) -> list[str]:
    training, checkpoint = _mapping(about.get("training")), _mapping(about.get("checkpoint"))
    loss, begin, end = training.get("loss"), training.get("alpha"), training.get("alpha_end")
    strength = (
        "–" if begin is None or loss == "ce" else f"{begin}" if end in (begin, None) else f"{begin} to {end}"
    )
    cells = [
        LOSSES[loss].title if isinstance(loss, str) and loss in LOSSES else "–",
        strength,
        training.get("seed", "–"),
        _mapping(about.get("architecture")).get("name", "–"),
        checkpoint.get("name", about.get("source", "–")),
        str(checkpoint.get("sha256", "–"))[:12],
    ]
    return [clean_label(str(cell), 30) for cell in cells]


def _levels_table(compared: Comparison) -> Table:
    columns = ["metric", *(clean_label(name, 30) for name in compared.runs)]
    rows = _by_family(
        compared.levels, lambda metric: [plus_minus(level) for level in compared.levels[metric].values()]
    )
    return Table("Values, each with half of its 95 % interval.", columns, rows)


def _differences_table(compared: Comparison) -> Table:
    names = [name for name in compared.runs if name != compared.baseline]
    columns = ["metric"]
    for name in names:
        columns += [f"{clean_label(name, 30)} − {clean_label(compared.baseline, 30)}", "verdict"]

    def cells(metric: str) -> list[str]:
        rows = [compared.difference(metric, name) for name in names]
        return [cell for row in rows for cell in (span(row.interval), shown(row.words))]

    caption = f"Differences from {shown(compared.baseline)} with their 95 % intervals, and what they say."
    return Table(caption, columns, _by_family(compared.levels, cells))


def _by_family(names: Iterable[str], cells: Callable[[str], Sequence[str]]) -> list[list[str]]:
    rows: list[list[str]] = []
    family = None
    for metric in names:
        if METRICS[metric].family != family:
            family = METRICS[metric].family
            rows.append([family.replace("_", " ").capitalize()])
        rows.append([metric, *cells(metric)])
    return rows


def _estimate_cells(item: Estimate) -> tuple[str, str]:
    if math.isnan(item.value):
        return "–", item.reason or ""
    if math.isnan(item.standard_error):
        return f"{item.value:.4g}", item.reason or ""
    return plus_minus(item), f"{item.standard_error:.2g}"


def _appendix(metrics: Sequence[Metric], runs: Sequence[Measurements]) -> list[Section]:
    notation = Paragraph(
        "N samples, K classes, D features; h features, z logits, q their softmax, y labels; μ class means, m class "
        "means minus their average, w rows of the head W, M the matrix of the m."
    )
    return [
        Section("Definitions", [notation, Definitions(_definitions(metrics))]),
        Section("Provenance", [_provenance(runs)]),
    ]


def _definitions(metrics: Sequence[Metric]) -> list[Definition]:
    """One of each metric; what is measured on some samples too is defined once."""
    kinds: dict[str, list[Metric]] = {}
    for metric in metrics:
        kinds.setdefault(metric.name.removesuffix(f"_{metric.subset}"), []).append(metric)
    return [_definition(variants) for variants in kinds.values()]


def _definition(variants: Sequence[Metric]) -> Definition:
    metric = variants[0]
    collapsed = "" if metric.collapsed is None else f" At collapse: {metric.collapsed:g}."
    text = f"{metric.summary} {metric.convention} Source: {metric.source}.{collapsed}"
    return Definition(metric.label, ", ".join(one.name for one in variants), metric.formula, text)


def _provenance(runs: Sequence[Measurements]) -> Table:
    """What all runs share on one line each; what differs among them stands in the table of runs."""
    keys = dict.fromkeys(key for run in runs for key in run.provenance if key not in ("checkpoint", "source"))
    rows = []
    for key in keys:
        values = dict.fromkeys(_flat(run.provenance.get(key)) for run in runs)
        rows.append(
            [
                key.replace("_", " "),
                shown(next(iter(values)) if len(values) == 1 else "differs: see the runs"),
            ]
        )
    return Table("What the runs share.", ["", "value"], rows)


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(part)}" for key, part in value.items() if key not in ("seed",))
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
