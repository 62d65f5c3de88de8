"""Mutants of study files: the same number always makes the same one."""

import json
import random
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from maxsup_analysis.study.fields import field_names
from maxsup_analysis.training import TrainingPlan

PRESETS = tuple(sorted((Path(__file__).parents[2] / "reports").glob("*.toml")))
WORDS = (
    "", " ", "ce", "maxsup", "digits", "train", "test", "all", "0.1", "1e5", "true", "seed", "../../x", "/", ".", "~",
    "a" * 3000, "a\nb", "\x1b[31mred", "\u202egnp", "\u200b", "=cmd|' /C calc'!A0", "<b>&", "{}%s", "os:system",
    "a.py:f", "hf:.", "timm/resnet18", "torchvision/vit_b_16", "test+fog:3", "test+fog:9", "test+", "accuracy",
    "nc", "cuda:7",
)  # fmt: skip
NUMBERS = (
    0, 1, 2, 3, 7, -1, 64, 255, 10**4, 10**6, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**30, -(10**30), 0.0, -0.0, 0.1,
    0.5, 1.0, 1.5, -0.5, 1e-320, 1e308, float("inf"), float("-inf"), float("nan"),
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    True, False, [], [0, 1, 2], [0.05, 0.1], ["ce", "ls"], [[]], [[1], [2]], [{}], {}, {"a": 1}, {"a": {"b": []}},
    {"loss": "ls"}, {"loss": ["ls"]}, [True, 1, 1.0], ["a", "A"], ["\u202ea"], date(2024, 1, 2),
    datetime(2024, 1, 2, tzinfo=UTC), [None for _ in ()], {"": ""}, {"a b": "c d"},
)  # fmt: skip
KEYS = (
    *field_names(TrainingPlan), "title", "description", "train", "factors", "cells", "measure", "compare", "report",
    "splits", "metrics", "transfer", "corruptions", "severities", "corrupted_metrics", "baselines", "name", "",
    "__class__", "a.b", "a,b=c", "../x", "cell", "\u202ek", "\x1b[1m",
)  # fmt: skip
NOISE = "[]{}=\"'#,.\n\t\x00\x1b\u202e\ufeffé0-"
Place = tuple[str | int, ...]


def mutant(number: int, seed: int) -> str:
    """The text of a study file: a preset with one to three changes to its values, its keys or its letters."""
    draw = random.Random(f"{seed} {number}")
    text = _preset(number % len(PRESETS))
    if draw.random() < 0.2:
        return _garbled(text, draw)
    document = tomllib.loads(text)
    for _ in range(draw.choice((1, 1, 2, 3))):
        draw.choice(CHANGES)(document, draw)
    return written(document)


@cache
def _preset(number: int) -> str:
    return PRESETS[number].read_text(encoding="utf-8")


def _garbled(text: str, draw: random.Random) -> str:
    for _ in range(draw.choice((1, 1, 2, 5))):
        place = draw.randrange(len(text) + 1)
        stop = place + draw.choice((0, 0, 1, 1, 5, 200))
        text = text[:place] + draw.choice(("", draw.choice(NOISE), draw.choice(NOISE) * 50)) + text[stop:]
    return text


def value(draw: random.Random) -> Any:
    """Something that a field may meet."""
    kind = draw.random()
    if kind < 0.1:
        return [value(draw) for _ in range(draw.randrange(4))]
    if kind < 0.2:
        return {draw.choice(KEYS): value(draw) for _ in range(draw.randrange(3))}
    return draw.choice(draw.choice((WORDS, NUMBERS, OTHERS)))


def _replace(document: dict[str, Any], draw: random.Random) -> None:
    *way, last = draw.choice(list(_places(document)))
    _at(document, way)[last] = value(draw)


def _wrap(document: dict[str, Any], draw: random.Random) -> None:
    *way, last = draw.choice(list(_places(document)))
    there = _at(document, way)
    there[last] = draw.choice(
        ([there[last]], {"a": there[last]}, [there[last], there[last]], str(there[last]))
    )


def _remove(document: dict[str, Any], draw: random.Random) -> None:
    if places := list(_places(document)):
        *way, last = draw.choice(places)
        del _at(document, way)[last]


def _insert(document: dict[str, Any], draw: random.Random) -> None:
    tables = [(), *(place for place in _places(document) if isinstance(_at(document, place), dict))]
    _at(document, draw.choice(tables))[draw.choice(KEYS)] = value(draw)


def _plan(document: dict[str, Any], draw: random.Random) -> None:
    """A field of the training plan, where it belongs, set to whatever comes."""
    train = document.setdefault("train", {})
    if isinstance(train, dict):
        train[draw.choice(field_names(TrainingPlan))] = value(draw)


def _factor(document: dict[str, Any], draw: random.Random) -> None:
    factors = document.setdefault("factors", {})
    if isinstance(factors, dict):
        factors[draw.choice(KEYS)] = [value(draw) for _ in range(draw.randrange(4))]


CHANGES = (_replace, _wrap, _remove, _insert, _plan, _factor)


def _places(node: Any, here: Place = ()) -> Iterator[Place]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, part in items:
        yield (*here, key)
        yield from _places(part, (*here, key))


def _at(document: Any, place: Place | list[str | int]) -> Any:
    for part in place:
        document = document[part]
    return document


def written(document: dict[str, Any]) -> str:
    """A document as TOML, every table inline."""
    return "".join(f"{json.dumps(key)} = {_literal(part)}\n" for key, part in document.items())


def _literal(part: Any) -> str:
    if isinstance(part, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_literal(one)}" for key, one in part.items()) + "}"
    if isinstance(part, list):
        return "[" + ", ".join(map(_literal, part)) + "]"
    if isinstance(part, date):
        return part.isoformat()
    if isinstance(part, float):
        return repr(part)
    return json.dumps(part)
