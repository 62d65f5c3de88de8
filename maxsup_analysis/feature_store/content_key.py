"""What the rows of a feature store depend on: the same key means the same rows, and a difference has a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from maxsup_analysis.feature_store.seals import digest

SHOWN = 60


@dataclass(frozen=True)
class ContentKey:
    """Every ingredient of the rows by name: plain JSON values, or digests of what is too large to show."""

    ingredients: Mapping[str, object]

    @cached_property
    def sha256(self) -> str:
        """Digest of all of them."""
        return digest(dict(self.ingredients))

    def changes_from(self, other: "ContentKey") -> str:
        """What differs from another key, in words.

        Example:
            >>> before = ContentKey({"resize": 232, "weights": "ab" * 32})
            >>> ContentKey({"resize": 256, "weights": "cd" * 32}).changes_from(before)
            'resize (232, now 256), weights'
        """
        mine, theirs = self.ingredients, other.ingredients
        names = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
        return ", ".join(_change(name, theirs.get(name), mine.get(name)) for name in names) or "nothing"


def _change(name: str, before: object, now: object) -> str:
    shown = f"{_short(before)}, now {_short(now)}"
    if _is_digest(before) or _is_digest(now) or len(shown) > SHOWN:
        return name
    return f"{name} ({shown})"


def _short(value: object) -> str:
    if value is None:
        return "none"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")
