"""On which line of a TOML file a key stands. The parser of the standard library does not tell."""

import re
from collections.abc import Iterator

HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]")
KEY = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
# Parts of a place that are told apart: a study has none that is deeper.
DEEPEST = 8
PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def line_of(text: str, *path: str | int) -> int | None:
    r"""The line of a key, counted from 1, or of the nearest thing around it that has a line of its own.

    path: tables, positions in arrays of tables, and the key.

    Example:
        >>> line_of('[train]\nepochs = 3\n[[cells]]\nname = "a"', "train", "epochs")
        2
        >>> line_of('[train]\nepochs = 3\n[[cells]]\nname = "a"', "cells", 0, "alpha")
        3
    """
    lines: dict[tuple[str | int, ...], int] = {}
    for number, whole in _places(text):
        place = whole[:DEEPEST]
        for end in range(1, len(place) + 1):
            lines.setdefault(place[:end], number)
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


def _places(text: str) -> Iterator[tuple[int, tuple[str | int, ...]]]:
    table: tuple[str | int, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    for number, line in _outside_of_long_strings(text):
        if header := HEADER.match(line):
            table = _parts(header[2])
            if header[1] == "[[":
                name = tuple(map(str, table))
                counts[name] = counts.get(name, -1) + 1
                table = (*table, counts[name])
            yield number, table
        elif key := KEY.match(line):
            yield number, (*table, *_parts(key[1]))


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in PART.findall(dotted))


def _outside_of_long_strings(text: str) -> Iterator[tuple[int, str]]:
    inside: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if inside is None:
            yield number, line
        for mark in re.findall(r'"""|\'\'\'', line):
            inside = mark if inside is None else None if inside == mark else inside
