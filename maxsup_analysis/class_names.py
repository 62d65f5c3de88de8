"""What the classes are called, in the order of the outputs: whatever a file says of it, checked."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from maxsup_analysis.containers import Node, Object, StoredTensor
from maxsup_analysis.containers.contents import entries_of

# Names of entries that number the classes. Those of lists are in the order of the outputs.
BY_NAME = (
    "class_to_idx",
    "label2id",
    "class_to_index",
    "label_to_idx",
    "label_to_id",
    "class2idx",
    "name_to_idx",
)
BY_NUMBER = (
    "id2label",
    "idx_to_class",
    "index_to_class",
    "idx2label",
    "idx2class",
    "idx_to_label",
    "id_to_label",
)
LISTS = (
    "classes", "class_names", "label_names", "CLASSES", "vocab", "labels", "categories", "classnames", "names",
    "label_list",
)  # fmt: skip
# Other names of the same: words of these alone, the thing and its number or its form.
OTHER_KEYS = re.compile(
    r"(classes|class|cls|labels?|cat(egory|egories)?|targets?)(_?(to|2|of))?"
    r"_?(idx|index|ids?|int|num|numbers?|names?|cat(egory)?|class|labels?|map(ping)?|dict|list|lookup|encoding|order)"
    r"|(idx|index|ids?|int|num|number|names?)_?(to|2|of)_?(idx|index|ids?|int|num|number|names?|cat(egory)?|target)"
)
# Text of one name; as many classes as any published classifier has; how deep names are looked for.
MOST_TEXT, MOST_CLASSES, MOST_LEVELS = 500, 100_000, 6
# Groups in which `labels` or `names` are those of classes, not of anything else.
UNNAMED = "LABEL_"


@dataclass(frozen=True)
class ClassNames:
    """The names in the order of the outputs, and where they stand; remarks on what is not used."""

    names: tuple[str, ...] | None = None
    place: str = ""
    remarks: tuple[str, ...] = ()


def class_names(places: Mapping[str, Node]) -> ClassNames:
    """The names of the classes that any of some places gives, the first first.

    Numbers have to be 0 to K - 1, each once, and names different. Places that contradict each other are not used.
    """
    found: dict[str, tuple[str, ...]] = {}
    remarks: list[str] = []
    for place, key, entry in _entries(places):
        names, why = _ordered(key, entry)
        if names and not all(name.startswith(UNNAMED) for name in names):
            found[place] = names
        elif why:
            remarks.append(f"it numbers its classes in {place}, but {why}; that is not used")
    different = list(dict.fromkeys(found.values()))
    if len(different) > 1:
        said = ", ".join(list(found)[:4])
        remark = f"it names its classes in {said}, differently; none of them is used: give --class-map FILE"
        return ClassNames(None, "", (*remarks, remark))
    place = next(iter(found), "")
    return ClassNames(found.get(place), place, tuple(remarks))


def _entries(places: Mapping[str, Node]) -> Iterator[tuple[str, str, Node]]:
    """Everything called like names of classes, with its place."""
    for place, node in places.items():
        yield from _below(node, place, 0)


def _below(node: Node, place: str, level: int) -> Iterator[tuple[str, str, Node]]:
    if not isinstance(node, Mapping | Object) or level > MOST_LEVELS:
        return
    entries = entries_of(node)
    for name, entry in entries.items():
        inner = f"{place}.{name}" if place else name
        if numbers_classes(name, entry):
            yield inner, name, entry
        elif not isinstance(entry, StoredTensor):
            yield from _below(entry, inner, level + 1)


def numbers_classes(name: str, entry: Node) -> bool:
    """Whether an entry is called as what numbers classes, and is a list or a table.

    Example:
        >>> numbers_classes("class_to_idx", {"ant": 0}), numbers_classes("label_map", {"ant": 0})
        (True, True)
        >>> numbers_classes("class_weights", (1.0, 2.0)), numbers_classes("classes", "ant, bee")
        (False, False)
    """
    called = name in (*BY_NAME, *BY_NUMBER, *LISTS) or OTHER_KEYS.fullmatch(name.lower()) is not None
    return called and _is_list_or_table(entry)


def _is_list_or_table(node: Node) -> bool:
    if isinstance(node, Object):
        return bool(_items(node))
    return isinstance(node, Mapping | tuple) and len(node) > 0


def _items(node: Node) -> Node:
    """What a list or a mapping of a class of its own holds: fastai's L and CategoryMap, OmegaConf's ListConfig."""
    if not isinstance(node, Object):
        return node
    held = node.attributes.get("items", ())
    return held or {name: entry for name, entry in node.attributes.items() if name != "items"}


def _ordered(key: str, entry: Node) -> tuple[tuple[str, ...] | None, str]:
    """The names by their numbers, or why there are none."""
    entry = _items(entry)
    if isinstance(entry, tuple):
        return _of_list(entry, key)
    if not isinstance(entry, Mapping):
        return None, ""
    pairs = [(name, value) for name, value in entry.items()]
    if all(_number(value) is not None for _, value in pairs) and key not in BY_NUMBER:
        numbered = [(_number(value), name) for name, value in pairs]
    elif all(_number(name) is not None for name, _ in pairs):
        numbered = [(_number(name), value if isinstance(value, str) else "") for name, value in pairs]
    else:
        return None, "not with whole numbers" if key in (*BY_NAME, *BY_NUMBER) else ""
    numbers = [number for number, _ in numbered]
    if sorted(number for number in numbers if number is not None) != list(range(len(pairs))):
        return None, f"not from 0 to {len(pairs) - 1}, each number once"
    return _checked(tuple(name for _, name in sorted(numbered)))


def _of_list(entry: tuple[Node, ...], key: str) -> tuple[tuple[str, ...] | None, str]:
    if not all(isinstance(name, str) for name in entry):
        return None, ""
    return _checked(tuple(str(name) for name in entry))


def _checked(names: tuple[str, ...]) -> tuple[tuple[str, ...] | None, str]:
    if len(names) > MOST_CLASSES or any(len(name) > MOST_TEXT for name in names):
        return None, f"more than {MOST_CLASSES:,} of them, or with names of more than {MOST_TEXT} letters"
    if "" in names:
        return None, "some without a name"
    return (names, "") if len(set(names)) == len(names) else (None, "two of them with the same name")


def _number(value: Node) -> int | None:
    """A whole number, or its digits."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else None
