"""Read a pickle as data: its opcodes build plain values and notes of what it asks for; nothing is called.

A pickle is a program. Here it runs on a machine whose only values are numbers, text, lists, dictionaries and `Call`s:
where the program would import a class or call a function, it gets a note of the name and the arguments. There is no
way from here to the thing that is named.
"""

import pickletools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import IO, cast

from maxsup_analysis.containers.files import Window
from maxsup_analysis.errors import InputError

OPCODE_LIMIT = 5_000_000
MISFIT = (
    ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError, struct.error,
    RecursionError,
)  # fmt: skip


@dataclass(eq=False, slots=True)
class Name:
    """A class or a function that the pickle names."""

    name: str


@dataclass(eq=False, slots=True)
class Call:
    """What the pickle would have called, with what, and what it would have done to the result."""

    name: object
    arguments: object
    state: object = None
    items: list[object] = field(default_factory=list)
    entries: list[tuple[object, object]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Reference:
    """A persistent id: something kept outside of the pickle, such as the bytes of a tensor."""

    id: object


class Span(bytes):
    """Bytes of a pickle that know where in the stream they lie."""

    position: int


def read_pickle(file: Window | BytesIO) -> object:
    """The one object of the pickle that starts here; the file is left behind its end.

    Raises InputError where the bytes are no pickle, or one that no honest program writes.
    """
    machine = Machine()
    try:
        for opcode, argument, position in _operations(file):
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument, position)
    except MISFIT as reason:
        raise InputError(f"its pickle is damaged ({type(reason).__name__}: {str(reason)[:80]})") from None
    raise InputError("its pickle ends before it is complete")


def _operations(file: Window | BytesIO) -> Iterator[tuple[pickletools.OpcodeInfo, object, int]]:
    for count, (opcode, argument, position) in enumerate(pickletools.genops(cast(IO[bytes], file))):
        if count == OPCODE_LIMIT:
            raise InputError(f"its pickle has more than {OPCODE_LIMIT:,} operations")
        yield opcode, argument, position or 0


class Machine:
    """A stack, the stacks below open marks, and the memo."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.below: list[list[object]] = []
        self.memo: dict[int, object] = {}

    def step(self, name: str, argument: object, position: int) -> None:
        """One operation."""
        if name == "PROTO" and argument not in range(6):
            raise ValueError(f"protocol {argument}")
        if name in LITERALS:
            self.push(argument)
        elif name in BYTE_LITERALS:
            self.push(_span(argument, position + BYTE_LITERALS[name]))
        elif name in CONSTANTS:
            self.push(CONSTANTS[name]())
        elif name in PUTS:
            if isinstance(argument, int) and argument < 0:
                raise ValueError("a memo of a negative number")
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]  # type: ignore[index]
        elif name in GETS:
            self.push(self.memo[argument])  # type: ignore[index]
        elif name not in IGNORED:
            OPERATIONS[name](self, argument)

    def push(self, value: object) -> None:
        """Onto the stack, which is looked up only now: making the value may have closed a mark."""
        self.stack.append(value)

    def pop(self) -> object:
        """The top of the stack."""
        return self.stack.pop()

    def mark(self) -> None:
        """Open a mark."""
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list[object]:
        """All since the last mark, which is closed."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def top_call(self) -> object:
        """What state or items are given to."""
        return self.stack[-1]


def _span(value: object, position: int) -> Span:
    span = Span(value)  # type: ignore[arg-type]
    span.position = position
    return span


def _put_entries(target: object, pairs: list[object]) -> None:
    keys, values = pairs[::2], pairs[1::2]
    if len(keys) != len(values):
        raise ValueError("a key without a value")
    entries = list(zip(keys, values, strict=True))
    if isinstance(target, dict):
        target.update((_key(key), value) for key, value in entries)
    elif isinstance(target, Call):
        target.entries.extend(entries)
    else:
        raise TypeError(f"entries for a {type(target).__name__}")


def _put_items(target: object, items: list[object]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif isinstance(target, set):
        target.update(_key(item) for item in items)
    elif isinstance(target, Call):
        target.items.extend(items)
    else:
        raise TypeError(f"items for a {type(target).__name__}")


def _key(key: object) -> object:
    """A key that is cheap to hash: nested tuples, whose hash costs 2^depth, stand for themselves by identity."""
    if isinstance(key, list | dict | set | bytearray):
        raise TypeError(f"a {type(key).__name__} as a key")
    if isinstance(key, tuple) and not all(isinstance(part, str | int | float | None) for part in key):
        return Call("tuple", key)
    return key


def _call(called: object, arguments: object) -> object:
    if isinstance(called, Name) and called.name in MAKERS:
        return MAKERS[called.name](called, arguments)
    return Call(called, arguments)


def _ordered_dictionary(called: Name, arguments: object) -> object:
    """An empty ordered dictionary is a dictionary; one with pairs (protocol 1 and below) is filled."""
    made: dict[object, object] = {}
    pairs = arguments[0] if isinstance(arguments, tuple) and arguments else []
    for pair in pairs if isinstance(pairs, list) else []:
        _put_entries(made, list(pair))
    return made


def _encoded(called: Name, arguments: object) -> object:
    """Bytes as protocol 2 writes them: text, to be encoded as latin-1."""
    match arguments:
        case (str() as text, "latin1" | "latin-1"):
            return text.encode("latin-1")
    return Call(called, arguments)


def _set(called: Name, arguments: object) -> object:
    """A set as protocol 2 writes it: of a list."""
    match arguments:
        case (list() as items,):
            return {_key(item) for item in items}
    return Call(called, arguments)


MAKERS: dict[str, Callable[[Name, object], object]] = {
    **dict.fromkeys(("__builtin__.set", "builtins.set", "__builtin__.frozenset", "builtins.frozenset"), _set),
    "collections.OrderedDict": _ordered_dictionary,
    "_codecs.encode": _encoded,
}


def _build(machine: Machine, _: object) -> None:
    state, target = machine.pop(), machine.top_call()
    if isinstance(target, Call):
        target.state = state
    elif not (isinstance(target, dict) and isinstance(state, dict | tuple)):
        raise TypeError(f"a state for a {type(target).__name__}")
    # What is set on a dictionary is `_metadata` of a state dict: versions of layers, not weights.


def _new(machine: Machine, _: object) -> None:
    arguments, called = machine.pop(), machine.pop()
    machine.push(_call(called, arguments))


def _new_with_keywords(machine: Machine, _: object) -> None:
    keywords, arguments, called = machine.pop(), machine.pop(), machine.pop()
    made = _call(called, arguments)
    if isinstance(made, Call) and isinstance(keywords, dict):
        made.entries.extend(keywords.items())
    machine.push(made)


def _instance(machine: Machine, argument: object) -> None:
    machine.push(_call(_named(argument), tuple(machine.marked())))


def _object(machine: Machine, _: object) -> None:
    called, *arguments = machine.marked()
    machine.push(_call(called, tuple(arguments)))


def _named(argument: object) -> Name:
    return Name(".".join(str(argument).split(" ", 1)))


def _stack_global(machine: Machine, _: object) -> None:
    name, module = machine.pop(), machine.pop()
    if not (isinstance(name, str) and isinstance(module, str)):
        raise TypeError("a name that is no text")
    machine.push(Name(f"{module}.{name}"))


def _tuple(count: int) -> Callable[[Machine, object], None]:
    def make(machine: Machine, _: object) -> None:
        if len(machine.stack) < count:
            raise IndexError("stack too short")
        items = tuple(machine.stack[-count:])
        del machine.stack[-count:]
        machine.push(items)

    return make


def _append(machine: Machine, _: object) -> None:
    item = machine.pop()
    _put_items(machine.top_call(), [item])


def _appends(machine: Machine, _: object) -> None:
    items = machine.marked()
    _put_items(machine.top_call(), items)


def _set_item(machine: Machine, _: object) -> None:
    value, key = machine.pop(), machine.pop()
    _put_entries(machine.top_call(), [key, value])


def _set_items(machine: Machine, _: object) -> None:
    pairs = machine.marked()
    _put_entries(machine.top_call(), pairs)


def _dictionary(machine: Machine, _: object) -> None:
    made: dict[object, object] = {}
    _put_entries(made, machine.marked())
    machine.push(made)


def _pop(machine: Machine, _: object) -> None:
    if machine.stack:
        machine.pop()
    else:
        machine.marked()


def _pop_mark(machine: Machine, _: object) -> None:
    machine.marked()


def _extension(machine: Machine, argument: object) -> None:
    machine.push(Name(f"copyreg.extension {argument}"))


LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "FLOAT", "BINFLOAT",
})  # fmt: skip
# With how many bytes of opcode and length come before the bytes themselves.
BYTE_LITERALS = {
    "BINBYTES": 5, "SHORT_BINBYTES": 2, "BINBYTES8": 9, "BYTEARRAY8": 9,
}  # fmt: skip
CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set,
}  # fmt: skip
PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
IGNORED = frozenset({"PROTO", "FRAME", "READONLY_BUFFER"})
OPERATIONS: dict[str, Callable[[Machine, object], None]] = {
    "MARK": lambda machine, _: machine.mark(),
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "GLOBAL": lambda machine, argument: machine.push(_named(argument)),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _new,
    "NEWOBJ": _new,
    "NEWOBJ_EX": _new_with_keywords,
    "INST": _instance,
    "OBJ": _object,
    "BUILD": _build,
    "EXT1": _extension,
    "EXT2": _extension,
    "EXT4": _extension,
    "PERSID": lambda machine, argument: machine.push(Reference(argument)),
    "BINPERSID": lambda machine, _: machine.push(Reference(machine.pop())),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.marked())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "LIST": lambda machine, _: machine.push(machine.marked()),
    "DICT": _dictionary,
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "ADDITEMS": _appends,
    "FROZENSET": lambda machine, _: machine.push({_key(item) for item in machine.marked()}),
    "NEXT_BUFFER": lambda machine, _: machine.push(Reference("buffer")),
}
