"""A closed, ordered set of named things, filled where they are defined."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TypeVar

from maxsup_analysis.errors import InputError

T = TypeVar("T")


class Table(Mapping[str, T]):
    """Name -> thing. A miss names the nearest entry and lists them all.

    Example:
        >>> fruits = Table[int]("fruit")
        >>> fruits.add("apple", 1)
        >>> fruits["aple"]
        Traceback (most recent call last):
        maxsup_analysis.errors.InputError: no fruit is called 'aple'; did you mean 'apple'? There are: apple
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> None:
        """Enter a thing; a name is taken once."""
        if name in self._entries:
            raise ValueError(f"the {self.kind} {name!r} is defined twice")
        self._entries[name] = entry

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            near = get_close_matches(name, self._entries, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise InputError(
                f"no {self.kind} is called {name!r}{hint} There are: {', '.join(self._entries)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
