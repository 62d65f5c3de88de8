"""Files of named arrays: safetensors and NumPy's .npz, described without loading them."""

import ast
import json
import struct
from collections.abc import Mapping

from maxsup_analysis.containers.archive import DEFLATED, Member
from maxsup_analysis.containers.contents import ITEM_SIZES, Contents, Node, Object, StoredTensor
from maxsup_analysis.containers.contents import Record as FileRecord
from maxsup_analysis.containers.files import Window
from maxsup_analysis.containers.tensors import (
    NAME_LIMIT,
    NUMPY_DTYPES,
    TENSOR_LIMIT,
    row_major,
    within_bounds,
)
from maxsup_analysis.errors import InputError

HEADER_LIMIT = 1 << 24
TEXT_LIMIT = 1 << 22
NPY_HEADER_LIMIT = 10_000
MOST_INFLATION = 200
INFLATED_ANYWAY = 1 << 28
TEXT = "text"
SAFETENSORS_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64",
    "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool", "C64": "complex64",
}  # fmt: skip


def plain_json(data: bytes) -> object:
    """JSON with each name once an object; InputError for other text, and for nesting beyond reason."""
    if len(data) > HEADER_LIMIT:
        raise InputError(f"its JSON has {len(data):,} bytes, more than {HEADER_LIMIT:,}")
    try:
        return json.loads(data, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as reason:
        raise InputError(f"its JSON is damaged ({type(reason).__name__}: {str(reason)[:60]})") from None


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise InputError("its JSON has the same name twice")
    return made


def node_of_json(value: object, depth: int = 0) -> Node:
    """Parsed JSON as a node."""
    if depth > 60:
        raise InputError("its JSON is nested deeper than 60 levels")
    if isinstance(value, Mapping):
        return {str(name)[:NAME_LIMIT]: node_of_json(entry, depth + 1) for name, entry in value.items()}
    if isinstance(value, list):
        return tuple(node_of_json(entry, depth + 1) for entry in value)
    return value[:TEXT_LIMIT] if isinstance(value, str) else value  # type: ignore[return-value]


def read_safetensors(window: Window, file: str = "") -> Contents:
    """The tensors of a safetensors file; their bytes have to follow each other without gap or overlap."""
    length = struct.unpack("<Q", window.at(0, 8))[0]
    if length > HEADER_LIMIT:
        raise InputError(f"its header claims {length:,} bytes, more than {HEADER_LIMIT:,}")
    header = plain_json(window.at(8, length))
    if not isinstance(header, dict) or len(header) > TENSOR_LIMIT:
        raise InputError(f"its header is no table of at most {TENSOR_LIMIT:,} tensors")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise InputError("its __metadata__ are no table of texts")
    start, place, tree = 8 + length, 0, {}
    for name, about in sorted(header.items(), key=lambda item: _offsets(item[1])):
        tensor = _safetensor(about, FileRecord(file, start, window.size - start), name)
        first, end = _offsets(about)
        if first != place or end - first != tensor.size * ITEM_SIZES[tensor.dtype]:
            raise InputError(
                f"the bytes of its tensor {name[:80]!r} overlap others, leave a gap or do not fit"
            )
        tree[name], place = tensor, end
    if start + place != window.size:
        raise InputError(f"it should have {start + place:,} bytes but has {window.size:,}; fetch it again")
    named = {name: tree[name] for name in header}
    sidecars = {"__metadata__": node_of_json(metadata)} if metadata else {}
    return Contents("safetensors", named, sidecars=sidecars)


def _offsets(about: object) -> tuple[int, int]:
    match about:
        case {"data_offsets": [int() as first, int() as end]} if 0 <= first <= end:
            return first, end
    raise InputError("its header describes a tensor incompletely")


def _safetensor(about: object, record: FileRecord, name: str) -> StoredTensor:
    match about:
        case {"dtype": str() as code, "shape": list() as shape} if code in SAFETENSORS_DTYPES:
            sound = len(shape) <= 64 and all(type(n) is int and 0 <= n < 1 << 60 for n in shape)
            if sound and len(name) <= NAME_LIMIT:
                lengths = tuple(shape)
                dtype, first = SAFETENSORS_DTYPES[code], _offsets(about)[0]
                return within_bounds(StoredTensor(dtype, lengths, row_major(lengths), record, first))
    raise InputError(f"its header describes the tensor {name[:80]!r} in a way that is not known here")


def read_npz(window: Window, members: Mapping[str, Member]) -> Contents:
    """The arrays of a .npz file; arrays of Python objects are refused."""
    if len(members) > TENSOR_LIMIT:
        raise InputError(f"it has more than {TENSOR_LIMIT:,} arrays")
    tree = {name.removesuffix(".npy"): _npy(window, member) for name, member in members.items()}
    records = tuple(member.record("", window.start) for member in members.values())
    return Contents("NumPy .npz", tree, records)


def _npy(window: Window, member: Member) -> Node:
    if member.method == DEFLATED and member.size > max(member.stored * MOST_INFLATION, INFLATED_ANYWAY):
        raise InputError(f"its array {member.name[:80]!r} inflates more than {MOST_INFLATION} times")
    head = _first_bytes(window, member)
    if head[:6] != b"\x93NUMPY" or len(head) < 12:
        raise InputError(f"its record {member.name[:80]!r} is no NumPy array")
    wide = head[6] > 1
    length = struct.unpack_from("<I" if wide else "<H", head, 8)[0]
    begin = 12 if wide else 10
    if begin + length > len(head):
        raise InputError(f"the header of its array {member.name[:80]!r} is cut off or far too long")
    shape, fortran, code, big_endian = _npy_header(head[begin : begin + length], member.name)
    if code == TEXT:
        return Object("numpy array of text")
    stride = tuple(reversed(row_major(shape[::-1]))) if fortran else row_major(shape)
    record = member.record("", window.start)
    return within_bounds(StoredTensor(code, shape, stride, record, begin + length, big_endian))


def _first_bytes(window: Window, member: Member) -> bytes:
    most = NPY_HEADER_LIMIT + 12
    if member.method != DEFLATED:
        return window.at(member.offset, min(member.stored, most))
    import zlib

    try:
        return zlib.decompressobj(-15).decompress(window.at(member.offset, min(member.stored, most)), most)
    except zlib.error as reason:
        raise InputError(f"its record {member.name[:80]!r} is damaged ({reason}); fetch it again") from None


def _npy_header(text: bytes, name: str) -> tuple[tuple[int, ...], bool, str, bool]:
    try:
        header = ast.literal_eval(text.decode("latin-1").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        header = None
    match header:
        case {"descr": str() as descr, "fortran_order": bool() as fortran, "shape": tuple() as shape} if all(
            type(length) is int and 0 <= length < 1 << 60 for length in shape
        ):
            if descr[1:2] in ("U", "S"):
                return shape, fortran, TEXT, False
            if descr[1:] in NUMPY_DTYPES and len(shape) <= 64:
                return shape, fortran, NUMPY_DTYPES[descr[1:]], descr[0] == ">"
            raise InputError(f"its array {name[:80]!r} holds {descr[:20]!r}; only numbers are read")
    raise InputError(f"the header of its array {name[:80]!r} is damaged")
