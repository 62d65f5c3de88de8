"""Several runs against a baseline on the same samples: paired differences, seeds, verdicts."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from maxsup_analysis.contrasts import JOINING, Interval, Repeated, Term, Verdict, contrast
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import well_formed
from maxsup_analysis.measurements import Measurements, Samples, finite
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.sampling import LEVEL
from maxsup_analysis.surroundings import undisturbed

FORMAT = "maxsup-analysis comparison, version 1"


@dataclass(frozen=True)
class Difference:
    """One metric of one entry minus the baseline's."""

    metric: str
    name: str
    baseline: str
    interval: Interval
    direction: Literal["towards collapse", "away from collapse"] | None

    @property
    def verdict(self) -> Verdict:
        """What the interval says."""
        return self.interval.verdict

    @property
    def words(self) -> str:
        """The verdict as a phrase."""
        if self.verdict in ("not distinguishable", "undefined"):
            return self.verdict
        return f"{self.verdict} {JOINING[self.verdict]} {self.baseline}"


@dataclass(frozen=True)
class Comparison:
    """Named groups of runs against one of them.

    runs: name -> measurements of its runs (seeds), on the same samples throughout.
    levels: metric -> name -> the mean over runs with its interval.
    differences: every other name minus the baseline, metric by metric.
    """

    baseline: str
    runs: Mapping[str, tuple[Measurements, ...]]
    levels: Mapping[str, Mapping[str, Interval]]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def difference(self, metric: str, name: str) -> Difference:
        """The row of one metric and one name."""
        for row in self.differences:
            if (row.metric, row.name) == (metric, name):
                return row
        raise InputError(f"there is no difference of {metric} for {name}; names are: {', '.join(self.runs)}")

    def to_frame(self) -> pd.DataFrame:
        """One row a metric and name: value and interval, and the difference from the baseline."""
        rows = [self._row(metric, name) for metric, named in self.levels.items() for name in named]
        return pd.DataFrame(rows).set_index(["metric", "name"])

    def to_json(self) -> str:
        """Strict JSON: undefined numbers are null."""
        document = {
            "format": FORMAT,
            "baseline": self.baseline,
            "level": LEVEL,
            "runs": {name: [dict(run.provenance) for run in runs] for name, runs in self.runs.items()},
            "rows": [
                {key: finite(value) if isinstance(value, float) else value for key, value in row.items()}
                for row in self.to_frame().reset_index().astype(object).to_dict("records")
            ],
            "notes": list(self.notes),
        }
        return json.dumps(document, indent=2, allow_nan=False)

    def _row(self, metric: str, name: str) -> dict[str, object]:
        level = self.levels[metric][name]
        row: dict[str, object] = {
            "metric": metric,
            "name": name,
            "value": level.value,
            "low": level.low,
            "high": level.high,
            "sampling_error": level.sampling_error,
            "seed_error": level.seed_error,
            "runs": len(self.runs[name]),
        }
        gap = self.difference(metric, name) if name != self.baseline else None
        row["difference"] = gap.interval.value if gap else math.nan
        row["difference_low"] = gap.interval.low if gap else math.nan
        row["difference_high"] = gap.interval.high if gap else math.nan
        row["verdict"] = gap.words if gap else "baseline"
        row["reason"] = (gap.interval.reason if gap else None) or level.reason or ""
        return row


@undisturbed()
def compare(runs: Mapping[str, Sequence[Measurements]], *, baseline: str | None = None) -> Comparison:
    """Paired differences of every metric from the baseline, the first name unless said otherwise.

    Two levels of chance: the test samples, drawn within classes and shared by all runs, whose error comes
    from the differences of the influences sample by sample; and training, whose error comes from the spread
    between the runs of a name. With one run a name the second is unknown, and a note says so.

    Raises InputError where the runs are not on the same samples.
    """
    groups = {well_formed(name): tuple(_aligned(run, runs) for run in group) for name, group in runs.items()}
    chosen = next(iter(groups)) if baseline is None else well_formed(baseline)
    if len(groups) < 2:
        raise InputError(
            f"expected a baseline and something to compare with it, got {', '.join(groups)} alone; give NAME=STORE at "
            "least twice"
        )
    if chosen not in groups:
        raise InputError(f"expected as a baseline one of the names {', '.join(groups)}, got {chosen!r}")
    metrics = [name for name in METRICS if all(name in run for group in groups.values() for run in group)]
    samples = _first(groups)
    levels = {
        m: {name: contrast([Term(1.0, _repeated(m, group, samples))]) for name, group in groups.items()}
        for m in metrics
    }
    differences = tuple(
        _difference(m, name, chosen, groups, levels[m], samples)
        for m in metrics
        for name in groups
        if name != chosen
    )
    return Comparison(chosen, groups, levels, differences, _notes(groups))


def _difference(
    metric: str,
    name: str,
    baseline: str,
    groups: Mapping[str, Sequence[Measurements]],
    levels: Mapping[str, Interval],
    samples: Samples,
) -> Difference:
    interval = contrast(
        [
            Term(1.0, _repeated(metric, groups[name], samples)),
            Term(-1.0, _repeated(metric, groups[baseline], samples)),
        ]
    )
    return Difference(metric, name, baseline, interval, _direction(metric, levels[name], levels[baseline]))


def _repeated(metric: str, runs: Sequence[Measurements], samples: Samples) -> Repeated:
    return Repeated(tuple(run[metric] for run in runs), samples)


def _direction(
    metric: str, level: Interval, baseline: Interval
) -> Literal["towards collapse", "away from collapse"] | None:
    collapsed = METRICS[metric].collapsed
    if collapsed is None or math.isnan(level.value) or math.isnan(baseline.value):
        return None
    nearer = abs(level.value - collapsed) < abs(baseline.value - collapsed)
    return "towards collapse" if nearer else "away from collapse"


def _aligned(run: Measurements, runs: Mapping[str, Sequence[Measurements]]) -> Measurements:
    """The run itself, once its samples are those of the first run, in the same order."""
    first, samples = _first(runs), run.samples
    if samples is None:
        raise InputError("expected measurements with standard errors, got some without; measure stores again")
    if len(samples.ids) != len(first.ids) or not np.array_equal(samples.ids, first.ids):
        raise InputError(
            f"expected the same samples in every run, got {len(first.ids)} and {len(samples.ids)} with other "
            "ids; extract all of them from the same data and split"
        )
    if not np.array_equal(samples.labels, first.labels):
        raise InputError(
            "expected the same label for the same id in every run; extract all from the same data"
        )
    return run


def _first(runs: Mapping[str, Sequence[Measurements]]) -> Samples:
    for group in runs.values():
        for run in group:
            if run.samples is not None:
                return run.samples
    raise InputError("expected at least one run with standard errors, got none")


def _unlike(name: str, group: Sequence[Measurements]) -> list[str]:
    """A note where runs of a name are networks of different kinds, whose spread is not that of seeds."""
    kinds = dict.fromkeys(
        f"{about.get('name')} with {run.size['features']} features"
        if isinstance(about := run.provenance.get("architecture"), Mapping)
        else f"{run.size['features']} features"
        for run in group
    )
    if len(kinds) < 2:
        return []
    return [
        f"runs of {name} are of different networks, whose spread is not that of seeds: {', '.join(kinds)}"
    ]


def _notes(groups: Mapping[str, Sequence[Measurements]]) -> tuple[str, ...]:
    single = [name for name, group in groups.items() if len(group) == 1]
    notes = []
    if single:
        notes.append(
            f"one run only of {', '.join(single)}: the spread between training seeds is unknown and not in "
            "the intervals, which speak of these checkpoints, not of their losses"
        )
    for name, group in groups.items():
        notes += _unlike(name, group)
        notes += [f"{name}: {note}" for note in dict.fromkeys(note for run in group for note in run.notes)]
    return tuple(notes)
