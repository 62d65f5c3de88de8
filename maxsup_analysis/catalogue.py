"""What there is, with formulas and sources: for the terminal, docs/metrics.md and docs/losses.md."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import fill

from maxsup_analysis.losses import LOSSES, LossEntry
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
    return "\n\n".join(_loss_text(loss) for loss in LOSSES.values())


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


def losses_markdown() -> str:
    """The end of docs/losses.md."""
    parts = [
        "## All of them",
        "Generated from the code by `python -m maxsup_analysis.catalogue losses`; do not edit.",
        "z logits, q = sigma(z) their softmax, s the target, gt the true class, K classes;\n"
        "h features, w class vectors.",
    ]
    return "\n\n".join(parts + [_loss_markdown(loss) for loss in LOSSES.values()]) + "\n"


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


def _loss_text(loss: LossEntry) -> str:
    lines = [f"{loss.title}: {loss.formula}", loss.summary, _told(loss), f"source: {loss.source}"]
    body = "\n".join(fill(line, 100, initial_indent="  ", subsequent_indent="  ") for line in lines)
    return f"{loss.name}\n{body}"


def _loss_markdown(loss: LossEntry) -> str:
    return (
        f"### `{loss.name}`: {loss.title}\n\n`{loss.module.__name__}`. {loss.summary}\n\n    {loss.formula}\n\n"
        f"{_told(loss)[0].upper()}{_told(loss)[1:]}. Source: {loss.source}."
    )


def _told(loss: LossEntry) -> str:
    """What a loss can be told, in words."""
    alpha = f"alpha {loss.strengths}, default {loss.alpha:g}" if loss.alpha is not None else "no alpha"
    others = [
        f"{name} = {'none' if default is None else default}" for name, default in loss.arguments.items()
    ]
    head = f'; the model must have head="{loss.head}"' if loss.head else ""
    return f"{'; '.join([alpha, *others])}{head}"


def _collapsed(metric: Metric) -> str:
    return "not settled by collapse" if metric.collapsed is None else f"{metric.collapsed:g}"


if __name__ == "__main__":
    print(losses_markdown() if sys.argv[1:] == ["losses"] else metrics_markdown(), end="")
