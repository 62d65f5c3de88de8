"""Fields of JSON documents that others wrote: each has the type that it should have, or the document is ill-formed."""

from collections.abc import Collection, Mapping

# Integers that every reader of JSON keeps exactly.
LARGEST = 2**53
# Tables in tables; what is deeper is no record of anything, and ends readers that go down one call a level.
DEEPEST = 32
HEXADECIMAL = frozenset("0123456789abcdef")


class IllFormed(ValueError):
    """A document says something else than its format allows; the message names the field."""


def record(
    value: object, what: str, names: Collection[str], optional: Collection[str] = ()
) -> Mapping[str, object]:
    """A table with exactly these names; the optional ones may lack."""
    if not isinstance(value, Mapping):
        raise IllFormed(f"{what} is no table")
    for name in names:
        if name not in value:
            raise IllFormed(f"{what} lacks {name}")
    if unknown := sorted(set(value) - {*names, *optional}):
        raise IllFormed(f"{what} has {unknown[0][:40]!r}, which is none of its fields")
    return value


def table(value: object, what: str) -> Mapping[str, object]:
    """A table of plain JSON values, not too deep."""
    if not isinstance(value, Mapping):
        raise IllFormed(f"{what} is no table")
    _require_shallow(value, what)
    return value


def listed(value: object, what: str) -> list[object]:
    """A list."""
    if not isinstance(value, list):
        raise IllFormed(f"{what} is no list")
    return value


def integer(value: object, what: str, least: int = 0, most: int = LARGEST) -> int:
    """An integer in a range; True is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise IllFormed(f"{what} is no integer from {least} to {most:,}")
    return value


def text(value: object, what: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise IllFormed(f"{what} is no text")
    return value


def hexadecimal(value: object, what: str, digits: int) -> str:
    """So many hexadecimal digits, in lower case."""
    found = text(value, what)
    if len(found) != digits or set(found) - HEXADECIMAL:
        raise IllFormed(f"{what} is not {digits} hexadecimal digits")
    return found


def _require_shallow(value: object, what: str) -> None:
    """Level by level, without a call for each."""
    level = [value]
    for _ in range(DEEPEST):
        level = [part for node in level for part in _parts(node)]
        if not level:
            return
    raise IllFormed(f"{what} is more than {DEEPEST} tables deep")


def _parts(node: object) -> Collection[object]:
    if isinstance(node, Mapping):
        return node.values()
    return node if isinstance(node, list) else ()
