"""What each factor of a study does: means, main effects and interactions, with intervals over samples and seeds.

Runs that differ by their seed alone are repetitions. Combinations of the other factors weigh equally, however many
seeds each has.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from maxsup_analysis.contrasts import Interval, Repeated, Term, contrast
from maxsup_analysis.errors import InputError
from maxsup_analysis.estimates import Estimate
from maxsup_analysis.influence import Samples


@dataclass(frozen=True)
class Run:
    """What one training run gave on one set of samples.

    levels: factor -> level, seeds apart.
    """

    levels: Mapping[str, str]
    estimates: Mapping[str, Estimate]
    samples: Samples


@dataclass(frozen=True)
class Effect:
    """A level of a factor minus its baseline, averaged over the combinations of the other factors.

    combinations: how many of them there are at both levels; those that lack at either are left out.
    """

    metric: str
    factor: str
    level: str
    baseline: str
    combinations: int
    interval: Interval


@dataclass(frozen=True)
class Interaction:
    """How much the effect of one level changes from the baseline of another factor to one of its levels."""

    metric: str
    factor: str
    level: str
    other: str
    other_level: str
    interval: Interval


Combination = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Design:
    """The runs of a study by the levels of its factors.

    factors: factor -> its levels, the first being its baseline.
    """

    factors: Mapping[str, Sequence[str]]
    runs: Sequence[Run]

    def __post_init__(self) -> None:
        for run in self.runs:
            strange = [
                f"{name}={level}" for name, level in run.levels.items() if level not in self.factors[name]
            ]
            if strange:
                raise InputError(f"expected levels that the factors have, got {', '.join(strange)}")

    @cached_property
    def combinations(self) -> Mapping[Combination, Sequence[Run]]:
        """The repetitions of each combination of levels that was run."""
        found: dict[Combination, list[Run]] = {}
        for run in self.runs:
            found.setdefault(frozenset(run.levels.items()), []).append(run)
        return found

    def mean(self, metric: str, levels: Mapping[str, str]) -> Interval | None:
        """The mean over all combinations with these levels; None where there is none."""
        terms = self._terms(metric, self._at(levels), 1.0)
        return contrast(terms) if terms else None

    def effects(self, metric: str, factor: str) -> list[Effect]:
        """The main effects of a factor: of each level that can be compared with the baseline."""
        baseline, *others = self.factors[factor]
        found = []
        for level in others:
            shared = self._shared(factor, (level, baseline))
            terms = self._difference(metric, factor, level, shared)
            if terms:
                found.append(Effect(metric, factor, level, baseline, len(shared), contrast(terms)))
        return found

    def interactions(self, metric: str, factor: str, other: str) -> list[Interaction]:
        """Differences of differences, for every pair of levels beside the baselines."""
        found = []
        for level in self.factors[factor][1:]:
            for other_level in self.factors[other][1:]:
                terms = self._difference_of_differences(metric, (factor, level), (other, other_level))
                if terms:
                    found.append(Interaction(metric, factor, level, other, other_level, contrast(terms)))
        return found

    def _difference_of_differences(
        self, metric: str, one: tuple[str, str], two: tuple[str, str]
    ) -> list[Term]:
        (factor, level), (other, other_level) = one, two
        shared = self._shared(factor, (level, self.factors[factor][0]))
        sides = []
        for sign, at in ((1.0, other_level), (-1.0, self.factors[other][0])):
            here = [rest for rest in shared if (other, at) in rest]
            sides.append(
                [Term(sign * t.weight, t.runs) for t in self._difference(metric, factor, level, here)]
            )
        return [term for side in sides for term in side] if all(sides) else []

    def _difference(self, metric: str, factor: str, level: str, shared: Iterable[Combination]) -> list[Term]:
        """Level minus baseline of a factor over the combinations of the others that have both."""
        rests = list(shared)
        baseline = self.factors[factor][0]
        return [
            *self._terms(metric, [rest | {(factor, level)} for rest in rests], 1.0),
            *self._terms(metric, [rest | {(factor, baseline)} for rest in rests], -1.0),
        ]

    def _shared(self, factor: str, levels: Sequence[str]) -> list[Combination]:
        """The combinations of the other factors that were run at all of these levels of a factor."""
        rests = dict.fromkeys(
            combination - {(factor, level)}
            for combination in self.combinations
            for level in levels
            if (factor, level) in combination
        )
        return [
            rest for rest in rests if all(rest | {(factor, level)} in self.combinations for level in levels)
        ]

    def _at(self, levels: Mapping[str, str]) -> list[Combination]:
        return [combination for combination in self.combinations if combination >= set(levels.items())]

    def _terms(self, metric: str, combinations: Sequence[Combination], weight: float) -> list[Term]:
        """Each combination weighs equally."""
        return [
            Term(weight / len(combinations), self._repeated(metric, combination))
            for combination in combinations
        ]

    def _repeated(self, metric: str, combination: Combination) -> Repeated:
        runs = self.combinations[combination]
        return Repeated(tuple(run.estimates[metric] for run in runs), runs[0].samples)
