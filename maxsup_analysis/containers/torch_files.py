"""What torch writes: zip checkpoints, TorchScript and exported programs, the stream of torch before 1.6, pickles."""

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace

from maxsup_analysis.containers.archive import Member, contents_of, only
from maxsup_analysis.containers.arrays import plain_json
from maxsup_analysis.containers.contents import (
    ITEM_SIZES,
    Contents,
    Node,
    Object,
    Record,
    StoredTensor,
    tensors_in,
)
from maxsup_analysis.containers.files import Window
from maxsup_analysis.containers.objects import Interpreter, Storage
from maxsup_analysis.containers.pickles import Call, Name, Reference, Span, read_pickle
from maxsup_analysis.containers.tensors import dtype_name, within_bounds
from maxsup_analysis.errors import InputError

PICKLE_LIMIT = 1 << 28
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# torch's ScalarType numbers, as exported programs write them.
EXPORTED_DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn",
    30: "float8_e5m2",
}  # fmt: skip


def read_torch_zip(window: Window, members: Mapping[str, Member], file: str = "") -> Contents:
    """A checkpoint of torch.save, or a TorchScript archive, whose code is left alone."""
    pickle = only(members, "data.pkl")
    if pickle is None:
        raise InputError("it has no data.pkl beside its records")
    if pickle.stored != pickle.size:
        raise InputError("its data.pkl is compressed, which torch never does")
    base = pickle.name.removesuffix("data.pkl")
    order = members.get(base + "byteorder")
    big_endian = order is not None and contents_of(window, order, limit=16) == b"big"
    records = {name: member.record(file, window.start) for name, member in members.items()}

    def storage(reference: object) -> Storage:
        dtype, key, _ = _storage_id(reference)
        for name in (f"{base}data/{key}", f"{base}{key}"):
            if name in members:
                if members[name].method:
                    raise InputError(f"its record {name[:80]!r} is compressed, which torch never does")
                _require_length(reference, members[name].size, dtype)
                return Storage(records[name], dtype)
        raise InputError(f"the bytes of its tensor {key[:40]!r} are missing; fetch or save it again")

    def where(span: Span) -> Record:
        return Record(file, window.start + pickle.offset + span.position, len(span))

    data = contents_of(window, pickle, limit=PICKLE_LIMIT)
    reader = Interpreter(storage, where)
    tree = reader.node(read_pickle(io.BytesIO(data)))
    script = only(members, "constants.pkl") is not None
    if script:
        tree = _script_state(tree)
    unchecked = sum(record.crc is None and record.size > 0 for record in records.values())
    warnings = (f"{unchecked} of its records have no checksum",) if unchecked else ()
    kind = "TorchScript archive" if script else "torch zip"
    tree = _swapped(tree) if big_endian else tree
    return Contents(kind, tree, tuple(records.values()), tuple(reader.foreign), warnings)


def _require_length(reference: object, size: int, dtype: str) -> None:
    count = reference[4] if isinstance(reference, tuple) and len(reference) > 4 else None
    if not isinstance(count, int) or count < 0 or count * ITEM_SIZES[dtype] > size:
        raise InputError(f"one of its storages claims {count!s:.30} elements but has {size:,} bytes")


def _swapped(node: Node) -> Node:
    """The same with big-endian tensors."""
    if isinstance(node, StoredTensor):
        return replace(node, big_endian=True)
    if isinstance(node, Object):
        return replace(node, attributes={name: _swapped(entry) for name, entry in node.attributes.items()})
    if isinstance(node, Mapping):
        return {name: _swapped(entry) for name, entry in node.items()}
    return tuple(_swapped(entry) for entry in node) if isinstance(node, tuple) else node


def _script_state(node: Node) -> Node:
    """The state dict of a scripted module: the tensors among its attributes, here and below."""
    if isinstance(node, Object):
        return {name: tensor for name, tensor in tensors_in(Object(node.name, node.attributes))}
    return node


def _storage_id(reference: object) -> tuple[str, str, object]:
    """Type, key and count of ("storage", type, key, device, count, ...); InputError for any other id."""
    match reference:
        case ("storage", Name() as kind, str() | int() as key, str(), int() as count, *_) if count >= 0:
            key = str(key)
            if key.isalnum() and key.isascii():
                return dtype_name(kind), key, count
    raise InputError("one of its tensors refers to bytes in a way that torch never writes")


def read_exported(window: Window, members: Mapping[str, Member]) -> Contents:
    """The raw weights of an exported program (.pt2); the program and anything pickled are left alone."""
    config = next(name for name in members if name.endswith("data/weights/model_weights_config.json"))
    folder = config.removesuffix("model_weights_config.json")
    described = plain_json(contents_of(window, members[config], limit=PICKLE_LIMIT))
    tree: dict[str, Node] = {}
    for name, about in _table(_table(described).get("config")).items():
        tree[name] = _exported(name, _table(about), folder, members, window)
    records = tuple(member.record("", window.start) for member in members.values())
    return Contents("exported program (.pt2)", tree, records)


def _exported(
    name: str, about: Mapping, folder: str, members: Mapping[str, Member], window: Window
) -> StoredTensor:
    member, meta = members.get(folder + str(about.get("path_name"))), about.get("tensor_meta")
    code = meta.get("dtype") if isinstance(meta, Mapping) else None
    dtype = EXPORTED_DTYPES.get(code) if isinstance(code, int) else None
    if about.get("use_pickle") is False and isinstance(meta, Mapping) and dtype and member:
        shape, stride = _integers(meta.get("sizes")), _integers(meta.get("strides"))
        (start,) = _integers([meta.get("storage_offset")])
        record = member.record("", window.start)
        return within_bounds(StoredTensor(dtype, shape, stride, record, start * ITEM_SIZES[dtype]))
    if about.get("use_pickle"):
        raise InputError(
            f"its weight {name[:80]!r} is a pickle inside of a program; save the state dict instead"
        )
    raise InputError(f"its weight {name[:80]!r} is described in a way that is not known here")


def _integers(values: object) -> tuple[int, ...]:
    """Sizes as an exported program writes them; those that depend on the input are none."""
    numbers = [_table(value).get("as_int") for value in values] if isinstance(values, list) else [None]
    if not all(type(number) is int and 0 <= number < 1 << 60 for number in numbers):
        raise InputError("one of its weights has a size that is no number")
    return tuple(number for number in numbers if number is not None)


def _table(value: object) -> Mapping:
    if not isinstance(value, Mapping):
        raise InputError("its description of weights is damaged")
    return value


def read_pickled(window: Window, file: str = "") -> Contents:
    """A bare pickle (whose arrays lie inside of it), or the stream that torch wrote before 1.6."""
    first = read_pickle(window)
    if first == LEGACY_MAGIC:
        return _read_stream(window, file)

    def storage(reference: object) -> Storage:
        raise InputError("its tensors' bytes are not in it; it is a part of another file")

    reader = Interpreter(storage, lambda span: Record(file, window.start + span.position, len(span)))
    tree = reader.node(first)
    if isinstance(tree, str | int | float | None):
        raise InputError("it holds a single value and no weights; name the checkpoint")
    return Contents("pickle", tree, (), tuple(reader.foreign), ("a pickle has no checksums",))


def _read_stream(window: Window, file: str) -> Contents:
    protocol, _system = read_pickle(window), read_pickle(window)
    if protocol != 1001:
        raise InputError(f"it is a torch stream of protocol {protocol!s:.20}, expected 1001")
    offsets: list[int] = []

    def begin(span: Span) -> Record:
        return Record(file, window.start + offsets[0] + span.position, len(span))

    offsets.append(window.tell())
    root = read_pickle(window)
    sizes = _stream_types(root)
    keys = read_pickle(window)
    records = _stream_records(window, keys, sizes, file)

    def storage(reference: object) -> Storage:
        if not isinstance(reference, tuple) or len(reference) < 3 or str(reference[2]) not in records:
            raise InputError("the bytes of one of its tensors are missing; fetch or save it again")
        whole, dtype = records[str(reference[2])], _storage_id(reference)[0]
        view = reference[5] if len(reference) > 5 else None
        if view is None:
            return Storage(whole, dtype)
        match view:
            case (_, int() as start, int() as count) if start >= 0 and count >= 0:
                width = ITEM_SIZES[dtype]
                if (start + count) * width <= whole.size:
                    return Storage(Record(file, whole.offset + start * width, count * width), dtype)
        raise InputError("a view of one of its storages reaches outside of it")

    reader = Interpreter(storage, begin)
    tree = reader.node(_without_sources(root))
    return Contents(
        "torch stream (before 1.6)", tree, (), tuple(reader.foreign), ("a torch stream has no checksums",)
    )


def _values_below(root: object) -> Iterator[object]:
    """Every composite value of a pickle, once, however it is nested or tied in a circle."""
    waiting, seen = [root], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, str | int | float | bytes | None) or id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, Reference):
            waiting.append(value.id)
        elif isinstance(value, Call):
            waiting.extend((value.name, value.arguments, value.state, *value.items))
            waiting.extend(part for entry in value.entries for part in entry)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set):
            waiting.extend(value)


def _stream_types(root: object) -> dict[str, str]:
    """The type of every storage that the pickle refers to, by key; found in its persistent ids."""
    types: dict[str, str] = {}
    for value in _values_below(root):
        if isinstance(value, Reference) and isinstance(value.id, tuple) and value.id[:1] == ("storage",):
            dtype, key, _ = _storage_id(value.id)
            types[key] = dtype
    return types


def _stream_records(window: Window, keys: object, types: Mapping[str, str], file: str) -> dict[str, Record]:
    """Where each storage lies behind the pickles: its count, then its bytes."""
    if not isinstance(keys, list):
        raise InputError("the list of its storages is damaged")
    place, records = window.tell(), {}
    for key in keys:
        count = struct.unpack("<q", window.at(place, 8))[0]
        dtype = types.get(str(key))
        if dtype is None or count < 0:
            raise InputError("the list of its storages does not fit its pickle")
        size = count * ITEM_SIZES[dtype]
        if place + 8 + size > window.size:
            raise InputError(
                f"it is cut off: {size:,} bytes of weights expected at {place:,}; fetch it again"
            )
        records[str(key)] = Record(file, window.start + place + 8, size)
        place += 8 + size
    if place != window.size:
        raise InputError(f"it has {window.size - place:,} bytes behind its last storage; fetch it again")
    return records


def _without_sources(root: object) -> object:
    """Whole modules of old torch name their class through ("module", class, path, source): the class is enough."""
    for value in _values_below(root):
        if isinstance(value, Call) and isinstance(value.name, Reference):
            about = value.name.id
            value.name = about[1] if isinstance(about, tuple) and len(about) > 1 else Name("unknown")
    return root
