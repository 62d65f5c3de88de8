"""Names and shapes as trees whose equal branches are stored once: small on disk, quick to compare.

A table of nodes is a list in which branches come after what they hold. A leaf is a shape as text,
`"64,3,7,7"`; a branch maps names to positions in the list, and neighbours with the same content share
one entry: `"0-11"` are twelve equal blocks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

Shape = tuple[int, ...]
Node = str | dict[str, int]
# A branch holds branches and shapes; the checker of tests cannot follow an alias that names itself.
Branch = dict[str, Any]


@dataclass(frozen=True)
class Overlap:
    """How much two sets of named shapes share: equal name and shape, and equal name whatever the shape."""

    pairs: int
    names: int

    def __add__(self, other: "Overlap") -> "Overlap":
        return Overlap(self.pairs + other.pairs, self.names + other.names)


NOTHING = Overlap(0, 0)


def nested(shapes: Mapping[str, Shape]) -> Branch:
    """The names, split at their dots.

    Example:
        >>> nested({"fc.weight": (10, 4), "fc.bias": (10,)})
        {'fc': {'weight': (10, 4), 'bias': (10,)}}
    """
    root: Branch = {}
    for name, shape in shapes.items():
        *path, last = name.split(".")
        branch: Branch = root
        for part in path:
            child: Any = branch.setdefault(part, {})
            # A name that is both a tensor and a module holds its tensor under the empty name.
            if isinstance(child, tuple):
                branch[part] = child = {"": child}
            branch = child
        if isinstance(held := branch.get(last), dict):
            held[""] = tuple(shape)
        else:
            branch[last] = tuple(shape)
    return root


class TreeTable:
    """The nodes of many trees, equal ones once; it holds the list that is being filled."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._position: dict[object, int] = {}

    def add(self, tree: Branch | Shape) -> int:
        """The position of a tree, which is entered if it is new."""
        if isinstance(tree, tuple):
            node: Node = ",".join(map(str, tree))
        else:
            node = _merged({name: self.add(child) for name, child in tree.items()})
        key = node if isinstance(node, str) else tuple(sorted(node.items()))
        if key not in self._position:
            self._position[key] = len(self.nodes)
            self.nodes.append(node)
        return self._position[key]


def _merged(children: Mapping[str, int]) -> dict[str, int]:
    """Children, with runs of numbers that hold the same thing as one entry `first-last`."""
    numbers = sorted(int(name) for name in children if name.isdecimal() and name == str(int(name)))
    merged = {
        name: child
        for name, child in sorted(children.items())
        if not name.isdecimal() or int(name) not in numbers
    }
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1 and children[str(number)] == children[str(runs[-1][1])]:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    for first, last in runs:
        merged[str(first) if first == last else f"{first}-{last}"] = children[str(first)]
    return merged


@cache
def expanded(key: str) -> tuple[str, ...]:
    """The names that an entry of a branch stands for.

    Example:
        >>> expanded("0-2"), expanded("conv-1")
        (('0', '1', '2'), ('conv-1',))
    """
    first, dash, last = key.partition("-")
    if dash and first.isdecimal() and last.isdecimal():
        return tuple(str(number) for number in range(int(first), int(last) + 1))
    return (key,)


def leaves(nodes: list[Node], position: int, prefix: str = "") -> Iterator[tuple[str, Shape]]:
    """Every name and shape of a stored tree."""
    node = nodes[position]
    if isinstance(node, str):
        yield prefix.rstrip("."), tuple(int(size) for size in node.split(",") if size)
        return
    for key, child in node.items():
        for name in expanded(key):
            yield from leaves(nodes, child, f"{prefix}{name}.")


def sizes(nodes: list[Node]) -> list[int]:
    """The number of leaves below each node."""
    counts: list[int] = []
    for node in nodes:
        counts.append(
            1
            if isinstance(node, str)
            else sum(counts[child] * len(expanded(key)) for key, child in node.items())
        )
    return counts


class Comparison:
    """One tree against stored ones; it holds what was compared, for stored trees share branches."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._known: dict[tuple[int, int], Overlap] = {}

    def overlap(self, tree: Branch | Shape, position: int) -> Overlap:
        """What the tree shares with the stored one."""
        key = (id(tree), position)
        if key not in self._known:
            self._known[key] = self._compared(tree, self._nodes[position])
        return self._known[key]

    def _compared(self, tree: Branch | Shape, node: Node) -> Overlap:
        if isinstance(tree, tuple) or isinstance(node, str):
            both = isinstance(tree, tuple) and isinstance(node, str)
            return Overlap(int(both and ",".join(map(str, tree)) == node), 1) if both else NOTHING
        total = NOTHING
        for key, child in node.items():
            for name in expanded(key):
                if name in tree:
                    total += self.overlap(tree[name], child)
        return total
