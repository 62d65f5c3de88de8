"""A study file to a Study: every key known, every value of its type, every cell possible."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from maxsup_analysis.errors import InputError
from maxsup_analysis.study.description import (
    Cell,
    Compare,
    Factor,
    Measure,
    Reporting,
    Study,
    crossed,
)
from maxsup_analysis.study.document import Place, document_of, text_at, wrong
from maxsup_analysis.study.fields import converted, field_names, shown
from maxsup_analysis.training import TrainingPlan

T = TypeVar("T")
SECTIONS = ("title", "description", "train", "factors", "cells", "measure", "compare", "report")
MOST_CELLS = 10_000
LIST = "cell"
# Columns of the tables of results beside the factors.
COLUMNS = (
    "failure", "part", "metric", "runs", "factor", "level", "baseline", "combinations", "verdict", "value", "low",
    "high", "sampling_error", "seed_error", "reason", "other_factor", "other_level",
)  # fmt: skip
WORD = re.compile(r"[a-z_]+")
# What the machine decides, not the study: `--device` says it.
NOT_IN_A_STUDY = ("device",)


def read_study(path: Path) -> Study:
    """The study that a TOML file describes; docs/studies.md has every key.

    Raises InputError naming the file, the line, the key and the nearest valid one.
    """
    return study_of(text_at(path), str(path))


def study_of(text: str, name: str = "study.toml") -> Study:
    """As `read_study`, of a text. name: of the file, for the messages."""
    return _Reader(text, name, document_of(text, name)).study()


class _Reader:
    """A document with its text, so that what is wrong has a line."""

    def __init__(self, text: str, name: str, document: Mapping[str, object]) -> None:
        self.text, self.name, self.document = text, name, document

    def study(self) -> Study:
        self._require_known(self.document, SECTIONS, ())
        plan = self._section("train", TrainingPlan)
        baselines = self._section("compare", Compare).baselines
        factors = [self._with_baseline(factor, baselines) for factor in self._factors()]
        self._require_known(baselines, [factor.name for factor in factors], ("compare", "baselines"))
        self._require_apart(factors)
        return Study(
            self._text("title", Path(self.name).stem),
            self._text("description", ""),
            plan,
            factors,
            self._cells(plan, factors),
            self._section("measure", Measure),
            self._section("report", Reporting),
        )

    def _section(self, name: str, cls: type[T]) -> T:
        return cls(**self._arguments(cls, self._table(self.document.get(name, {}), (name,)), (name,)))

    def _arguments(self, cls: type, given: Mapping[str, object], place: Place) -> dict[str, object]:
        """The fields that a table sets, of their types."""
        known = [name for name in field_names(cls) if name not in NOT_IN_A_STUDY]
        self._require_known(given, known, place)
        return {key: self._converted(cls, key, value, (*place, key)) for key, value in given.items()}

    def _converted(self, cls: type, key: str, value: object, place: Place) -> object:
        try:
            return converted(cls, key, value)
        except ValueError as reason:
            raise self._wrong(str(reason), place) from None

    def _factors(self) -> list[Factor]:
        """Those of [factors], and the list of [[cells]] as one more."""
        given = self._table(self.document.get("factors", {}), ("factors",))
        for name in given:
            if not name.strip() or name in COLUMNS:
                raise self._wrong(
                    f"{name!r} cannot be the name of a factor: the tables of results need it; choose another",
                    ("factors", name),
                )
        factors = [self._factor(name, levels) for name, levels in given.items()]
        listed = self.document.get("cells", [])
        if not isinstance(listed, list):
            raise self._wrong("expected an array of tables: [[cells]]", ("cells",))
        if not listed:
            return factors
        if LIST in given:
            raise self._wrong(
                f"the factor {LIST!r} is the name of what [[cells]] lists; choose another", ("factors", LIST)
            )
        levels = [self._listed(number, cell) for number, cell in enumerate(listed)]
        names = [name for name, _ in levels]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise self._wrong(
                    f"two cells are called {name!r}; give them different names", ("cells", number)
                )
        return [Factor(LIST, dict(levels)), *factors]

    def _listed(self, number: int, cell: object) -> tuple[str, dict[str, object]]:
        place = ("cells", number)
        table = dict(self._table(cell, place))
        name = table.pop("name", str(number + 1))
        if not isinstance(name, str) or not name:
            raise self._wrong(f"expected text as the name of a cell, got {shown(name)}", (*place, "name"))
        return name, self._arguments(TrainingPlan, table, place)

    def _factor(self, name: str, given: object) -> Factor:
        place = ("factors", name)
        if isinstance(given, list):
            return self._factor_of_values(name, given)
        levels = self._table(given, place, or_else="an array of values, or a table of named levels")
        if not levels:
            raise self._wrong(f"the factor {name!r} has no levels; give it at least one", place)
        return Factor(
            name,
            {
                level: self._arguments(TrainingPlan, self._table(sets, (*place, level)), (*place, level))
                for level, sets in levels.items()
            },
        )

    def _factor_of_values(self, name: str, values: Sequence[object]) -> Factor:
        """The values of one training argument."""
        self._require_known({name: values}, field_names(TrainingPlan), ("factors",))
        if not values:
            raise self._wrong(f"the factor {name!r} has no levels; give it at least one", ("factors", name))
        levels = {}
        for value in values:
            sets = self._arguments(TrainingPlan, {name: value}, ("factors",))
            if str(value) in levels:
                raise self._wrong(f"the factor {name!r} has {shown(value)} twice", ("factors", name))
            levels[str(value)] = sets
        return Factor(name, levels)

    def _with_baseline(self, factor: Factor, baselines: Mapping[str, object]) -> Factor:
        """The baseline first."""
        baseline = baselines.get(factor.name)
        if baseline is None:
            return factor
        name = str(baseline)
        if name not in factor.levels:
            raise self._wrong(
                f"{name!r} is no level of {factor.name!r};{_nearest(name, factor.levels)} there are: "
                f"{', '.join(factor.levels)}",
                ("compare", "baselines", factor.name),
            )
        return Factor(factor.name, {name: factor.levels[name], **factor.levels})

    def _require_apart(self, factors: Sequence[Factor]) -> None:
        """No two factors set the same training argument: one would silently win."""
        setter: dict[str, str] = {}
        for factor in factors:
            for key in dict.fromkeys(key for sets in factor.levels.values() for key in sets):
                if key in setter:
                    raise self._wrong(
                        f"the factors {setter[key]!r} and {factor.name!r} both set {key!r}; let one of them do it",
                        ("cells" if factor.name == LIST else "factors", factor.name),
                    )
                setter[key] = factor.name

    def _cells(self, plan: TrainingPlan, factors: Sequence[Factor]) -> list[Cell]:
        count = 1
        for factor in factors:
            count *= len(factor.levels)
        if count > MOST_CELLS:
            raise self._wrong(
                f"the factors make {count:,} cells, more than {MOST_CELLS:,}; vary less", ("factors",)
            )
        levels_of = {factor.name: factor.levels for factor in factors}
        return [self._cell(plan, levels, levels_of) for levels in crossed(factors)]

    def _cell(
        self,
        plan: TrainingPlan,
        levels: Mapping[str, str],
        levels_of: Mapping[str, Mapping[str, Mapping[str, object]]],
    ) -> Cell:
        sets = {factor: levels_of[factor][level] for factor, level in levels.items()}
        cell = Cell(
            levels, replace(plan, **{key: value for one in sets.values() for key, value in one.items()})
        )
        try:
            cell.plan.require_sense()
        except InputError as reason:
            raise self._wrong(
                f"the cell {cell.name}: {reason}", self._culprit(str(reason), levels, sets)
            ) from None
        return cell

    def _culprit(
        self, sentence: str, levels: Mapping[str, str], sets: Mapping[str, Mapping[str, object]]
    ) -> Place:
        """Where the argument that a sentence speaks of is set."""
        known = field_names(TrainingPlan)
        named = [word for word in WORD.findall(sentence) if word in known]
        for factor, level in levels.items():
            if key := next((name for name in named if name in sets[factor]), None):
                return ("cells",) if factor == LIST else ("factors", factor, level, key)
        return ("train", *named[:1])

    def _text(self, key: str, default: str) -> str:
        value = self.document.get(key, default)
        if not isinstance(value, str):
            raise self._wrong(f"expected text for {key}, got {shown(value)}", (key,))
        return value.strip()

    def _table(self, value: object, place: Place, *, or_else: str = "a table") -> Mapping[str, object]:
        if not isinstance(value, Mapping):
            raise self._wrong(f"expected {or_else} for {place[-1]}, got {shown(value)}", place)
        return value

    def _require_known(self, given: Mapping[str, object], known: Sequence[str], place: Place) -> None:
        for key in given:
            if key not in known:
                where = f"[{'.'.join(str(part) for part in place)}] has" if place else "a study has"
                raise self._wrong(
                    f"{where} no key {key!r};{_nearest(key, known)} there are: {', '.join(known)}",
                    (*place, key),
                )

    def _wrong(self, sentence: str, place: Place) -> InputError:
        return wrong(self.text, self.name, sentence, place)


def _nearest(word: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = get_close_matches(word, list(known), n=1)
    return f" did you mean {near[0]!r}?" if near else ""
