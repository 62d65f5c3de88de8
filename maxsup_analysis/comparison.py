"""Several runs against a baseline on the same samples: paired differences, seeds, verdicts."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.estimates import standard_error
from maxsup_analysis.measurements import Measurements, Samples, finite
from maxsup_analysis.metrics import METRICS

FORMAT = "maxsup-analysis comparison, version 1"
LEVEL = 0.95
Verdict = Literal["lower", "higher", "not distinguishable", "undefined"]


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval.

    sampling_error: standard error from drawing the test samples.
    seed_error: standard error of the mean over training runs; NaN where there is one run only.
    degrees_of_freedom: of Student's t in the interval (Welch-Satterthwaite); infinite with one run.
    """

    value: float
    sampling_error: float
    seed_error: float
    degrees_of_freedom: float
    reason: str | None = None

    @property
    def half_width(self) -> float:
        """From the value to either end."""
        error = math.hypot(self.sampling_error, 0.0 if math.isnan(self.seed_error) else self.seed_error)
        return float(stats.t.ppf((1 + LEVEL) / 2, self.degrees_of_freedom)) * error

    @property
    def low(self) -> float:
        """Lower end."""
        return self.value - self.half_width

    @property
    def high(self) -> float:
        """Upper end."""
        return self.value + self.half_width


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
        """What the interval says: zero inside it is no difference that can be told."""
        if math.isnan(self.interval.half_width):
            return "undefined"
        if self.interval.high < 0:
            return "lower"
        return "higher" if self.interval.low > 0 else "not distinguishable"

    @property
    def words(self) -> str:
        """The verdict as a phrase."""
        if self.verdict in ("lower", "higher"):
            return f"{self.verdict} than {self.baseline}"
        return self.verdict


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


def compare(runs: Mapping[str, Sequence[Measurements]], *, baseline: str | None = None) -> Comparison:
    """Paired differences of every metric from the baseline, the first name unless said otherwise.

    Two levels of chance: the test samples, drawn within classes and shared by all runs, whose error comes
    from the differences of the influences sample by sample; and training, whose error comes from the spread
    between the runs of a name. With one run a name the second is unknown, and a note says so.

    Raises InputError where the runs are not on the same samples.
    """
    groups = {name: tuple(_aligned(run, runs) for run in group) for name, group in runs.items()}
    chosen = next(iter(groups)) if baseline is None else baseline
    if chosen not in groups or len(groups) < 2:
        raise InputError(
            f"expected a baseline and something to compare with it, got baseline {chosen!r} and names "
            f"{', '.join(groups)}; give NAME=STORE at least twice"
        )
    metrics = [name for name in METRICS if all(name in run for group in groups.values() for run in group)]
    labels = torch.from_numpy(_first(groups).labels)
    levels = {m: {name: _level(m, group, labels) for name, group in groups.items()} for m in metrics}
    differences = tuple(
        _difference(m, name, chosen, groups, levels[m], labels)
        for m in metrics
        for name in groups
        if name != chosen
    )
    return Comparison(chosen, groups, levels, differences, _notes(groups))


def _level(metric: str, runs: Sequence[Measurements], labels: Tensor) -> Interval:
    return _interval([(1.0, _Group.of(metric, runs))], labels)


def _difference(
    metric: str,
    name: str,
    baseline: str,
    groups: Mapping[str, Sequence[Measurements]],
    levels: Mapping[str, Interval],
    labels: Tensor,
) -> Difference:
    signed = [(1.0, _Group.of(metric, groups[name])), (-1.0, _Group.of(metric, groups[baseline]))]
    interval = _interval(signed, labels)
    return Difference(metric, name, baseline, interval, _direction(metric, levels[name], levels[baseline]))


@dataclass(frozen=True)
class _Group:
    """One metric over the runs of one name."""

    values: np.ndarray
    influence: Tensor | None
    reason: str | None

    @classmethod
    def of(cls, metric: str, runs: Sequence[Measurements]) -> "_Group":
        estimates = [run[metric] for run in runs]
        influences = [item.influence for item in estimates if item.influence is not None]
        reason = next((item.reason for item in estimates if item.reason), None)
        complete = torch.stack(influences).mean(0) if len(influences) == len(estimates) else None
        return cls(np.array([item.value for item in estimates]), complete, reason)

    @property
    def seed_variance(self) -> float:
        """Variance of the mean over runs; NaN with one run."""
        R = len(self.values)
        return float(self.values.var(ddof=1)) / R if R > 1 else math.nan


def _interval(terms: Sequence[tuple[float, _Group]], labels: Tensor) -> Interval:
    """A signed sum of group means, with the error from samples and from seeds."""
    value = float(sum(sign * group.values.mean() for sign, group in terms))
    reason = next((group.reason for _, group in terms if group.reason), None)
    influences = [sign * group.influence for sign, group in terms if group.influence is not None]
    if len(influences) < len(terms):
        return Interval(value, math.nan, math.nan, math.inf, reason)
    sampling = standard_error(torch.stack(influences).sum(0), labels)
    known = [(group.seed_variance, len(group.values) - 1) for _, group in terms if len(group.values) > 1]
    seeds = sum(variance for variance, _ in known)
    spread = sum(variance**2 / freedom for variance, freedom in known)
    # Welch-Satterthwaite, the sampling part having so many degrees of freedom that it adds none.
    freedom = (sampling**2 + seeds) ** 2 / spread if spread > 0 else math.inf
    return Interval(value, sampling, math.sqrt(seeds) if known else math.nan, freedom, reason)


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


def _notes(groups: Mapping[str, Sequence[Measurements]]) -> tuple[str, ...]:
    single = [name for name, group in groups.items() if len(group) == 1]
    notes = []
    if single:
        notes.append(
            f"one run only of {', '.join(single)}: the spread between training seeds is unknown and not in "
            "the intervals, which speak of these checkpoints, not of their losses"
        )
    for name, group in groups.items():
        notes += [f"{name}: {note}" for note in dict.fromkeys(note for run in group for note in run.notes)]
    return tuple(notes)
