"""What a pickle says of NumPy's types and values."""

import struct

from maxsup_analysis.containers.contents import Node, Object, Record
from maxsup_analysis.containers.pickles import Call
from maxsup_analysis.containers.tensors import NUMPY_DTYPES
from maxsup_analysis.errors import InputError

INLINE_LIMIT = 1 << 24
# struct's letter for one number.
SCALAR_LETTERS = {
    "float64": "d", "float32": "f", "float16": "e", "bool": "?", "int64": "q", "int32": "i", "int16": "h",
    "int8": "b", "uint64": "Q", "uint32": "I", "uint16": "H", "uint8": "B",
}  # fmt: skip


def numpy_dtype(dtype: object) -> tuple[str | None, bool]:
    """The dtype's name here, None for one of objects, and whether its bytes are big-endian."""
    if not isinstance(dtype, Call) or not isinstance(dtype.arguments, tuple) or not dtype.arguments:
        return None, False
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "<"
    return NUMPY_DTYPES.get(str(dtype.arguments[0])), order == ">"


def numpy_number(dtype: object, data: object) -> Node:
    """One number from its type and its bytes."""
    code, big_endian = numpy_dtype(dtype)
    letter = SCALAR_LETTERS.get(code or "")
    if isinstance(data, str):
        data = data.encode("latin-1", "replace")
    if letter and isinstance(data, bytes) and len(data) == struct.calcsize("=" + letter):
        return struct.unpack((">" if big_endian else "<") + letter, data)[0]
    return Object("numpy.generic")


def inline_record(data: bytes) -> Record:
    """Bytes that lie nowhere in the file as they are."""
    if len(data) > INLINE_LIMIT:
        raise InputError(
            "it keeps its arrays as text (pickle protocol 2); save them as .npz or with pickle protocol 4"
        )
    return Record("", 0, len(data), inline=data.decode("latin-1"))
