"""Which part of the data is read: one rule for every source."""

import re
from collections.abc import Collection, Mapping

from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.progress import say

# Names of one split. Validation and test are different splits: neither is ever read for the other.
SYNONYMS = (
    ("train", "training", "trn"),
    ("val", "valid", "validation", "eval", "evaluation", "dev"),
    ("test", "testing"),
)
WHOLE = "all"
MOST_LISTED = 12
_MEANING = {f"{name}{end}": names[0] for names in SYNONYMS for name in names for end in ("", "set")}


def meaning_of(name: str) -> str | None:
    """`train`, `val` or `test` for any name of it, in any case; None for other names.

    Example:
        >>> meaning_of("Validation"), meaning_of("trainset"), meaning_of("extra")
        ('val', 'train', None)
    """
    return _MEANING.get(name.casefold())


def split_in(name: str) -> str | None:
    """The one split that is a word in a longer name; None where there is none, or several.

    Example:
        >>> split_in("imagenet1k-validation-00"), split_in("seg_train"), split_in("test-train"), split_in("cats")
        ('validation', 'train', None, None)
    """
    words = [word for word in re.split(r"[\W\d_]+", name) if meaning_of(word)]
    return words[0] if len({meaning_of(word) for word in words}) == 1 else None


def splits_among(folders: Mapping[str, bool]) -> tuple[str, ...]:
    """Those of some folders that are splits, not classes; each with whether there are folders in it, of classes.

    All of them where all are called as splits are; among others only those that are, and have folders in them.

    Example:
        >>> splits_among({"train": True, "val": True, "notes": False}), splits_among({"train": False, "plane": False})
        (('train', 'val'), ())
        >>> splits_among({"seg_train": True, "seg_test": True})
        ('seg_train', 'seg_test')
    """
    called = {name for name in folders if meaning_of(name)}
    if folders and called == set(folders):
        return tuple(folders)
    if folders and all(deep and split_in(name) for name, deep in folders.items()):
        return tuple(folders)
    return tuple(name for name in folders if name in called and folders[name])


def require_unlike(inner: Mapping[str, Collection[str]], asked: str | None, place: str) -> None:
    """Raise InputError where folders look like splits by names of their own: each holds the same folders, of classes.

    inner: the folders in each; none of one that has images beside them. `--split all` says that they are classes.
    """
    first = next(iter(inner.values()), ())
    if (
        asked == WHOLE
        or len(inner) < 2
        or len(first) < 2
        or any(set(one) != set(first) for one in inner.values())
    ):
        return
    require_one_class(first, f"{place}/{clean_label(next(iter(inner)))}")
    folders, classes = (
        ", ".join(clean_label(name) for name in sorted(names)[:3]) for names in (inner, first)
    )
    raise InputError(
        f"the folders of {place} ({folders}) hold the same folders each ({classes}), as splits do; name the one to "
        f"read with --split, or say --split {WHOLE} where they are classes"
    )


def require_one_class(inner: Collection[str], place: str) -> None:
    """Raise InputError where the folders in the folder of a class are splits: which is read would not be known."""
    if len({meaning for name in inner if (meaning := meaning_of(name))}) > 1:
        raise InputError(
            f"the folder {place} has splits in it ({clean_label(', '.join(sorted(inner)))}), not images of one class; "
            "expected a folder for each split with the classes in it: name the one to read with --data"
        )


def chosen_split(asked: str | None, present: Collection[str], place: str) -> str:
    """The split that is meant by what is asked for: by its name, else by its name in another case, else by a synonym.

    What is read under another name than was asked for is said. Raises InputError where none is meant, or several.
    """
    shown = ", ".join(clean_label(name) for name in list(present)[:MOST_LISTED])
    shown += f" and {len(present) - MOST_LISTED} more" if len(present) > MOST_LISTED else ""
    if asked in present:
        return str(asked)
    found = _meant(asked, present)
    if len(found) != 1:
        other = (
            "" if asked is None else f", {'several of them' if found else 'none of them'} meant by {asked!r}"
        )
        raise InputError(f"{place} has the splits {shown}{other}; name one of them with --split")
    say(f"note: reading the split {clean_label(found[0])} of {place}" + (f" for {asked}" if asked else ""))
    return found[0]


def only_split(asked: str | None, stated: str | None, place: str) -> str:
    """What to record for data that are one split: what they are called, else `all`.

    Raises InputError where another split than theirs is asked for.
    """
    if stated is not None:
        return stated if asked is None else chosen_split(asked, (stated,), place)
    if asked not in (None, WHOLE):
        say(f"note: {place} has no splits; all of it is read, and called {WHOLE}, not {asked}")
    return WHOLE


def _meant(asked: str | None, present: Collection[str]) -> list[str]:
    if asked is None:
        return list(present) if len(present) == 1 else []
    same = [name for name in present if name.casefold() == asked.casefold()]
    meaning = meaning_of(asked)
    return same or [
        name for name in present if meaning is not None and meaning_of(split_in(name) or name) == meaning
    ]
