"""Whether the bytes are what the container says: CRC-32 of every record that has one, SHA-256 of it all."""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from maxsup_analysis.containers.contents import Contents, Record
from maxsup_analysis.containers.folders import INDEXES, SIDECARS
from maxsup_analysis.errors import InputError

BLOCK = 1 << 20


def verified(path: Path, contents: Contents) -> str:
    """The SHA-256 of a file (of a folder: of the digests of the files used); InputError where a checksum fails.

    Of a folder, the files used are those of the weights and those that say what network they belong to.
    """
    files = (*contents.files, *(beside(path) if path.is_dir() else ()))
    # Both release Python's lock while they work.
    with ThreadPoolExecutor(2) as workers:
        digest = workers.submit(sha256_of, path, dict.fromkeys(files))
        workers.submit(check_records, path, contents.records).result()
        return digest.result()


def beside(folder: Path) -> tuple[str, ...]:
    """The small files in a folder that say which weights there are and what network they belong to."""
    return tuple(name for name in (*SIDECARS, *INDEXES) if (folder / name).is_file())


def sha256_of(path: Path, files: Iterable[str]) -> str:
    """Digest of a file; of a folder, the digest over name and digest of the files named."""
    if not path.is_dir():
        return _digest(path)
    lines = [f"{_digest(path / name)}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_records(path: Path, records: Iterable[Record]) -> None:
    """Raise InputError at the first record whose CRC-32 is not the one that the container gives."""
    for record in records:
        if record.crc is not None and _crc(path, record) != record.crc:
            raise InputError(
                f"{path}: {record.length:,} bytes at {record.offset:,} are damaged (CRC-32 differs); fetch the file "
                "again"
            )


def place_of(path: Path, record: Record) -> Path:
    """The file that a record lies in."""
    return path / record.file if record.file else path


def _crc(path: Path, record: Record) -> int:
    crc = 0
    for block in blocks(path, record):
        crc = zlib.crc32(block, crc)
    return crc


def blocks(path: Path, record: Record) -> Iterator[bytes]:
    """The bytes of a record, inflated where they are deflated, never more than it claims."""
    stream = zlib.decompressobj(-15) if record.inflated is not None else None
    left = record.length
    with place_of(path, record).open("rb") as file:
        file.seek(record.offset)
        for start in range(0, record.size, BLOCK):
            block = file.read(min(BLOCK, record.size - start))
            if stream is None:
                yield block
                continue
            while block and left:
                inflated = stream.decompress(block, BLOCK)
                block, left = stream.unconsumed_tail, left - len(inflated)
                yield inflated
