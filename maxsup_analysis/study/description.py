"""What a study is: the runs that are to be trained, and what is to be measured, compared and reported of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

from maxsup_analysis.training import TrainingPlan

SEED = "seed"
HEADLINES = ("d_within_unbiased", "class_separation", "nc1_pinv", "nc2_etf_means", "accuracy", "nll", "ece")


@dataclass(frozen=True)
class Factor:
    """Something that is varied. levels: the name of each -> the training arguments that it sets.

    The first level is the baseline, unless the study names another.
    """

    name: str
    levels: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class Measure:
    """What is measured of every run.

    splits: of the data that the run is trained on. metrics: groups, or names.
    transfer: other data sets, on whose features a linear classifier is trained (docs/transfer.md).
    """

    splits: tuple[str, ...] = ("test",)
    metrics: tuple[str, ...] = ("standard",)
    transfer: tuple[str, ...] = ()
    batch_size: int = 256


@dataclass(frozen=True)
class Compare:
    """Which level of each factor is its baseline; the first one unless named."""

    baselines: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Reporting:
    """What the report shows. metrics: in the sentences and figures; tables and CSV have all."""

    title: str = ""
    metrics: tuple[str, ...] = HEADLINES


@dataclass(frozen=True)
class Cell:
    """One run of a study. levels: factor -> level, the seed among them where it is varied."""

    levels: Mapping[str, str]
    plan: TrainingPlan

    @property
    def name(self) -> str:
        """Such as `method=LS,seed=0`."""
        return ",".join(f"{factor}={level}" for factor, level in self.levels.items()) or "run"

    @property
    def combination(self) -> Mapping[str, str]:
        """The levels without the seed: runs that differ by their seed alone are repetitions."""
        return {factor: level for factor, level in self.levels.items() if factor != SEED}


@dataclass(frozen=True)
class Study:
    """A base plan, what is varied on it, and what is measured.

    description: what a reader of the report should know, in prose.
    """

    title: str
    description: str
    plan: TrainingPlan
    factors: Sequence[Factor]
    cells: Sequence[Cell]
    measure: Measure
    report: Reporting

    @cached_property
    def varied(self) -> Mapping[str, Sequence[str]]:
        """Factor -> levels, the baseline first; without the seed."""
        return {factor.name: tuple(factor.levels) for factor in self.factors if factor.name != SEED}


def crossed(factors: Sequence[Factor]) -> list[dict[str, str]]:
    """Every combination of the levels, the last factor varying fastest."""
    names = [factor.name for factor in factors]
    return [
        dict(zip(names, levels, strict=True)) for levels in product(*(factor.levels for factor in factors))
    ]
