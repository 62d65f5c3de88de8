"""The header of a shard: what columns it has, where it belongs, what was left out of it, and its own checksum."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from maxsup_analysis.feature_store.fields import (
    LARGEST,
    IllFormed,
    hexadecimal,
    integer,
    listed,
    record,
    text,
)

METADATA = "maxsup-analysis shard"
UNSIGNED = b"0" * 64
LONGEST_HEADER = 2**26
SIZES = {"I64": 8, "F64": 8, "F32": 4, "F16": 2, "BF16": 2}
NAMES = {"I64": "int64", "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Ids are any 64-bit integers.
MOST_ID = 2**63 - 1


class DamagedShard(ValueError):
    """The file is not the shard that was written."""


@dataclass(frozen=True)
class Skipped:
    """A sample that was left out, and why."""

    id: int
    name: str
    reason: str

    def to_plain(self) -> dict[str, object]:
        """As JSON."""
        return {"id": self.id, "name": self.name, "reason": self.reason}


def skipped_of(value: object) -> tuple[Skipped, ...]:
    """What `to_plain` made of several; raises IllFormed."""
    found = []
    for one in listed(value, "skipped"):
        entry = record(one, "a skipped sample", ("id", "name", "reason"))
        number = integer(entry["id"], "id of a skipped sample", -MOST_ID - 1, MOST_ID)
        name, reason = (text(entry[field], f"{field} of a skipped sample") for field in ("name", "reason"))
        found.append(Skipped(number, name, reason))
    return tuple(found)


@dataclass(frozen=True)
class ShardNote:
    """Where a shard belongs: the content key of its store, its number, and what was left out of it."""

    key: str
    number: int
    skipped: tuple[Skipped, ...] = ()

    def to_text(self, sha256: str) -> str:
        """As it stands in the metadata."""
        plain = {"key": self.key, "number": self.number, "skipped": [one.to_plain() for one in self.skipped]}
        return json.dumps({**plain, "sha256": sha256}, sort_keys=True)


@dataclass(frozen=True)
class Column:
    """Type and shape of a column, as safetensors has them."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """What it takes in the file."""
        return SIZES[self.dtype] * math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What stands before the rows of a shard.

    content: its bytes. signature: the SHA-256 that the shard says it has. columns: in the order of the file.
    """

    content: bytes
    note: ShardNote
    signature: str
    columns: Mapping[str, Column]

    @property
    def rows(self) -> int:
        """How many samples there are."""
        return self.columns["ids"].shape[0]

    @property
    def bytes(self) -> int:
        """What the file has to take."""
        return len(self.content) + sum(column.bytes for column in self.columns.values())

    @property
    def types(self) -> dict[str, str]:
        """The type of each column, as the manifest names it."""
        return {name: NAMES[column.dtype] for name, column in self.columns.items()}

    def width(self, name: str) -> int | None:
        """Numbers a sample in a column of several; None where there is no such column."""
        return self.columns[name].shape[1] if name in self.columns else None


def shard_name(number: int) -> str:
    """Name of the file.

    Example:
        >>> shard_name(12)
        'rows-00012.safetensors'
    """
    return f"rows-{number:05d}.safetensors"


def read_header(file: BinaryIO) -> Header:
    """The header of an opened shard, which is left at the first byte of its rows; raises DamagedShard."""
    content = _content(file)
    try:
        parsed = json.loads(content[8:])
        note, signature = _note(parsed.pop("__metadata__"))
        return Header(content, note, signature, _columns(parsed))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DamagedShard("its header is damaged") from None


def _content(file: BinaryIO) -> bytes:
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > LONGEST_HEADER:
        raise DamagedShard("it has no header")
    content = start + file.read(length)
    if len(content) != 8 + length:
        raise DamagedShard("it is cut short")
    return content


def _note(metadata: object) -> tuple[ShardNote, str]:
    only = record(metadata, "metadata", (METADATA,))
    plain = record(
        json.loads(text(only[METADATA], METADATA)), METADATA, ("key", "number", "skipped", "sha256")
    )
    note = ShardNote(
        hexadecimal(plain["key"], "key", 64), integer(plain["number"], "number"), skipped_of(plain["skipped"])
    )
    return note, hexadecimal(plain["sha256"], "sha256", 64)


def _columns(parsed: object) -> dict[str, Column]:
    """By name; each begins where the one before it ends, and all have as many rows."""
    entries = record(parsed, "header", ("ids", "labels", "features"), ("logits",))
    end, found = 0, {}
    for name, value in entries.items():
        entry = record(value, name, ("dtype", "shape", "data_offsets"))
        shape = tuple(integer(length, f"shape of {name}") for length in listed(entry["shape"], name))
        column = Column(text(entry["dtype"], name), shape)
        if len(shape) != (2 if name in ("features", "logits") else 1) or column.dtype not in SIZES:
            raise IllFormed(f"{name} has another shape or type")
        begin, end = end, integer(end + column.bytes, name, most=LARGEST)
        if entry["data_offsets"] != [begin, end]:
            raise IllFormed(f"{name} does not follow the column before it")
        found[name] = column
    if len({column.shape[0] for column in found.values()}) != 1:
        raise IllFormed("its columns have other numbers of rows")
    return found
