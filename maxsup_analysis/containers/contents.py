"""What a container holds, as plain values: a tree of scalars, and tensors described by where their bytes lie."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# Bytes an element, by the name that torch gives the dtype.
ITEM_SIZES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1,
    "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8, "uint32": 4, "uint16": 2, "uint8": 1, "bool": 1,
    "complex64": 8, "complex128": 16, "complex32": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """A run of bytes of a file, as stored: `size` bytes from `offset`, deflated where `inflated` says to what.

    file: path relative to the checkpoint ('' where it is the checkpoint itself).
    crc: CRC-32 of the (inflated) bytes, None where the container has none.
    inline: the bytes themselves, as latin-1 text, for the few that lie nowhere in the file as they are.
    """

    file: str
    offset: int
    size: int
    crc: int | None = None
    inflated: int | None = None
    inline: str | None = None

    @property
    def length(self) -> int:
        """Bytes once inflated."""
        return self.size if self.inflated is None else self.inflated


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as described by its container; its elements start `start` bytes into the record.

    stride: in elements.
    parts: for a tensor that was saved in pieces, each with the position of its first element.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    record: Record
    start: int = 0
    big_endian: bool = False
    parts: tuple[Any, ...] = ()

    @property
    def size(self) -> int:
        """How many elements."""
        count = 1
        for length in self.shape:
            count *= length
        return count


@dataclass(frozen=True)
class Object:
    """What the file calls an instance of a class: its name and its attributes; it was never made."""

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[Any, ...] = ()


# How the name of an Object begins that stands for a tensor whose numbers are not there, or not as they are.
UNREAD_TENSOR = "tensor, not read: "

Scalar = None | bool | int | float | str
# Mappings and tuples hold nodes again, which an alias that is checked at run time cannot say.
Node = Scalar | StoredTensor | Object | Mapping[str, Any] | tuple[Any, ...]


@dataclass(frozen=True)
class Contents:
    """A container, opened.

    kind: what sort of container, in words.
    tree: nested mappings and tuples of scalars and tensors.
    records: the parts of the files that carry a checksum.
    foreign: names of the classes and functions that the file asks for and that were not imported.
    sidecars: plain JSON beside the weights, by file name.
    """

    kind: str
    tree: Node
    records: tuple[Record, ...] = ()
    foreign: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sidecars: Mapping[str, Node] = field(default_factory=dict)

    @property
    def tensors(self) -> dict[str, StoredTensor]:
        """Every tensor by its dotted place in the tree."""
        return dict(tensors_in(self.tree))

    @property
    def files(self) -> tuple[str, ...]:
        """The files that tensors or checksummed records lie in, relative to the checkpoint."""
        stored = [record.file for tensor in self.tensors.values() for record in records_of(tensor)]
        return tuple(dict.fromkeys([record.file for record in self.records] + stored))


def records_of(tensor: StoredTensor) -> tuple[Record, ...]:
    """The records that a tensor's bytes lie in."""
    return tuple(part.record for _, part in tensor.parts) or (tensor.record,)


def unread_tensor(node: Node) -> str | None:
    """What kind of tensor an Object stands for whose numbers are not read; None for everything else."""
    if isinstance(node, Object) and node.name.startswith(UNREAD_TENSOR):
        return node.name.removeprefix(UNREAD_TENSOR)
    return None


def numbers_held(tensors: Iterable[StoredTensor]) -> int:
    """How many numbers lie behind tensors, whatever their shapes: a stride of 0 makes many of one.

    Example:
        >>> numbers_held([StoredTensor("float32", (10**9, 10**9), (0, 0), Record("", 0, 4))])
        1
    """
    pieces = [(record, tensor.dtype) for tensor in tensors for record in records_of(tensor)]
    return sum(record.length // ITEM_SIZES.get(dtype, 1) for record, dtype in dict(pieces).items())


def entries_of(node: Node) -> Mapping[str, Node]:
    """What lies directly below a node, by name."""
    if isinstance(node, Mapping):
        return node
    if isinstance(node, Object):
        return node.attributes
    if isinstance(node, tuple):
        return {str(position): entry for position, entry in enumerate(node)}
    return {}


def tensors_in(node: Node, path: str = "") -> Iterator[tuple[str, StoredTensor]]:
    """Every tensor below a node, by its dotted place."""
    if isinstance(node, StoredTensor):
        yield path, node
    for name, entry in entries_of(node).items():
        yield from tensors_in(entry, f"{path}.{name}" if path else name)


def as_plain(node: Node) -> object:
    """A node as JSON that `from_plain` reads back."""
    if isinstance(node, StoredTensor):
        return ["t", _tensor_values(node)]
    if isinstance(node, Object):
        attributes = [[name, as_plain(entry)] for name, entry in node.attributes.items()]
        return ["o", node.name, attributes, [as_plain(entry) for entry in node.arguments]]
    if isinstance(node, Mapping):
        return ["d", [[name, as_plain(entry)] for name, entry in node.items()]]
    if isinstance(node, tuple):
        return ["l", [as_plain(entry) for entry in node]]
    return node


def from_plain(value: object) -> Node:
    """The node that `as_plain` wrote."""
    match value:
        case ["t", values]:
            return _tensor_of(values)
        case ["o", name, attributes, arguments]:
            named = {key: from_plain(entry) for key, entry in attributes}
            return Object(name, named, tuple(from_plain(entry) for entry in arguments))
        case ["d", entries]:
            return {name: from_plain(entry) for name, entry in entries}
        case ["l", entries]:
            return tuple(from_plain(entry) for entry in entries)
        case None | bool() | int() | float() | str():
            return value
    raise ValueError(f"not a node: {value!r:.80}")


def contents_as_plain(contents: Contents) -> dict[str, object]:
    """Contents as JSON that `contents_from_plain` reads back."""
    return {
        "kind": contents.kind,
        "tree": as_plain(contents.tree),
        "records": [_record_values(record) for record in contents.records],
        "foreign": contents.foreign,
        "warnings": contents.warnings,
        "sidecars": {name: as_plain(node) for name, node in contents.sidecars.items()},
    }


def contents_from_plain(plain: Mapping[str, object]) -> Contents:
    """The contents that `contents_as_plain` wrote."""
    values: dict[str, list] = plain  # type: ignore[assignment]
    return Contents(
        kind=str(plain["kind"]),
        tree=from_plain(plain["tree"]),
        records=tuple(Record(*record) for record in values["records"]),
        foreign=tuple(values["foreign"]),
        warnings=tuple(values["warnings"]),
        sidecars={name: from_plain(node) for name, node in dict(values["sidecars"]).items()},
    )


def _record_values(record: Record) -> list[object]:
    return [record.file, record.offset, record.size, record.crc, record.inflated, record.inline]


def _tensor_values(tensor: StoredTensor) -> list[object]:
    parts = [[list(position), _tensor_values(part)] for position, part in tensor.parts]
    place = [_record_values(tensor.record), tensor.start, tensor.big_endian, parts]
    return [tensor.dtype, list(tensor.shape), list(tensor.stride), *place]


def _tensor_of(values: list) -> StoredTensor:
    dtype, shape, stride, record, start, big_endian, parts = values
    pieces = tuple((tuple(position), _tensor_of(part)) for position, part in parts)
    return StoredTensor(dtype, tuple(shape), tuple(stride), Record(*record), start, big_endian, pieces)
