"""Orders of class names, and names that are the same but for their spelling."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Literal

Sorting = Literal["text", "natural"]
SORTINGS: tuple[Sorting, ...] = ("text", "natural")
# What sorts so, for a reader who has to decide.
WHO_SORTS = {
    "text": "as text, as torchvision's ImageFolder",
    "natural": "numbers as numbers, ignoring case, as timm",
}
SYNSET = re.compile(r"n[0-9]{8}")
# Share of a list of names that has to agree with ImageNet's for it to be in that order.
IMAGENET_AGREES = 0.8


def in_order(names: Iterable[str], sorting: str) -> list[str]:
    """Names in the order of their code points, or as timm has them.

    Example:
        >>> in_order(["10", "9", "Bee", "ant"], "text"), in_order(["10", "9", "Bee", "ant"], "natural")
        (['10', '9', 'Bee', 'ant'], ['9', '10', 'ant', 'Bee'])
    """
    return sorted(sorted(names), key=_natural) if sorting == "natural" else sorted(names)


def alike_in_order(names: Sequence[str]) -> tuple[str, str] | None:
    """The first two neighbours that timm's order does not tell apart: its run may have had either first.

    Example:
        >>> alike_in_order(["1", "01", "2"]), alike_in_order(["a", "b"])
        (('1', '01'), None)
    """
    pairs = pairwise(names)
    return next(((one, other) for one, other in pairs if _natural(one) == _natural(other)), None)


def matched(names: Sequence[str], outputs: Sequence[str]) -> dict[str, int]:
    """The output of each name that has one of its own: of the same name, else of one that differs in spelling only.

    Example:
        >>> matched(["Maine Coon", "pug", "eel"], ["maine_coon", "pug", "crane", "crane"])
        {'pug': 1, 'Maine Coon': 0}
    """
    exact = _unique((name, k) for k, name in enumerate(outputs))
    found = {name: exact[name] for name in names if name in exact}
    spelt, mine = (
        _unique((spelling(name), k) for k, name in enumerate(outputs)),
        _unique((spelling(name), k) for k, name in enumerate(names)),
    )
    taken = set(found.values())
    for name in names:
        place = spelt.get(spelling(name)) if spelling(name) in mine else None
        if name not in found and place is not None and place not in taken:
            found[name] = place
    return found


def spelling(name: str) -> str:
    """A name without case, spaces, `_`, `-` and other marks.

    Example:
        >>> spelling("Maine-Coon") == spelling("maine_coon")
        True
    """
    return re.sub(r"[\W_]+", "", name).casefold() or name


def are_numbers(names: Sequence[str], count: int) -> bool:
    """Whether the names are the numbers from 0, `count` of them, in whatever order."""
    if len(names) != count or not all(re.fullmatch(r"[0-9]{1,9}", name) for name in names):
        return False
    return sorted(int(name) for name in names) == list(range(count))


def are_synsets(names: Sequence[str]) -> bool:
    """Whether the names are those of ImageNet's folders."""
    return all(SYNSET.fullmatch(name) for name in names)


@cache
def imagenet_synsets() -> tuple[str, ...]:
    """ImageNet's 1,000 folder names in their usual order, that of the alphabet."""
    from timm.data.imagenet_info import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


def are_imagenets(names: Sequence[str]) -> bool:
    """Whether a list of 1,000 names is ImageNet's, in its usual order."""
    from timm.data.imagenet_info import ImageNetInfo

    if len(names) != len(imagenet_synsets()):
        return False
    info = ImageNetInfo("imagenet-1k")
    pairs = ((name, info.index_to_description(k)) for k, name in enumerate(names))
    same = sum(_first(name) == _first(description) for name, description in pairs)
    return same >= IMAGENET_AGREES * len(names)


def _first(description: str) -> str:
    return spelling(description.partition(",")[0])


def _natural(name: str) -> list[object]:
    parts = re.split(r"(\d+)", name.lower())
    return [int(part) if number % 2 else part for number, part in enumerate(parts)]


def _unique(pairs: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    """Those names that come once."""
    found: dict[str, int] = {}
    twice = set()
    for name, place in pairs:
        if found.setdefault(name, place) != place:
            twice.add(name)
    return {name: place for name, place in found.items() if name not in twice}
