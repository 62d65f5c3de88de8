"""An assembler of pickles: each function returns the opcodes that leave one value on the stack."""

import pickle
import struct

POP, POP_MARK, MARK, BUILD, REDUCE, NEWOBJ, NEWOBJ_EX = b"0", b"1", b"(", b"b", b"R", b"\x81", b"\x92"
NONE, EMPTY_TUPLE, EMPTY_DICT, EMPTY_LIST, PERSISTENT = b"N", b")", b"}", b"]", b"Q"
PROTOCOL_4 = b"\x80\x04"
SENTINEL = "replaced by a payload"


def text(value: str) -> bytes:
    """A string, as protocol 2 writes it."""
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def data(value: bytes) -> bytes:
    """Bytes, as protocol 3 writes them."""
    return b"B" + struct.pack("<I", len(value)) + value


def whole(value: int) -> bytes:
    """An integer of any size."""
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def named(module: str, name: str) -> bytes:
    """What a module calls a name: opcode GLOBAL."""
    return b"c" + f"{module}\n{name}\n".encode()


def stacked(module: str, name: str) -> bytes:
    """What a module calls a name, both of them taken from the stack: opcode STACK_GLOBAL."""
    return PROTOCOL_4 + text(module) + text(name) + b"\x93"


def items(*values: bytes) -> bytes:
    """A tuple of values."""
    return MARK + b"".join(values) + b"t"


def sequence(*values: bytes) -> bytes:
    """A list of values."""
    return EMPTY_LIST + MARK + b"".join(values) + b"e"


def mapping(*pairs: tuple[bytes, bytes]) -> bytes:
    """A dictionary of pairs."""
    return EMPTY_DICT + MARK + b"".join(key + value for key, value in pairs) + b"u"


def called(function: bytes, *arguments: bytes) -> bytes:
    """The result of calling a function: opcode REDUCE."""
    return function + items(*arguments) + REDUCE


def made(kind: bytes, *arguments: bytes) -> bytes:
    """A new object of a class, without its __init__: opcode NEWOBJ."""
    return kind + items(*arguments) + NEWOBJ


def put(value: bytes, index: int) -> bytes:
    """A value, remembered under an index."""
    return value + (b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index))


def got(index: int) -> bytes:
    """A value remembered under an index."""
    return b"h" + bytes([index]) if index < 256 else b"j" + struct.pack("<I", index)


def value_of(thing: object) -> bytes:
    """Any picklable thing, as an expression that can stand inside another pickle."""
    return pickle.dumps(thing, protocol=2)[2:-1]


def storage(key: str, elements: int, kind: str = "FloatStorage") -> bytes:
    """A reference to the record data/<key> of a torch zip."""
    return items(text("storage"), named("torch", kind), text(key), text("cpu"), whole(elements)) + PERSISTENT


def tensor(
    held: bytes, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, *hooks: bytes
) -> bytes:
    """A tensor over a storage."""
    sizes, steps = items(*map(whole, shape)), items(*map(whole, stride))
    rest = hooks or (called(named("collections", "OrderedDict")),)
    return called(
        named("torch._utils", "_rebuild_tensor_v2"), held, whole(offset), sizes, steps, b"\x89", *rest
    )


def state_dict() -> tuple[tuple[bytes, bytes], ...]:
    """The pairs of an honest layer over the storages of WEIGHTS."""
    return (
        (text("weight"), tensor(storage("0", 6), (2, 3), (3, 1))),
        (text("bias"), tensor(storage("1", 2), (2,), (1,))),
    )


def stream(expression: bytes, protocol: int = 2) -> bytes:
    """A whole pickle that loads to the value of an expression."""
    return b"\x80" + bytes([protocol]) + expression + b"."


def planted(document: bytes, payload: bytes) -> bytes:
    """A pickle in which the string SENTINEL has become the payload."""
    assert text(SENTINEL) in document
    return document.replace(text(SENTINEL), payload)


WEIGHTS = {"0": struct.pack("<6f", *range(6)), "1": struct.pack("<2f", 0.5, -0.5)}
