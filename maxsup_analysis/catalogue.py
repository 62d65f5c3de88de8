"""What there is, with formulas and sources: for the terminal and for docs/metrics.md."""

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import fill

from maxsup_analysis.losses import LOSSES
from maxsup_analysis.metrics import METRICS, Metric


@dataclass(frozen=True)
class Convention:
    """One variant of a quantity: its id, what it is called, how it differs, and whose it is."""

    name: str
    label: str
    differs: str
    source: str


def metrics_text(metrics: Iterable[Metric]) -> str:
    """Metrics for a terminal."""
    return "\n\n".join(_metric_text(metric) for metric in metrics)


def conventions_of(metrics: Iterable[Metric]) -> list[Convention]:
    """The metrics that have variants, with how each differs; those of a quantity one after the other."""
    return [
        Convention(metric.name, metric.label, metric.differs, metric.source)
        for metric in metrics
        if metric.differs and metric.subset == "all"
    ]


def losses_text() -> str:
    """Every loss for a terminal."""
    return "\n\n".join(
        f"{loss.name}\n  {loss.title}: {loss.formula}\n  source: {loss.source}" for loss in LOSSES.values()
    )


def metrics_markdown() -> str:
    """docs/metrics.md."""
    families = dict.fromkeys(metric.family for metric in METRICS.values())
    parts = [
        "# Metrics",
        "Generated from the code by `python -m maxsup_analysis.catalogue`; do not edit.",
        "N samples, K classes, D features; h features, z logits, q their softmax, y labels; mu_k class means,\n"
        "m_k class means minus their average, w_k rows of the head W, M the matrix of m_k. Formulas are in\n"
        "Typst's notation. Every metric has a standard error: see [intervals](intervals.md).",
    ]
    for family in families:
        parts.append(f"## {family.replace('_', ' ').capitalize()}")
        parts += [_metric_markdown(metric) for metric in METRICS.values() if metric.family == family]
    return "\n\n".join(parts) + "\n"


def _metric_text(metric: Metric) -> str:
    lines = [
        metric.summary,
        metric.convention,
        f"source: {metric.source}",
        f"at collapse: {_collapsed(metric)}",
    ]
    body = "\n".join(fill(line, 100, initial_indent="  ", subsequent_indent="  ") for line in lines)
    return f"{metric.name}\n  {metric.formula}\n{body}"


def _metric_markdown(metric: Metric) -> str:
    return (
        f"### `{metric.name}`\n\n{metric.summary}\n\n    {metric.formula}\n\n{metric.convention}\n\n"
        f"Source: {metric.source}. At collapse: {_collapsed(metric)}."
    )


def _collapsed(metric: Metric) -> str:
    return "not settled by collapse" if metric.collapsed is None else f"{metric.collapsed:g}"


if __name__ == "__main__":
    print(metrics_markdown(), end="")
