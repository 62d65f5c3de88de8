"""Containers written by hand, so that their headers can lie."""

import io
import itertools
import json
import pickletools
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from tests.checkpoints.opcodes import items, named, sequence, stream, text, value_of, whole


@dataclass(frozen=True)
class Record:
    """One member of a zip; what is None is told as it is.

    packed: the deflated bytes; then `data` is empty and `crc` and `size` say what they inflate to.
    """

    name: str
    data: bytes
    deflate: bool = False
    packed: bytes | None = None
    crc: int | None = None
    size: int | None = None
    local_name: str | None = None
    local_size: int | None = None

    @property
    def body(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return zlib.compress(self.data, 9, wbits=-15) if self.deflate else self.data

    def fields(self, size: int | None) -> bytes:
        """From `version needed` to `uncompressed size`, as both headers hold them."""
        method = 8 if self.deflate else 0
        crc = zlib.crc32(self.data) if self.crc is None else self.crc
        stored = len(self.body) if self.deflate or size is None else size
        return struct.pack(
            "<HHHHHIII", 20, 0x800, method, 0, 33, crc, stored, len(self.data) if size is None else size
        )


def zipped(records: Iterable[Record]) -> bytes:
    """A zip archive of records."""
    body, directory, count = b"", b"", 0
    for record in records:
        local = (record.local_name or record.name).encode()
        name, offset, count = record.name.encode(), len(body), count + 1
        size = record.size if record.local_size is None else record.local_size
        body += b"PK\x03\x04" + record.fields(size) + struct.pack("<HH", len(local), 0) + local + record.body
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + record.fields(record.size)
        directory += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, offset) + name
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def torch_records(document: bytes, storages: Mapping[str, bytes], root: str = "archive") -> list[Record]:
    """The members that torch.save writes."""
    return [
        Record(f"{root}/data.pkl", document),
        Record(f"{root}/.format_version", b"1"),
        Record(f"{root}/.storage_alignment", b"64"),
        Record(f"{root}/byteorder", b"little"),
        *(Record(f"{root}/data/{key}", content) for key, content in storages.items()),
        Record(f"{root}/version", b"3\n"),
        Record(f"{root}/.data/serialization_id", b"0" * 40),
    ]


def torch_zip(document: bytes, storages: Mapping[str, bytes]) -> bytes:
    """What torch.save writes."""
    return zipped(torch_records(document, storages))


def saved(thing: object, *, legacy: bool = False) -> bytes:
    """The bytes that torch.save makes of a thing."""
    file = io.BytesIO()
    torch.save(thing, file, _use_new_zipfile_serialization=not legacy)
    return renumbered(file.getvalue()) if legacy else file.getvalue()


def leading_pickles(content: bytes, count: int) -> list[bytes]:
    """The pickles that a stream begins with."""
    file, places = io.BytesIO(content), [0]
    for _ in range(count):
        for _ in pickletools.genops(file):
            pass
        places.append(file.tell())
    return [content[begin:end] for begin, end in itertools.pairwise(places)]


def renumbered(content: bytes) -> bytes:
    """A legacy stream of floats whose storages are named 0, 1, ... in their order; torch names them by address."""
    *facts, document, keys = leading_pickles(content, 5)
    place = len(b"".join([*facts, document, keys]))
    bodies = {}
    for opcode, key, _ in pickletools.genops(keys):
        if opcode.name == "BINUNICODE":
            length = 8 + 4 * struct.unpack_from("<q", content, place)[0]
            bodies[key], place = content[place : place + length], place + length
    order = sorted(bodies, key=lambda key: document.index(text(key)))
    for number, key in enumerate(order):
        document = document.replace(text(key), text(str(number)))
    names = stream(sequence(*(text(str(number)) for number in range(len(order)))))
    return b"".join([*facts, document, names, *(bodies[key] for key in order)])


def unzipped(archive: bytes) -> dict[str, bytes]:
    """The members of a zip, their first folder dropped."""
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        return {name.partition("/")[2]: members.read(name) for name in members.namelist()}


def storages_of(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """The storages among the members of a torch zip."""
    return {name.removeprefix("data/"): body for name, body in members.items() if name.startswith("data/")}


def tarred(members: Mapping[str, bytes]) -> bytes:
    """A tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, body in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return file.getvalue()


def torch_tar(document: bytes, storages: Mapping[str, bytes]) -> bytes:
    """What torch 0.1.10 wrote: one-dimensional tensors "0", "1", ... and a pickle that names them."""
    kept, tensors = stream(whole(len(storages))), stream(whole(len(storages)))
    for key, body in storages.items():
        kept += stream(items(text(key), text("cpu"), named("torch", "FloatStorage")))
        kept += struct.pack("<q", len(body) // 4) + body
        tensors += stream(items(text(key), text(key), named("torch", "FloatTensor")))
        tensors += struct.pack("<iiqqq", 1, 0, len(body) // 4, 1, 0)
    facts = stream(value_of({"protocol_version": 1000, "little_endian": True}))
    return tarred({"sys_info": facts, "pickle": document, "storages": kept, "tensors": tensors})


def safetensors(header: object, body: bytes = b"", claimed: int | None = None) -> bytes:
    """A safetensors file; a header that is not bytes is written as JSON."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded) if claimed is None else claimed) + encoded + body


def npy(header: str, body: bytes) -> bytes:
    """A NumPy array file with any header."""
    encoded = header.encode("latin-1")
    encoded += b" " * (-(len(encoded) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(encoded)) + encoded + body
