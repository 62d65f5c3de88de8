"""What the cells of a study gave: a tidy table of cells and metrics, means, main effects, interactions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import pandas as pd

from maxsup_analysis.contrasts import Interval
from maxsup_analysis.effects import Design, Run
from maxsup_analysis.measurements import Measurements
from maxsup_analysis.study.cell_run import Job, failure_of
from maxsup_analysis.study.description import SEED, Cell, Study
from maxsup_analysis.study.kept import kept

INTERVAL = ("value", "low", "high", "sampling_error", "seed_error")


@dataclass(frozen=True)
class CellResult:
    """A cell with what was measured of it, part by part; failure: why there is nothing, in one line."""

    cell: Cell
    parts: Mapping[str, Measurements]
    failure: str | None


@dataclass(frozen=True)
class Results:
    """All cells of a study, failed ones too."""

    study: Study
    cells: Sequence[CellResult]

    @cached_property
    def designs(self) -> Mapping[str, Design]:
        """Part -> its runs by the levels of the factors; parts that no cell has are left out."""
        names = dict.fromkeys(name for result in self.cells for name in result.parts)
        return {name: Design(self.study.varied, self._runs(name)) for name in names}

    def _runs(self, part: str) -> list[Run]:
        return [
            Run(result.cell.combination, measured.estimates, measured.samples)
            for result in self.cells
            if (measured := result.parts.get(part)) is not None and measured.samples is not None
        ]

    def metrics(self, part: str) -> list[str]:
        """What all runs of a part have."""
        first, *others = [run.estimates for run in self.designs[part].runs]
        return [name for name in first if all(name in other for other in others)]

    def cell_table(self) -> pd.DataFrame:
        """One row a cell: its levels, then each part's metrics with their standard errors."""
        return pd.DataFrame([self._cell_row(result) for result in self.cells])

    def _cell_row(self, result: CellResult) -> dict[str, object]:
        row: dict[str, object] = dict(result.cell.levels)
        row.setdefault(SEED, str(result.cell.plan.seed))
        row["failure"] = result.failure or ""
        for part, measured in result.parts.items():
            for name, item in measured.estimates.items():
                row[f"{part}: {name}"] = item.value
                row[f"{part}: {name} (standard error)"] = item.standard_error
        return row

    def mean_table(self) -> pd.DataFrame:
        """One row a part, metric and combination of levels: the mean over seeds with its 95 % interval."""
        rows = []
        for part, design in self.designs.items():
            for metric in self.metrics(part):
                for combination, runs in design.combinations.items():
                    levels = dict(combination)
                    interval = design.mean(metric, levels)
                    assert interval is not None
                    ordered = {factor: levels[factor] for factor in design.factors}
                    rows.append(
                        {"part": part, "metric": metric, **ordered, "runs": len(runs), **_columns(interval)}
                    )
        return pd.DataFrame(rows)

    def effect_table(self) -> pd.DataFrame:
        """One row a part, metric and level of a factor: its difference from the factor's baseline."""
        rows = [
            {
                "part": part, "metric": metric, "factor": effect.factor, "level": effect.level,
                "baseline": effect.baseline, "combinations": effect.combinations, **_columns(effect.interval),
                "verdict": effect.interval.verdict,
            }
            for part, design in self.designs.items()
            for metric in self.metrics(part)
            for factor in design.factors
            for effect in design.effects(metric, factor)
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def interaction_table(self) -> pd.DataFrame:
        """One row a part, metric and pair of levels of two factors; empty with fewer than two factors."""
        rows = [
            {
                "part": part, "metric": metric, "factor": found.factor, "level": found.level,
                "other_factor": found.other, "other_level": found.other_level, **_columns(found.interval),
                "verdict": found.interval.verdict,
            }
            for part, design in self.designs.items()
            for metric in self.metrics(part)
            for factor, other in combinations(design.factors, 2)
            for found in design.interactions(metric, factor, other)
        ]  # fmt: skip
        return pd.DataFrame(rows)


def results_of(study: Study, jobs: Sequence[Job]) -> Results:
    """What is in the folders of the cells at this moment."""
    return Results(study, [_result(job) for job in jobs])


def _result(job: Job) -> CellResult:
    found = {part.name: kept(job.folder, part) for part in job.parts}
    parts = {name: measured for name, measured in found.items() if measured is not None}
    whole = len(parts) == len(found)
    return CellResult(job.cell, parts, None if whole else failure_of(job.folder) or "not run yet")


def _columns(interval: Interval) -> dict[str, object]:
    return {
        **{name: getattr(interval, name) for name in INTERVAL},
        "reason": interval.reason or "",
    }
