"""What a user's file says of the order of classes."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from maxsup_analysis.datasets import Samples
from maxsup_analysis.datasets.classes import lines_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.progress import say

NUMBER = re.compile(r"[0-9]{1,9}")
PAIR = re.compile(r"(\S.*?)[\t, ]+([0-9]+)")
MOST_DIGITS = 9


def outputs_in(file: Path, data: Samples, outputs: int) -> dict[str, int]:
    """The output of each class by its name, and of classes that the data do not have.

    One class name a line (line k is output k); or one number a line, the number of a class of the data, where no line
    is the name of one; or lines that end in the output of a class or of a file of it. Every line is used, counted on
    stderr where it names a file that the data do not have, or refused.
    """
    lines, classes = lines_of(file), set(data.class_names)
    if not lines:
        raise InputError(f"expected a class a line in {file}, got an empty file; name every class")
    if not classes <= set(lines):
        if not classes & set(lines) and all(NUMBER.fullmatch(line) for line in lines):
            return _by_number([int(line) for line in lines], data, outputs, file)
        pairs = [PAIR.fullmatch(line) for line in lines]
        if all(pairs):
            return _of_files([(pair[1], pair[2]) for pair in pairs if pair], data, outputs, file)
        lines = [_name_in(line, classes) for line in lines]
    return _by_line(lines, data, outputs, file)


def _name_in(line: str, classes: set[str]) -> str:
    """The class that a line begins with, as `n01440764 tench, Tinca tinca` does; else the line."""
    first = line.split(maxsplit=1)[0]
    return first if line not in classes and first in classes else line


def _by_line(names: Sequence[str], data: Samples, outputs: int, file: Path) -> dict[str, int]:
    missing = [name for name in data.class_names if name not in set(names)]
    if missing:
        raise missing_from(str(file), missing)
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise InputError(f"{file} has the class {clean_label(twice)!r} more than once; name every class once")
    if len(names) != outputs:
        raise InputError(
            f"expected {outputs} lines in {file}, one for each output, got {len(names)}; name every class"
        )
    return {name: k for k, name in enumerate(names)}


def _by_number(numbers: Sequence[int], data: Samples, outputs: int, file: Path) -> dict[str, int]:
    """Line k is the class, in the order of the data, that output k stands for."""
    K = len(data.class_names)
    if max(numbers) >= K or len(numbers) != outputs or len(set(numbers)) < len(numbers):
        raise InputError(f"expected {outputs} different numbers below {K} in {file}, a line each")
    return {data.class_names[label]: output for output, label in enumerate(numbers)}


def _of_files(pairs: list[tuple[str, str]], data: Samples, outputs: int, file: Path) -> dict[str, int]:
    """Outputs of classes by their names, by a folder in the path of a file of theirs, or by the name of the file."""
    owners, classes = _owners(data), set(data.class_names)
    found: dict[str, int] = {}
    unused: list[str] = []
    alone = {name for name, count in Counter(Path(path).name for path, _ in pairs).items() if count == 1}
    for path, digits in pairs:
        output = _output(digits, outputs, path, file)
        name = _owner(path, classes, owners if Path(path).name in alone else {}, file)
        if name is None and "/" in path:
            unused.append(path)
        elif found.setdefault(name or path, output) != output:
            raise InputError(
                f"{file} gives the class {clean_label(name or path)!r} different outputs; it is no map of classes"
            )
    used = {name: output for name, output in found.items() if name in classes}
    others = {name: output for name, output in found.items() if name not in classes}
    if len({*used.values(), *others.values()}) < len(found):
        # Several of one output are its files, not its name.
        unused += others
        others = {}
    if unused:
        say(
            f"note: {len(unused):,} lines of {file} name files that {data.name} does not have, such as "
            f"{clean_label(unused[0])}"
        )
    return used | others


def _output(digits: str, outputs: int, path: str, file: Path) -> int:
    if len(digits) > MOST_DIGITS or int(digits) >= outputs:
        shown = digits if len(digits) <= MOST_DIGITS else f"a number of {len(digits)} digits"
        raise InputError(f"expected outputs below {outputs} in {file}, got {shown} for {clean_label(path)}")
    return int(digits)


def _owner(path: str, classes: set[str], owners: dict[str, set[str]], file: Path) -> str | None:
    """The class of a line: its whole name, a folder in it, or that of the file of its name."""
    if path in classes:
        return path
    folders = {part for part in Path(path).parts if part in classes}
    mine = folders or owners.get(Path(path).name, set())
    if len(mine) > 1:
        raise InputError(
            f"{clean_label(path)} in {file} may be of the classes {clean_label(', '.join(sorted(mine)))}; name paths "
            "with one of them in it"
        )
    return next(iter(mine), None)


def _owners(data: Samples) -> dict[str, set[str]]:
    """The classes of each file name."""
    found: dict[str, set[str]] = {}
    for id_, label in enumerate(data.labels.tolist()):
        found.setdefault(Path(data.called(id_)).name, set()).add(data.class_names[label])
    return found


def missing_from(source: str, missing: Sequence[str]) -> InputError:
    """The refusal of an order in which classes of the data are missing."""
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    return InputError(
        f"{source} does not say which output the class {clean_label(missing[0])!r} is{more}; add it, or say the order "
        "with --class-map FILE (a class name a line)"
    )
