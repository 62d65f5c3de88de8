"""Zip archives, read strictly: what the local headers, the directory and the end say has to be one story.

Readers that trust one of the three are how scanners are deceived and how damage passes unseen. What torch writes has
besides a fixed form outside of its records (padding, zero fields), which is held against it byte by byte.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from maxsup_analysis.containers.contents import Record
from maxsup_analysis.containers.files import Window
from maxsup_analysis.errors import InputError

END, END64, LOCATOR64 = struct.Struct("<4s4H2IH"), struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI")
ENTRY, LOCAL = struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s5H3I2H")
MEMBER_LIMIT = 200_000
DIRECTORY_LIMIT = 1 << 26
STORED, DEFLATED = 0, 8
HAS_DESCRIPTOR = 1 << 3


@dataclass(frozen=True)
class Member:
    """A file in the archive, as the directory describes it.

    offset: where its bytes start, behind the local header.
    header: where its local header starts; end: where its data descriptor ends.
    """

    name: str
    method: int
    crc: int
    size: int
    stored: int
    header: int
    offset: int
    end: int

    def record(self, file: str, base: int) -> Record:
        """Its bytes as they lie in a file."""
        inflated = self.size if self.method == DEFLATED else None
        # Zero is what torch writes where it was told not to compute checksums.
        return Record(file, base + self.offset, self.stored, self.crc or None, inflated)


@dataclass(frozen=True)
class _Entry:
    """A line of the directory."""

    name: bytes
    needed: int
    flags: int
    method: int
    stamp: tuple[int, int]
    crc: int
    stored: int
    size: int
    header: int
    rest: tuple[int, ...]


@dataclass(frozen=True)
class _End:
    """Where the directory lies, how many entries it has, and the bytes that say so."""

    count: int
    size: int
    offset: int
    tail: int
    plain: bool


def read_archive(window: Window) -> dict[str, Member]:
    """The members by name; raises InputError for damage, contradictions, duplicates, gaps and encryption."""
    end = _end(window)
    entries = list(_entries(window, end))
    of_torch = any(_local_extra(window, entry)[:2] == b"FB" for entry in entries[:2])
    borders = [*sorted(entry.header for entry in entries)[1:], end.offset]
    place, members = 0, {}
    for entry, border in zip(sorted(entries, key=lambda entry: entry.header), borders, strict=True):
        member = _member(window, entry, border, of_torch=of_torch)
        if member.header != place or member.end != border:
            raise InputError(f"it is damaged: bytes around {place:,} belong to none of its records")
        if member.name in members:
            raise InputError(f"it has two records called {member.name[:80]!r}")
        members[member.name], place = member, border
    if of_torch and (any(any(entry.rest) for entry in entries) or not end.plain):
        raise InputError("it is damaged: its directory is not as torch.save writes it")
    return members


def contents_of(window: Window, member: Member, *, limit: int) -> bytes:
    """A member's bytes, inflated and checked; InputError where they are not what the directory says."""
    if member.size > limit:
        raise InputError(f"its record {member.name[:80]!r} has {member.size:,} bytes, more than {limit:,}")
    data = window.at(member.offset, member.stored)
    if member.method == DEFLATED:
        data = inflate(data, member.size)
    if member.crc and zlib.crc32(data) != member.crc:
        raise InputError(f"its record {member.name[:80]!r} is damaged (CRC-32 differs); fetch the file again")
    return data


def inflate(data: bytes, size: int) -> bytes:
    """Deflated bytes, to exactly `size`."""
    stream = zlib.decompressobj(-15)
    try:
        inflated = stream.decompress(data, size + 1)
    except zlib.error as reason:
        raise InputError(f"one of its records is damaged ({reason}); fetch the file again") from None
    if len(inflated) != size:
        raise InputError(f"one of its records inflates to other than the {size:,} bytes it claims")
    return inflated


def _end(window: Window) -> _End:
    place = window.size - END.size
    signature, *numbers = _unpack(END, window, place)
    disk, directory_disk, here, count, size, offset, comment = numbers
    if signature != b"PK\x05\x06" or comment:
        raise InputError("it is cut off or damaged: a zip archive without its end; fetch or save it again")
    if disk or directory_disk or here != count:
        raise InputError("it is damaged: its end contradicts itself")
    plain, tail = True, place
    if 0xFFFFFFFF in (size, offset) or count == 0xFFFF or window.at(place - 20, 4) == b"PK\x06\x07":
        count, size, offset, tail, plain = _end64(window, place, (count, size, offset))
    if offset + size != tail or count > MEMBER_LIMIT or size > DIRECTORY_LIMIT:
        raise InputError("it is damaged: its directory is not where its end says")
    return _End(count, size, offset, tail, plain)


def _end64(window: Window, end: int, short: tuple[int, int, int]) -> tuple[int, int, int, int, bool]:
    place = end - LOCATOR64.size
    signature, disk, tail, disks = _unpack(LOCATOR64, window, place)
    if signature != b"PK\x06\x07" or disk or disks != 1 or tail + END64.size != place:
        raise InputError("it is damaged: the locator of its directory is not sound")
    values = _unpack(END64, window, tail)
    signature, length, made, needed, first, second, here, count, size, offset = values
    if signature != b"PK\x06\x06" or length != 44 or first or second or here != count:
        raise InputError("it is damaged: the long form of its end contradicts itself")
    limits = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    if any(a not in (b, most) for a, b, most in zip(short, (count, size, offset), limits, strict=True)):
        raise InputError("it is damaged: the two forms of its end contradict each other")
    return count, size, offset, tail, (made, needed) == (0x031E, 0x2D)


def _entries(window: Window, end: _End) -> Iterator[_Entry]:
    place = end.offset
    for _ in range(end.count):
        values = _unpack(ENTRY, window, place)
        signature, made, needed, flags, method, time, date, crc, stored, size = values[:10]
        name_length, extra_length, comment_length, disk, internal, external, header = values[10:]
        if signature != b"PK\x01\x02":
            raise InputError("it is damaged: an entry of its directory is not sound")
        name = window.at(place + ENTRY.size, name_length)
        extra = window.at(place + ENTRY.size + name_length, extra_length)
        size, stored, header = _long_sizes(extra, size, stored, header)
        rest = (made, time, date, disk, internal, external, comment_length)
        yield _Entry(name, needed, flags, method, (time, date), crc, stored, size, header, rest)
        place += ENTRY.size + name_length + extra_length + comment_length
    if place != end.offset + end.size:
        raise InputError("it is damaged: its directory is longer or shorter than its end says")


def _long_sizes(extra: bytes, size: int, stored: int, header: int) -> tuple[int, int, int]:
    """Sizes beyond 4 GB stand in an extra field."""
    fields = dict(_extra_fields(extra))
    numbers = iter(struct.unpack(f"<{len(fields.get(1, b'')) // 8}Q", fields.get(1, b"")[:32]))
    try:
        long = [next(numbers) if value == 0xFFFFFFFF else value for value in (size, stored, header)]
    except StopIteration:
        raise InputError("it is damaged: the long sizes of a record are missing") from None
    return long[0], long[1], long[2]


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(extra):
        if place + 4 > len(extra):
            raise InputError("it is damaged: an extra field is cut off")
        kind, length = struct.unpack_from("<2H", extra, place)
        if place + 4 + length > len(extra) or (kind == 1 and length % 8):
            raise InputError("it is damaged: an extra field is cut off")
        yield kind, extra[place + 4 : place + 4 + length]
        place += 4 + length


def _local_extra(window: Window, entry: _Entry) -> bytes:
    *_, name_length, extra_length = _unpack(LOCAL, window, entry.header)
    return window.at(entry.header + LOCAL.size + name_length, extra_length)


def _member(window: Window, entry: _Entry, border: int, *, of_torch: bool) -> Member:
    name = entry.name.decode("utf-8", "replace")
    if entry.flags & ~(HAS_DESCRIPTOR | 0x0806) or entry.method not in (STORED, DEFLATED):
        raise InputError(f"its record {name[:80]!r} is encrypted or packed in a way that torch never writes")
    values = _unpack(LOCAL, window, entry.header)
    signature, needed, flags, method, time, date, crc, stored, size, name_length, extra_length = values
    extra = _local_extra(window, entry)
    same = (signature, needed, flags, method, (time, date)) == (
        b"PK\x03\x04", entry.needed, entry.flags, entry.method, entry.stamp
    )  # fmt: skip
    same &= window.at(entry.header + LOCAL.size, name_length) == entry.name
    described = bool(entry.flags & HAS_DESCRIPTOR)
    same &= all(
        given in allowed
        for given, allowed in (
            (crc, (entry.crc, 0) if described else (entry.crc,)),
            (stored, (entry.stored, 0xFFFFFFFF, 0) if described else (entry.stored, 0xFFFFFFFF)),
            (size, (entry.size, 0xFFFFFFFF, 0) if described else (entry.size, 0xFFFFFFFF)),
        )
    )
    same &= not (
        of_torch and described and (crc or stored not in (0, 0xFFFFFFFF) or size not in (0, 0xFFFFFFFF))
    )
    same &= not of_torch or _torch_padding(extra)
    offset = entry.header + LOCAL.size + name_length + extra_length
    if not same or (entry.method == STORED and entry.size != entry.stored):
        raise InputError(f"it is damaged: two descriptions of its record {name[:80]!r} differ")
    if offset + entry.stored > border:
        raise InputError(f"it is damaged: its record {name[:80]!r} is cut off")
    end = offset + entry.stored
    end += _descriptor(window, entry, end, border) if described else 0
    return Member(name, entry.method, entry.crc, entry.size, entry.stored, entry.header, offset, end)


def _torch_padding(extra: bytes) -> bool:
    fields = dict(_extra_fields(extra))
    return set(fields) <= {1, 0x4246} and not fields.get(0x4246, b"").strip(b"Z")


def _descriptor(window: Window, entry: _Entry, place: int, border: int) -> int:
    """The length of the descriptor behind a record's bytes, which repeats its checksum and sizes."""
    for form in ("<II", "<QQ"):
        body = struct.pack("<I", entry.crc)
        if max(entry.stored, entry.size) > 0xFFFFFFFF and form == "<II":
            continue
        body += struct.pack(form, entry.stored, entry.size)
        for written in (b"PK\x07\x08" + body, body):
            if border - place == len(written) and window.at(place, len(written)) == written:
                return len(written)
    raise InputError(f"it is damaged: what follows its record {entry.name[:80].decode('utf-8', 'replace')!r}")


def _unpack(form: struct.Struct, window: Window, place: int) -> tuple:
    if place < 0:
        raise InputError("it is cut off: shorter than an empty zip archive")
    return form.unpack(window.at(place, form.size))


def only(members: Mapping[str, Member], ending: str) -> Member | None:
    """The one member with this last part of its name, beside the top folder; None where there is none."""
    found = [member for name, member in members.items() if name.rpartition("/")[2] == ending]
    top = [member for member in found if member.name.count("/") <= 1]
    if len(top) > 1:
        raise InputError(f"it has {len(top)} records called {ending}")
    return top[0] if top else None
