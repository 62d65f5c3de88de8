"""What a study is: the runs that are to be trained, and what is to be measured, compared and reported of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

from maxsup_analysis.datasets.corruptions import CORRUPTIONS
from maxsup_analysis.datasets.corruptions.entry import require_severity
from maxsup_analysis.errors import InputError
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.metrics.groups import chosen
from maxsup_analysis.training import TrainingPlan

SEED = "seed"
EVERY = "all"
HEADLINES = ("d_within_unbiased", "class_separation", "nc1_pinv", "nc2_etf_means", "accuracy", "nll", "ece")


def _checked(default: Any, check: Callable[[Any], object]) -> Any:
    """A field whose values a check refuses with an InputError when a file sets them."""
    return field(default=default, metadata={"check": check})


def _require_splits(splits: Sequence[str]) -> None:
    if not splits or len(set(splits)) < len(splits):
        raise InputError(f"expected splits, each once, got {list(splits)}")


def _require_batch(size: int) -> None:
    if size < 1:
        raise InputError(f"expected a batch_size above 0, got {size}")


def _require_severities(severities: Sequence[int]) -> None:
    if not severities or len(set(severities)) < len(severities):
        raise InputError(f"expected severities from 1 to 5, each once, got {list(severities)}")
    for severity in severities:
        require_severity("a corruption", severity)


def _kinds(names: Sequence[str]) -> tuple[str, ...]:
    """Kinds of corruption by name; `all` are all."""
    known = tuple(CORRUPTIONS)
    return tuple(
        dict.fromkeys(
            kind for name in names for kind in (known if name == EVERY else (CORRUPTIONS[name].name,))
        )
    )


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
    corruptions: of the first split, kinds or `all` (docs/data.md), each in all severities; corrupted_metrics of each
    are averaged over both.
    """

    splits: tuple[str, ...] = _checked(("test",), _require_splits)
    metrics: tuple[str, ...] = _checked(("standard",), chosen)
    transfer: tuple[str, ...] = ()
    corruptions: tuple[str, ...] = _checked((), _kinds)
    severities: tuple[int, ...] = _checked((1, 2, 3, 4, 5), _require_severities)
    corrupted_metrics: tuple[str, ...] = _checked(("accuracy", "nll", "ece"), chosen)
    batch_size: int = _checked(256, _require_batch)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of corruption, each once."""
        return _kinds(self.corruptions)

    @property
    def corrupted_splits(self) -> tuple[str, ...]:
        """The first split under every corruption, as data are asked for it."""
        return tuple(
            f"{self.splits[0]}+{kind}:{severity}" for kind in self.kinds for severity in self.severities
        )


@dataclass(frozen=True)
class Compare:
    """Which level of each factor is its baseline; the first one unless named."""

    baselines: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Reporting:
    """What the report shows. metrics: in the sentences and figures; tables and CSV have all."""

    title: str = ""
    metrics: tuple[str, ...] = _checked(HEADLINES, lambda names: [METRICS[name] for name in names])


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
