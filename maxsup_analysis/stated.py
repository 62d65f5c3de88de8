"""What a file says is data: it chooses among what is known here, and names nothing else."""

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label

T = TypeVar("T")
E = TypeVar("E")
# Longest text of one value in a sentence, and most entries of a list or a mapping in it.
SHOWN_LENGTH, SHOWN_ENTRIES = 120, 8
# Whole numbers above this are shown by their number of digits; they are sizes of nothing.
SHOWN_NUMBER = 1 << 64


@dataclass(frozen=True, repr=False)
class Stated(Generic[T]):
    """A value that stands in a file, and where.

    It is no text, no number and no path: what imports, opens, builds or formats cannot take it. As text it is clean and
    bounded. What it means is one of the entries of a closed table, or a number within bounds; anything else is an
    InputError.

    file: the name of the file; place: where in it.

    Example:
        >>> said = Stated({"name": "os:system", "depth": 3}, "ce.pt")
        >>> said.item("depth").whole(1, 100)
        3
        >>> said.item("name").among({"resnet18": 1}, "name it with --model")
        Traceback (most recent call last):
        maxsup_analysis.errors.InputError: ce.pt: name is 'os:system', which a file may not choose; name it with --model
    """

    _said: T
    file: str
    place: str = ""

    def __str__(self) -> str:
        return shown(self._said)

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    @property
    def where(self) -> str:
        """The file and the place in it, clean."""
        return clean_label(f"{self.file}: {self.place}" if self.place else self.file, SHOWN_LENGTH)

    @property
    def label(self) -> str:
        """The text as it is shown alone: clean, bounded, without quotes."""
        return clean_label(self._said, SHOWN_LENGTH) if isinstance(self._said, str) else str(self)

    @property
    def is_text(self) -> bool:
        """Whether it is text."""
        return isinstance(self._said, str)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self._said, list | tuple)

    @property
    def is_nothing(self) -> bool:
        """Whether it is null, None or False."""
        return self._said is None or self._said is False

    def item(self, *path: str) -> "Stated[object] | None":
        """The entry at the end of a path of names; None where there is none, or null."""
        found: object = self._said
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return None if found is None else self._below(found, ".".join(path))

    def entries(self) -> "Iterator[tuple[Stated[str], Stated[object]]]":
        """Names and entries of a mapping; nothing of anything else."""
        for name, entry in self._said.items() if isinstance(self._said, Mapping) else ():
            named = name if isinstance(name, str) else str(name)
            yield self._below(named, self.place), self._below(entry, clean_label(str(name)))

    def parts(self, most: int) -> "tuple[Stated[object], ...]":
        """The parts of a list; InputError where it is none, or has more than `most` of them."""
        if not isinstance(self._said, list | tuple) or len(self._said) > most:
            raise self.refused(f"expected a list of up to {most:,} parts")
        return tuple(self._below(part, str(number)) for number, part in enumerate(self._said))

    def among(self, table: Mapping[str, E], advice: str) -> E:
        """The table's own entry of that name; InputError with the advice where it has none."""
        if not isinstance(self._said, str) or self._said not in table:
            raise self.refused(f"which a file may not choose; {advice}")
        return table[self._said]

    def is_among(self, table: Mapping[str, object]) -> bool:
        """Whether the table has an entry of that name."""
        return isinstance(self._said, str) and self._said in table

    def word(self, words: Iterable[str], advice: str) -> str:
        """One of these words; InputError with the advice where it is none of them."""
        return self.among({one: one for one in words}, advice)

    def is_equal_to(self, value: object) -> bool:
        """Whether it says this, lists and tuples being alike."""
        return _listed(self._said) == _listed(value)

    def whole(self, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        if type(self._said) is not int or not least <= self._said <= most:
            raise self.refused(f"expected a whole number from {least:,} to {most:,}")
        return self._said

    def real(self, least: float, most: float) -> float:
        """A number from `least` to `most`."""
        if type(self._said) not in (int, float) or not least <= self._said <= most:  # type: ignore[operator]
            raise self.refused(f"expected a number from {least:g} to {most:g}")
        return float(self._said)  # type: ignore[arg-type]

    def flag(self) -> bool:
        """True or False."""
        if not isinstance(self._said, bool):
            raise self.refused("expected true or false")
        return self._said

    def refused(self, why: str) -> InputError:
        """What to raise: where, what it says, why not."""
        return InputError(f"{self.where} is {self}, {why}")

    def typed(self, flag: str, instead: str) -> str:
        """The flag with which the user says the same; with another word where it cannot be typed as it is."""
        text = self._said if isinstance(self._said, str) else ""
        fit = bool(text) and clean_label(text, SHOWN_LENGTH) == text and not text.startswith("-")
        return f"{flag} {shlex.quote(text) if fit else instead}"

    def _below(self, entry: E, name: str) -> "Stated[E]":
        return Stated(entry, self.file, f"{self.place}.{name}" if self.place and name else name or self.place)


def _listed(value: object) -> object:
    return [_listed(part) for part in value] if isinstance(value, list | tuple) else value


def shown(value: object, limit: int = SHOWN_LENGTH) -> str:
    """A value from a file in a sentence: on one line, without characters that hide or reorder, bounded.

    Example:
        >>> shown(["a" + chr(27), 10**40, {"k": None}])
        "['a\ufffd', a number of 41 digits, {k: None}]"
    """
    return clean_label(_words(value, limit), limit)


def _words(value: object, limit: int) -> str:
    if isinstance(value, str):
        return f"'{clean_label(value, limit)}'"
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return str(value) if abs(value) < SHOWN_NUMBER else f"a number of {_digits(value):,} digits"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        pairs = [f"{clean_label(str(name))}: {_words(entry, limit)}" for name, entry in _first(value.items())]
        return "{" + ", ".join(pairs + ["…"] * (len(value) > SHOWN_ENTRIES)) + "}"
    if isinstance(value, list | tuple):
        parts = [_words(part, limit) for part in _first(value)]
        return "[" + ", ".join(parts + ["…"] * (len(value) > SHOWN_ENTRIES)) + "]"
    return f"a {type(value).__name__}"


def _first(values: "Mapping | list | tuple | object") -> Iterator:
    return (value for value, _ in zip(values, range(SHOWN_ENTRIES), strict=False))  # type: ignore[call-overload]


def _digits(value: int) -> int:
    """Of a number that Python may refuse to write out; one more or less where it is near a power of ten."""
    return 1 + math.floor(abs(value).bit_length() * math.log10(2))


def presentable(value: object, limit: int = SHOWN_LENGTH) -> object:
    """A value from a file as JSON may have it: text clean and bounded, without NaN and infinity.

    Example:
        >>> presentable({"loss": "ce", "alpha": float("nan"), "sizes": (1, 2)})
        {'loss': 'ce', 'alpha': 'nan', 'sizes': [1, 2]}
    """
    if isinstance(value, str):
        return clean_label(value, limit)
    if isinstance(value, Mapping):
        return {clean_label(str(name)): presentable(entry, limit) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [presentable(part, limit) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < SHOWN_NUMBER):
        return value
    return shown(value, limit)
