"""Pickles that ask for memory, time or depth out of all proportion to their size, beside honest weights."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.checkpoints.archives import torch_zip
from tests.checkpoints.opcodes import (
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_TUPLE,
    NONE,
    POP,
    WEIGHTS,
    called,
    got,
    items,
    mapping,
    named,
    put,
    sequence,
    state_dict,
    stream,
    text,
    whole,
)

MEGABYTES_10 = 10 * 2**20


def zeros(size: int) -> tuple[bytes, int, int]:
    """Deflated zeros, their check sum and their size, without ever deflating them all."""
    block = bytes(2**20)
    compressor = zlib.compressobj(9, wbits=-15)
    packed = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(size // len(block)):
        crc = zlib.crc32(block, crc)
    return packed * (size // len(block)) + compressor.flush(zlib.Z_FINISH), crc, size


@dataclass(frozen=True)
class Bomb:
    """A whole document. harmless_if_inert: a reader that only describes may open it, if it stays within its means."""

    document: Callable[[], bytes]
    harmless_if_inert: bool = True


def beside(expression: bytes) -> bytes:
    """A document of honest weights and one entry more."""
    return stream(mapping(*state_dict(), (text("extra"), expression)))


def before(opcodes: bytes) -> bytes:
    """A document of honest weights, opcodes before it."""
    return stream(opcodes + mapping(*state_dict()))


def doubled(levels: int) -> bytes:
    """A tuple of two of the same tuple of two of the same ...: printing or hashing it visits 2 ** levels."""
    grown = put(items(), 100)
    for level in range(levels):
        grown += put(got(100 + level) + got(100 + level) + b"\x86", 101 + level)
    return grown


def key_of_doubled_tuples() -> bytes:
    """Hashing the key of a dictionary takes 2 ** 40 steps."""
    return beside(doubled(40) + POP + mapping((got(140), NONE)))


def laughs() -> bytes:
    """Ten levels of tuples, each of a hundred of the one before."""
    grown = put(sequence(*[text("lol")] * 100), 200)
    for level in range(10):
        grown += put(items(*[got(200 + level)] * 100), 201 + level)
    return beside(sequence(grown))


def own_member() -> bytes:
    """The dictionary of the weights holds itself."""
    return stream(
        put(EMPTY_DICT, 1)
        + b"("
        + b"".join(key + value for key, value in state_dict())
        + text("me")
        + got(1)
        + b"u"
    )


def own_tuple_member() -> bytes:
    """A tuple in a list in that tuple."""
    return beside(put(EMPTY_LIST, 1) + put(got(1) + b"\x85", 2) + POP + got(2) + b"a")


def long_text(digits: bytes) -> bytes:
    return b"L" + digits + b"L\n"


BOMBS: dict[str, Bomb] = {
    "bytearray_of_4_gib": Bomb(lambda: beside(called(named("builtins", "bytearray"), whole(2**32)))),
    "bytearray_of_32_tib": Bomb(lambda: beside(called(named("builtins", "bytearray"), whole(2**45)))),
    "bytes_of_32_tib": Bomb(lambda: beside(called(named("__builtin__", "bytes"), whole(2**45)))),
    "list_of_a_range": Bomb(
        lambda: beside(called(named("builtins", "list"), called(named("builtins", "range"), whole(2**45))))
    ),
    "power": Bomb(lambda: beside(called(named("operator", "pow"), whole(10), whole(10**9)))),
    "key_of_doubled_tuples": Bomb(key_of_doubled_tuples),
    "set_of_doubled_tuples": Bomb(lambda: beside(doubled(40) + POP + b"\x8f(" + got(140) + b"\x90")),
    "frozen_set_of_doubled_tuples": Bomb(lambda: beside(doubled(40) + POP + b"(" + got(140) + b"\x91")),
    "doubled_tuples": Bomb(lambda: beside(doubled(60))),
    "laughs": Bomb(laughs),
    "own_member": Bomb(own_member),
    "own_tuple_member": Bomb(own_tuple_member),
    "protocol_255": Bomb(lambda: b"\x80\xff" + EMPTY_DICT + b".", harmless_if_inert=False),
    "nested_lists": Bomb(lambda: beside(EMPTY_LIST * 100_000 + b"a" * 99_999)),
    "nested_tuples": Bomb(lambda: beside(EMPTY_TUPLE + b"\x85" * 100_000)),
    "nested_dicts": Bomb(lambda: beside((EMPTY_DICT + text("a")) * 100_000 + NONE + b"s" * 100_000)),
    "nested_calls": Bomb(lambda: beside(named("m", "F") * 50_000 + EMPTY_TUPLE + b"R" + b"\x85R" * 49_999)),
    "nested_marks": Bomb(lambda: beside(b"(" * 100_000 + b"t" * 100_000)),
    "names_made_of_names": Bomb(
        lambda: stream((EMPTY_DICT + text("a" * 64)) * 20_000 + NONE + b"s" * 20_000)
    ),
    "memo_of_2_31": Bomb(lambda: beside(put(text("far"), 2**31))),
    "memo_of_2_40_in_text": Bomb(lambda: beside(text("far") + b"p1099511627776\n")),
    "memo_of_a_negative": Bomb(lambda: beside(text("far") + b"p-1\n")),
    "memo_never_put": Bomb(lambda: beside(got(77)), harmless_if_inert=False),
    "million_memo_entries": Bomb(lambda: before(EMPTY_TUPLE + b"\x94" * MEGABYTES_10 + POP)),
    "million_dicts": Bomb(lambda: before(EMPTY_DICT * MEGABYTES_10)),
    "million_sets": Bomb(lambda: before(b"\x8f" * MEGABYTES_10)),
    "million_marks": Bomb(lambda: before(b"(" * MEGABYTES_10)),
    "million_lists_in_a_list": Bomb(lambda: beside(EMPTY_LIST + b"(" + EMPTY_LIST * MEGABYTES_10 + b"e")),
    "million_copies": Bomb(lambda: before(EMPTY_TUPLE + b"2" * MEGABYTES_10)),
    "million_protocols": Bomb(lambda: before(b"\x80\x02" * (MEGABYTES_10 // 2))),
    "million_objects": Bomb(
        lambda: before(put(named("m", "F"), 9) + (got(9) + b")\x81") * (MEGABYTES_10 // 4))
    ),
    "digits_of_10_mb": Bomb(lambda: beside(long_text(b"9" * MEGABYTES_10))),
    "integer_of_10_mb": Bomb(
        lambda: beside(b"\x8b" + struct.pack("<i", MEGABYTES_10) + b"\x7f" * MEGABYTES_10)
    ),
    "integer_beyond_the_file": Bomb(
        lambda: beside(b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\x7f"), harmless_if_inert=False
    ),
    "integer_of_negative_length": Bomb(
        lambda: beside(b"\x8b" + struct.pack("<i", -4)), harmless_if_inert=False
    ),
    "string_beyond_the_file": Bomb(
        lambda: beside(b"X" + struct.pack("<I", 2**32 - 1) + b"abc"), harmless_if_inert=False
    ),
    "string_of_2_62": Bomb(
        lambda: beside(b"\x8d" + struct.pack("<Q", 2**62) + b"abc"), harmless_if_inert=False
    ),
    "bytes_of_2_63": Bomb(
        lambda: beside(b"\x8e" + struct.pack("<Q", 2**63) + b"abc"), harmless_if_inert=False
    ),
    "bytearray_of_2_62": Bomb(
        lambda: beside(b"\x96" + struct.pack("<Q", 2**62) + b"abc"), harmless_if_inert=False
    ),
    "frame_of_2_62": Bomb(lambda: beside(b"\x95" + struct.pack("<Q", 2**62) + NONE)),
    "line_of_10_mb": Bomb(lambda: beside(named("a" * MEGABYTES_10, "b"))),
    "string_not_utf_8": Bomb(lambda: beside(b"X\x02\x00\x00\x00\xff\xfe"), harmless_if_inert=False),
    "string_of_a_surrogate": Bomb(lambda: beside(text("\ud800"))),
    "float_of_words": Bomb(lambda: beside(b"Fnot a number\n"), harmless_if_inert=False),
    "unhashable_key": Bomb(lambda: beside(mapping((EMPTY_LIST, NONE)))),
    "items_of_a_number": Bomb(lambda: beside(whole(3) + b"(" + text("a") + NONE + b"u")),
    "odd_items": Bomb(lambda: beside(EMPTY_DICT + b"(" + text("a") + b"u"), harmless_if_inert=False),
    "stack_underflow": Bomb(lambda: stream(POP * 3 + EMPTY_DICT), harmless_if_inert=False),
    "mark_underflow": Bomb(lambda: stream(b"t" + EMPTY_DICT), harmless_if_inert=False),
    "unknown_opcode": Bomb(lambda: stream(b"\xff" + EMPTY_DICT), harmless_if_inert=False),
    "never_stops": Bomb(lambda: stream(mapping(*state_dict()))[:-1], harmless_if_inert=False),
    "extension_never_registered": Bomb(lambda: beside(b"\x84\xff\xff\xff\x7f")),
    "buffer_out_of_band": Bomb(lambda: beside(b"\x97")),
    "tensor_of_words": Bomb(
        lambda: beside(called(named("torch._utils", "_rebuild_tensor_v2"), *[text("a")] * 6)),
        harmless_if_inert=True,
    ),
}


def bomb(name: str, folder: Path) -> Path:
    """A torch zip that holds one of the bombs."""
    path = folder / "model.pt"
    path.write_bytes(torch_zip(BOMBS[name].document(), WEIGHTS))
    return path
