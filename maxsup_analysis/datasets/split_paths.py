"""Splits among the paths of an archive or of a map."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from maxsup_analysis.datasets.left_out import LeftOut
from maxsup_analysis.datasets.splits import chosen_split, meaning_of, only_split, require_unlike, splits_among


@dataclass(frozen=True)
class SplitPaths:
    """What a split is called, and which of the paths are in it."""

    name: str
    numbers: Sequence[int]


def split_of_paths(
    paths: Sequence[str], asked: str | None, place: str, stated: str | None = None
) -> SplitPaths:
    """The paths of a split, where folders that paths begin with are splits; else all of them.

    stated: what the archive itself is called, where that is a split.
    """
    parts = [PurePosixPath(path).parts[:-1] for path in paths]
    depth = shared(parts)
    above = [name for name in (parts[0][:depth] if parts else ()) if meaning_of(name)]
    inner = _inner(parts, depth)
    deeper = {name: bool(folders) for name, folders in inner.items()}
    present = splits_among(deeper)
    if asked in deeper and asked not in present and (present or deeper[str(asked)]):
        present = (*present, str(asked))
    if present:
        inside = {(split,) for split in present}
        name, beside = chosen_split(asked, present, place), LeftOut(place, "in no folder of a split")
        for path, one in zip(paths, parts, strict=True):
            if one[depth:][:1] not in inside:
                beside.add(path)
        beside.say()
        return SplitPaths(name, [number for number, one in enumerate(parts) if one[depth:][:1] == (name,)])
    require_unlike(inner, asked, place)
    return SplitPaths(only_split(asked, above[-1] if above else stated, place), range(len(paths)))


def _inner(parts: Sequence[tuple[str, ...]], depth: int) -> dict[str, set[str]]:
    """The folders in each folder at a depth."""
    found: dict[str, set[str]] = {}
    for one in parts:
        if len(one) > depth:
            found.setdefault(one[depth], set()).update(one[depth + 1 : depth + 2])
    return found


def shared(parts: Sequence[tuple[str, ...]]) -> int:
    """How many folders all paths begin with."""
    if not parts:
        return 0
    first, last = min(parts), max(parts)
    same = [one == other for one, other in zip(first, last, strict=False)]
    return same.index(False) if False in same else len(same)
