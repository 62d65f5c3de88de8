"""From a file or folder to weights and what is known of them; and writing one that says what it is."""

import json
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from maxsup_analysis.containers import Record, StoredTensor
from maxsup_analysis.containers.contents import ITEM_SIZES
from maxsup_analysis.containers.verify import beside, blocks, place_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.files import refusing_to_write, write_durably
from maxsup_analysis.inspection import Inspection, inspect_checkpoint

FORMAT = "maxsup-analysis checkpoint, version 2"
DTYPES: Mapping[str, torch.dtype] = {name: getattr(torch, name) for name in ITEM_SIZES}
MAPPED = "the bytes behind its tensors changed while they were read; try again when nothing writes to it"


@dataclass(frozen=True)
class Checkpoint:
    """Weights, and what the file says and shows of them.

    written: the weights by the names in the file; the tensors are backed by the file.
    sha256: digest of the bytes.
    """

    written: Mapping[str, Tensor]
    inspection: Inspection
    sha256: str

    @property
    def state_dict(self) -> dict[str, Tensor]:
        """The weights by names without wrappers; the tensors are backed by the file."""
        return {name: self.written[place] for name, place in self.inspection.weights.stages[0].items()}

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.inspection.path.name

    @property
    def about(self) -> dict[str, object]:
        """As `maxsup-analyze inspect --json` shows it."""
        return self.inspection.to_plain()


def save_checkpoint(
    path: Path,
    state_dict: Mapping[str, Tensor],
    metadata: Mapping[str, object],
    *,
    ema: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint: whole and on the disk once this returns, else InputError and nothing is there.

    ema: the average of the weights over training, beside them.
    """
    # Through JSON: bytes do not depend on which equal words happen to be one object.
    plain = json.loads(json.dumps(dict(metadata)))
    content = {"format": FORMAT, "metadata": plain, "state_dict": dict(state_dict)}
    if ema is not None:
        content["state_dict_ema"] = dict(ema)
    # Not torch.save to the path: a full disk would be a RuntimeError, and the bytes would hold the name of the file.
    buffer = BytesIO()
    torch.save(content, buffer)
    with refusing_to_write(path, "make room, or choose another output with -o"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, buffer.getbuffer())


def open_checkpoint(
    path: Path,
    *,
    use_ema: bool | None = None,
    weights_key: str | None = None,
    expect_sha256: str | None = None,
) -> Checkpoint:
    """Open any checkpoint, verify its bytes, and take the weights of the classifier; nothing in it is run.

    use_ema, weights_key: which of several weights; see `maxsup_analysis.weights.choose_weights`.
    expect_sha256: the digest that the file has to have; of a folder, also what says which network the weights belong
        to is in it.

    Raises InputError, which names the file, for what is no checkpoint, damaged, ambiguous or changed meanwhile.
    """
    before = _stamp(path)
    found = inspect_checkpoint(path, use_ema=use_ema, weights_key=weights_key, verify=True)
    digest = found.sha256
    assert digest is not None
    if expect_sha256 is not None and digest != expect_sha256.lower():
        raise InputError(
            f"{path}: expected SHA-256 {expect_sha256}, got {digest}; it is another file, or damaged"
        )
    if expect_sha256 is not None and not path.is_dir() and found.folder is not None:
        raise InputError(
            f"{path}: its SHA-256 is right, but does not cover {' and '.join(beside(path.parent))} beside it, which "
            f"say what network it is; give the folder, {path.parent}, and the SHA-256 that inspect shows of it"
        )
    try:
        written = load_tensors(path, found.weights.written)
    except InputError as refusal:
        raise InputError(f"{path}: {refusal}") from None
    if _stamp(path) != before:
        raise InputError(f"{path}: {MAPPED}")
    return Checkpoint(written, found, digest)


def load_tensors(path: Path, stored: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
    """The tensors that a container describes, over memory that is mapped from its files."""
    maps = _Maps(path)
    return {name: _tensor(maps, tensor) for name, tensor in stored.items()}


class _Maps:
    """The files of a checkpoint, each mapped once: private pages, so that nothing reaches the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, mmap.mmap] = {}
        self._made: dict[Record, bytearray] = {}

    def bytes_of(self, record: Record, start: int, count: int) -> Tensor:
        """Some bytes of a record as a tensor of uint8 that begins its own storage."""
        if record.inline is None and record.inflated is None:
            buffer, start = self._mapped(record), record.offset + start
        else:
            buffer = self._unpacked(record)
        return torch.frombuffer(buffer, dtype=torch.uint8, offset=start, count=count)

    def _unpacked(self, record: Record) -> bytearray:
        if record not in self._made:
            inline = record.inline
            packed = [inline.encode("latin-1")] if inline is not None else blocks(self.path, record)
            self._made[record] = bytearray(b"".join(packed))
        return self._made[record]

    def _mapped(self, record: Record) -> mmap.mmap:
        if record.file not in self._files:
            with place_of(self.path, record).open("rb") as file:
                self._files[record.file] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        mapped = self._files[record.file]
        if record.offset + record.size > len(mapped):
            raise InputError(MAPPED)
        return mapped


def _tensor(maps: _Maps, stored: StoredTensor) -> Tensor:
    dtype = DTYPES[stored.dtype]
    if not stored.size:
        return torch.empty(stored.shape, dtype=dtype)
    if stored.parts:
        return _assembled(maps, stored, dtype)
    width = dtype.itemsize
    span = 1 + sum((length - 1) * step for length, step in zip(stored.shape, stored.stride, strict=True))
    raw = maps.bytes_of(stored.record, stored.start, span * width)
    if stored.big_endian and width > 1:
        raw = _swapped(raw, width // 2 if dtype.is_complex else width)
    if raw.data_ptr() % width:
        raw = raw.clone()
    return raw.view(dtype).as_strided(stored.shape, stored.stride)


def _swapped(raw: Tensor, width: int) -> Tensor:
    return raw.view(-1, width).flip(1).reshape(-1)


def _assembled(maps: _Maps, stored: StoredTensor, dtype: torch.dtype) -> Tensor:
    whole = torch.empty(stored.shape, dtype=dtype)
    for position, part in stored.parts:
        place = tuple(slice(first, first + size) for first, size in zip(position, part.shape, strict=True))
        whole[place] = _tensor(maps, part)
    return whole


def _stamp(path: Path) -> Sequence[tuple[int, int, int]]:
    """What tells that a file has changed: inode, size, time of writing."""
    try:
        paths = sorted(path.iterdir()) if path.is_dir() else [path]
        stats = [os.stat(each) for each in paths]
    except OSError:
        return ()
    return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]
