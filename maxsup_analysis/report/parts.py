"""Parts that reports of runs, comparisons and studies share."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from maxsup_analysis.measurements import Measurements
from maxsup_analysis.metrics import METRICS, Metric
from maxsup_analysis.report.document import (
    Block,
    Bullets,
    Definition,
    Definitions,
    Paragraph,
    Section,
    Table,
    shown,
)

READING = (
    "A value is followed by how far its 95 % interval reaches. Intervals are for each row alone: of twenty differences "
    "that are truly zero, one is expected to look like one. Towards collapse and away from it are directions, "
    "not judgements."
)

NOTHING = "–"


def prose(notes: Iterable[str]) -> list[Block]:
    """Notes as bullets, where there are any."""
    notes = [shown(note[0].upper() + note[1:] + ".") for note in notes]
    return [Bullets(notes)] if notes else []


def by_family(names: Iterable[str], cells: Callable[[str], Sequence[str]]) -> list[list[str]]:
    """A row a metric with its cells, below a heading for each family."""
    rows: list[list[str]] = []
    family = None
    for metric in names:
        if METRICS[metric].family != family:
            family = METRICS[metric].family
            rows.append([family.replace("_", " ").capitalize()])
        rows.append([metric, *cells(metric)])
    return rows


def appendix(metrics: Sequence[Metric], runs: Sequence[Measurements]) -> list[Section]:
    """What the metrics mean, and what the runs share."""
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
        if list(values) == [NOTHING]:
            continue
        rows.append(
            [
                key.replace("_", " "),
                shown(next(iter(values)) if len(values) == 1 else "differs: see the runs"),
            ]
        )
    return Table("What the runs share.", ["", "value"], rows)


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(part)}" for key, part in value.items() if key != "seed") or NOTHING
    if isinstance(value, list):
        return ", ".join(map(_flat, value)) or NOTHING
    if value is None or value == "":
        return NOTHING
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def mapping(value: object) -> Mapping[str, object]:
    """The value itself where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}
