"""Which metrics are measured: groups by name, or metrics by name."""

from collections.abc import Iterable
from difflib import get_close_matches

from maxsup_analysis.errors import InputError
from maxsup_analysis.metrics.metric import METRICS, Metric

STANDARD = "standard"
# Shorter words for families that have a long one.
ALIASES = {"nc": "neural_collapse"}


def groups() -> dict[str, list[str]]:
    """The names of the metrics of each group: the standard ones, all of them, and each family.

    Example:
        >>> "nc1_zhu" in groups()["nc"]
        True
    """
    named = {STANDARD: [name for name, metric in METRICS.items() if metric.standard], "all": list(METRICS)}
    for name, metric in METRICS.items():
        named.setdefault(metric.family, []).append(name)
    return named | {alias: named[family] for alias, family in ALIASES.items() if family in named}


def chosen(names: Iterable[str]) -> list[Metric]:
    """The metrics of groups, or of that name, each once and in the order of the table; none: the standard ones.

    Raises InputError for a name that is neither.
    """
    known, wanted = groups(), set[str]()
    for name in names or (STANDARD,):
        if name not in known and name not in METRICS:
            near = get_close_matches(name, [*known, *METRICS], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise InputError(
                f"no group and no metric is called {name!r}{hint} Groups are: {', '.join(known)}; "
                "`maxsup-analyze metrics` lists the metrics"
            )
        wanted |= set(known.get(name, [name]))
    return [metric for name, metric in METRICS.items() if name in wanted]
