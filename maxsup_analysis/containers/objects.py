"""From what a pickle asks for to what it means: tensors, arrays, modules, and objects that stay notes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from maxsup_analysis.containers.contents import ITEM_SIZES, UNREAD_TENSOR, Node, Object, Record, StoredTensor
from maxsup_analysis.containers.numpy_values import inline_record, numpy_dtype, numpy_number
from maxsup_analysis.containers.pickles import Call, Name, Reference, Span
from maxsup_analysis.containers.tensors import (
    NAME_LIMIT,
    STORAGES,
    TENSOR_LIMIT,
    dtype_name,
    row_major,
    within_bounds,
)
from maxsup_analysis.errors import InputError

NODE_LIMIT = 250_000
DEPTH_LIMIT = 60
TEXT_LIMIT = 2_000
# Asked for by every honest checkpoint, and understood here: not worth a word.
FAMILIAR = frozenset({
    "collections.OrderedDict", "_codecs.encode", "torch.device", "torch.nn.parameter.Parameter", "torch.Tensor",
    "torch.Size", "numpy.dtype",
    "numpy.ndarray", "builtins.set", "__builtin__.set", "builtins.frozenset", "tuple",
    "torch.serialization._get_layout", "torch.storage._load_from_bytes",
})  # fmt: skip
FAMILIAR_PREFIXES = ("torch._utils._", "torch._tensor._", "torch.storage.", "__torch__.", "numpy.dtypes.")
# Functions that rebuild a tensor whose numbers do not lie in one storage -> what it is.
WEIGHTLESS = {
    "_rebuild_sparse": "sparse", "_rebuild_meta": "without contents (meta)", "_rebuild_nested": "nested",
    "_rebuild_wrapper": "of a class of its own",
}  # fmt: skip
WRAPPER = "torch._utils._rebuild_wrapper_subclass"
# Classes that hold a part of a tensor, each on its rank.
PIECEWISE = ("DTensor", "ShardedTensor")


@dataclass(frozen=True)
class Storage:
    """The bytes that tensors share: which, and of what type they are."""

    record: Record
    dtype: str


@dataclass
class Interpreter:
    """Turns what a pickle asks for into nodes.

    storages: from a persistent id to the bytes it stands for.
    where: from a span of the pickle's own bytes to the record that they are in the file.
    """

    storages: Callable[[object], Storage]
    where: Callable[[Span], Record]
    foreign: dict[str, None] = field(default_factory=dict)
    nodes: int = 0
    tensors: int = 0
    open: set[int] = field(default_factory=set)

    def node(self, value: object, depth: int = 0) -> Node:
        """The meaning of a value of the pickle."""
        self.nodes += 1
        if self.nodes > NODE_LIMIT or depth > DEPTH_LIMIT:
            raise InputError(
                f"it is nested deeper than {DEPTH_LIMIT} levels or unfolds to more than {NODE_LIMIT:,} values"
            )
        if isinstance(value, str | bytes | int | float | None):
            return _scalar(value)
        if id(value) in self.open:
            return Object("reference to what contains it")
        self.open.add(id(value))
        try:
            return self._composite(value, depth + 1)
        finally:
            self.open.discard(id(value))

    def _composite(self, value: object, depth: int) -> Node:
        if isinstance(value, dict):
            return self._mapping(value.items(), depth)
        if isinstance(value, list | tuple | set):
            return tuple(self.node(item, depth) for item in value)
        if isinstance(value, Call):
            return self._call(value, depth)
        if isinstance(value, Name):
            return self._name(value.name)
        if isinstance(value, Reference):
            return Object("bytes outside of the pickle")
        return Object(type(value).__name__)

    def _mapping(self, entries, depth: int) -> dict[str, Node]:  # noqa: ANN001
        made: dict[str, Node] = {}
        for key, value in entries:
            name = _key_text(key, len(made))
            if name in made:
                raise InputError(f"it has two entries called {name[:80]!r}")
            made[name] = self.node(value, depth)
        return made

    def _name(self, name: str) -> Node:
        self._note(name)
        return Object(name[:NAME_LIMIT])

    def _note(self, name: str) -> None:
        short = name.removeprefix("torch.")
        familiar = name in FAMILIAR or short in ITEM_SIZES or short in STORAGES
        if not familiar and not name.startswith(FAMILIAR_PREFIXES) and len(self.foreign) < 1000:
            self.foreign[name[:NAME_LIMIT]] = None

    def _call(self, call: Call, depth: int) -> Node:
        if isinstance(call.name, Name):
            name = call.name.name
        else:
            self.node(call.name, depth)
            name = "what another call returns"
        short = name.rpartition(".")[2]
        if short in REBUILD and name.startswith(("torch.", "numpy.")):
            return REBUILD[short](self, call, depth)
        if short.startswith("_rebuild_qtensor"):
            raise InputError("it holds quantised tensors; save the model before quantising it")
        weightless = next((kind for start, kind in WEIGHTLESS.items() if short.startswith(start)), None)
        if weightless and name.startswith("torch."):
            return Object(UNREAD_TENSOR + weightless)
        if isinstance(call.name, Name):
            self._note(name)
        if short in PIECEWISE and name.startswith("torch.distributed."):
            return Object(UNREAD_TENSOR + name)
        return self._object(name, call, depth)

    def _object(self, name: str, call: Call, depth: int) -> Node:
        attributes = self._state(call.state, depth)
        module = _module_of(attributes)
        if module is not None:
            return module
        for key, value in self._mapping(call.entries, depth).items():
            attributes.setdefault(key, value)
        if call.items:
            attributes["items"] = tuple(self.node(item, depth) for item in call.items)
        return Object(name[:NAME_LIMIT], attributes, self._arguments(call.arguments, depth))

    def _arguments(self, arguments: object, depth: int) -> tuple[Node, ...]:
        return tuple(self.node(value, depth) for value in arguments) if isinstance(arguments, tuple) else ()

    def _state(self, state: object, depth: int) -> dict[str, Node]:
        """Attributes: a dictionary, or (dictionary or None, dictionary of slots), or anything else as one."""
        if isinstance(state, dict):
            return self._mapping(state.items(), depth)
        if (
            isinstance(state, tuple)
            and len(state) == 2
            and all(isinstance(part, dict | None) for part in state)
        ):
            return self._mapping([pair for part in state if part for pair in part.items()], depth)
        return {} if state is None else {"state": self.node(state, depth)}

    def tensor(
        self, reference: object, start: object, shape: object, stride: object, dtype: str | None = None
    ) -> StoredTensor:
        """A view of a storage, its bounds checked."""
        self.tensors += 1
        if self.tensors > TENSOR_LIMIT:
            raise InputError(f"it has more than {TENSOR_LIMIT:,} tensors")
        storage = self._storage(reference)
        dtype = dtype or storage.dtype
        made = StoredTensor(dtype, _lengths(shape), _lengths(stride), storage.record, _count(start))
        made = replace(made, start=made.start * ITEM_SIZES[dtype])
        return within_bounds(made)

    def _storage(self, reference: object) -> Storage:
        if isinstance(reference, Call):
            # torch.storage.TypedStorage and its kin, rebuilt around an untyped one.
            reference = next((value for value in _values_of(reference) if isinstance(value, Reference)), None)
        if not isinstance(reference, Reference):
            raise InputError("one of its tensors has no bytes of its own")
        return self.storages(reference.id)


def _module_of(attributes: Mapping[str, Node]) -> dict[str, Node] | None:
    """The state dict of a pickled nn.Module: parameters and buffers here and below; None for other objects."""
    if not {"_parameters", "_modules"} <= set(attributes):
        return None
    hidden = attributes.get("_non_persistent_buffers_set")
    hidden = hidden if isinstance(hidden, tuple) else ()
    state: dict[str, Node] = {}
    for group in ("_parameters", "_buffers", "_modules"):
        entries = attributes.get(group)
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(entry, StoredTensor) and not (group == "_buffers" and name in hidden):
                state[name] = entry
            elif isinstance(entry, Mapping) and group == "_modules":
                state |= {f"{name}.{inner}": tensor for inner, tensor in entry.items()}
    return state


def _scalar(value: object) -> Node:
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, str):
        return value if len(value) <= TEXT_LIMIT else value[:TEXT_LIMIT] + "…"
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"an integer of {value.bit_length():,} bits"
    return value  # type: ignore[return-value]


def _key_text(key: object, position: int) -> str:
    """A name for a key: text as it is, numbers as digits, other things as what they are."""
    if isinstance(key, str):
        if len(key) > NAME_LIMIT:
            raise InputError(f"it has a name of {len(key):,} characters ({key[:40]!r}...)")
        return key
    if isinstance(key, int) and key.bit_length() > 100:
        return f"an integer of {key.bit_length():,} bits"
    if isinstance(key, Call | Name | Reference):
        return f"<{type(key).__name__.lower()} {position}>"
    return str(key)[:NAME_LIMIT]


def _values_of(call: Call) -> list[object]:
    state = call.state.values() if isinstance(call.state, dict) else ()
    return [*(call.arguments if isinstance(call.arguments, tuple) else ()), *state]


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 60:
        return value
    raise InputError(f"one of its tensors has a length, stride or offset of {_shown(value)}")


def _shown(value: object) -> str:
    """A scalar as it is, anything else by its kind: what is nested deeply cannot even be printed."""
    return str(value)[:40] if isinstance(value, str | float) else type(value).__name__


def _lengths(value: object) -> tuple[int, ...]:
    if isinstance(value, Call):
        value = value.arguments[0] if isinstance(value.arguments, tuple) and value.arguments else ()
    if not isinstance(value, tuple | list) or len(value) > 64:
        raise InputError(f"one of its tensors has a shape or strides of {type(value).__name__}")
    return tuple(_count(length) for length in value)


def _arguments(call: Call, least: int) -> tuple:
    if not isinstance(call.arguments, tuple) or len(call.arguments) < least:
        raise InputError("one of its tensors is described incompletely")
    return call.arguments


def _tensor_v2(reader: Interpreter, call: Call, depth: int) -> Node:
    reference, start, shape, stride = _arguments(call, 4)[:4]
    return reader.tensor(reference, start, shape, stride)


def _tensor_v3(reader: Interpreter, call: Call, depth: int) -> Node:
    reference, start, shape, stride, _, _, dtype = _arguments(call, 7)[:7]
    return reader.tensor(reference, start, shape, stride, dtype_name(dtype))


def _first_argument(reader: Interpreter, call: Call, depth: int) -> Node:
    return reader.node(_arguments(call, 1)[0], depth)


def _from_type(reader: Interpreter, call: Call, depth: int) -> Node:
    """A tensor with attributes of its own: (function, type, arguments, state)."""
    function, kind, arguments, *state = _arguments(call, 3)[:4]
    reader.node(kind, depth)
    if isinstance(function, Name) and function.name == WRAPPER:
        return _of_wrapper(reader, kind, arguments, _fields(state[0] if state else None), depth)
    return reader.node(Call(function, arguments), depth)


def _fields(state: object) -> dict:
    """The attributes of an instance: a dictionary, or a pair of one and of that of its slots."""
    parts = state if isinstance(state, tuple) else (state,)
    return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}


def _of_wrapper(reader: Interpreter, kind: object, arguments: object, state: dict, depth: int) -> Node:
    """A tensor around others: the part on this rank where that is the whole of it, else a note of its class."""
    name = kind.name if isinstance(kind, Name) else "unknown"
    local = state.get("_local_tensor")
    shape = arguments[2] if isinstance(arguments, tuple) and len(arguments) > 2 else None
    if name.startswith("torch.distributed.") and local is not None and not _is_partial_sum(state):
        found = reader.node(local, depth)
        if isinstance(found, StoredTensor) and found.shape == _lengths(shape):
            return found
    return Object(UNREAD_TENSOR + name[:NAME_LIMIT])


def _is_partial_sum(state: dict) -> bool:
    """Whether ranks hold summands: a placement `Partial` in the state."""
    spec = state.get("_spec")
    placements = _fields(spec.state).get("placements") if isinstance(spec, Call) else None
    kinds = [one.name for one in placements if isinstance(one, Call)] if isinstance(placements, tuple) else []
    return any(isinstance(kind, Name) and kind.name.endswith("Partial") for kind in kinds)


def _lengths_node(reader: Interpreter, call: Call, depth: int) -> Node:
    return tuple(_lengths(call))


def _array(reader: Interpreter, call: Call, depth: int) -> Node:
    """Numpy's `_reconstruct`: state is (version, shape, dtype, Fortran order, bytes)."""
    if not (isinstance(call.state, tuple) and len(call.state) == 5):
        return Object("numpy.ndarray")
    _, shape, dtype, fortran, data = call.state
    return _array_node(reader, data, dtype, shape, fortran=fortran is True)


def _array_of_buffer(reader: Interpreter, call: Call, depth: int) -> Node:
    """Numpy's `_frombuffer`: (bytes, dtype, shape, order)."""
    data, dtype, shape, order = _arguments(call, 4)[:4]
    return _array_node(reader, data, dtype, shape, fortran=order == "F")


def _array_node(reader: Interpreter, data: object, dtype: object, shape: object, *, fortran: bool) -> Node:
    code, big_endian = numpy_dtype(dtype)
    if isinstance(data, str):
        data = data.encode("latin-1", "replace")
    if code is None or not isinstance(data, bytes):
        return Object("numpy.ndarray of objects")
    reader.tensors += 1
    lengths = _lengths(shape)
    record = reader.where(data) if isinstance(data, Span) else inline_record(data)
    made = StoredTensor(code, lengths, row_major(lengths), record, big_endian=big_endian)
    if fortran:
        made = replace(made, stride=tuple(reversed(row_major(lengths[::-1]))))
    return within_bounds(made)


def _numpy_scalar(reader: Interpreter, call: Call, depth: int) -> Node:
    """Numpy's `scalar`: (dtype, bytes)."""
    dtype, data = (*_arguments(call, 1), None)[:2]
    return numpy_number(dtype, data)


REBUILD: dict[str, Callable[[Interpreter, Call, int], Node]] = {
    "_rebuild_tensor": _tensor_v2,
    "_rebuild_tensor_v2": _tensor_v2,
    "_rebuild_tensor_v3": _tensor_v3,
    "_rebuild_parameter": _first_argument,
    "_rebuild_parameter_with_state": _first_argument,
    "_rebuild_from_type_v2": _from_type,
    "_rebuild_device_tensor_from_numpy": _first_argument,
    "Size": _lengths_node,
    "_reconstruct": _array,
    "_frombuffer": _array_of_buffer,
    "scalar": _numpy_scalar,
}
