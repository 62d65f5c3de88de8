"""Values of a TOML file for the fields of a dataclass: checked by name and type."""

import types
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from maxsup_analysis.labels import clean_label

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


def field_names(cls: type) -> list[str]:
    """The names of the fields that a file may set."""
    return [item.name for item in fields(cls)]


def converted(cls: type, name: str, value: object) -> object:
    """The value as the field's type; ValueError with what was expected and what came.

    Whole numbers are numbers, arrays become tuples; nothing else is converted. A field may have a check among its
    metadata, which raises InputError, a ValueError too.

    Example:
        >>> from maxsup_analysis.study.description import Measure
        >>> converted(Measure, "splits", ["train", "test"])
        ('train', 'test')
    """
    hint = get_type_hints(cls)[name]
    try:
        found = _as(hint, value)
    except _Misfit:
        raise ValueError(f"expected {_in_words(hint)} for {name}, got {shown(value)}") from None
    for item in fields(cls):
        if item.name == name and "check" in item.metadata:
            item.metadata["check"](found)
    return found


class _Misfit(Exception):
    """The value does not have the type."""


def _as(hint: Any, value: object) -> object:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _first_that_fits(get_args(hint), value)
    if origin is Literal:
        return value if value in get_args(hint) else _misfit()
    if origin is tuple:
        return _as_tuple(get_args(hint), value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return dict(value) if isinstance(value, Mapping) else _misfit()
    return _plain(hint, value)


def _plain(hint: Any, value: object) -> object:
    if hint in (Any, object):
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    return value if type(value) is hint else _misfit()


def _first_that_fits(hints: tuple[Any, ...], value: object) -> object:
    for hint in hints:
        try:
            return _as(hint, value)
        except _Misfit:
            continue
    return _misfit()


def _as_tuple(hints: tuple[Any, ...], value: object) -> object:
    if not isinstance(value, list | tuple):
        return _misfit()
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(_as(hints[0], item) for item in value)
    return (
        tuple(_as(*pair) for pair in zip(hints, value, strict=True))
        if len(hints) == len(value)
        else _misfit()
    )


def _misfit() -> object:
    raise _Misfit


def _in_words(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_in_words(part) for part in get_args(hint) if part is not type(None))
    if origin is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if origin is tuple:
        return f"an array of {_in_words(get_args(hint)[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a table"
    return WORDS.get(hint, str(hint))


def shown(value: object) -> str:
    """A value in the words of the file, as far as fits on a line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean_label(repr(value))
