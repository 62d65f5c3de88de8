"""The samples in one tar: members with one key, `xyz.jpg` with `xyz.cls` or `xyz.json`."""

import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from maxsup_analysis.datasets.decoding import IMAGE_ENDINGS
from maxsup_analysis.datasets.left_out import LeftOut
from maxsup_analysis.datasets.pieces import piece_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
# Bytes of a file with a label: descriptions of images may stand beside it.
MOST_LABEL_BYTES = 2**20
WHOLE_NUMBER = re.compile(rb"\s*-?[0-9]{1,18}\s*")


@dataclass(frozen=True)
class Member:
    """A file in a tar."""

    name: str
    start: int
    size: int

    @property
    def key(self) -> str:
        """The name up to the first dot of its last part."""
        folder, _, name = self.name.rpartition("/")
        return f"{folder}/{name.partition('.')[0]}"

    @property
    def ending(self) -> str:
        """What follows the key."""
        return self.name.rpartition("/")[2].partition(".")[2].lower()

    @property
    def is_image(self) -> bool:
        """Whether it ends as images do."""
        return f".{self.ending}".endswith(IMAGE_ENDINGS)


@dataclass(frozen=True)
class LabelledMember:
    """An image in a tar, and its label."""

    image: Member
    label: int


def samples_of(tar: Path, left_out: LeftOut) -> Iterator[LabelledMember]:
    """Images and labels of a tar, in its order; members of one key stand together.

    What is part of no sample is added to those left out. InputError where a member is there twice, a sample has
    several images or none that is the image, or its labels are missing or disagree.
    """
    seen: set[str] = set()
    for key, group in groupby(_members(tar, left_out), lambda member: member.key):
        members = list(group)
        shown = clean_label(key.strip("/"), 200)
        if key in seen or len({member.ending for member in members}) < len(members):
            raise InputError(
                f"the key {shown} is in {tar} more than once, so that its samples would be one; a sample is KEY.jpg "
                "and KEY.cls, the key up to the first dot: pack it again"
            )
        seen.add(key)
        image = _image(tar, shown, [member for member in members if member.is_image])
        files = {member.ending: member for member in members}
        if image is not None:
            yield LabelledMember(image, _label(tar, shown, files))
        for member in members:
            if image is None or (member.is_image and member != image):
                left_out.add(member.name)


def _image(tar: Path, key: str, images: Sequence[Member]) -> Member | None:
    """The image of a sample: the one whose ending is of one part, as jpg is and depth.png is not."""
    plain = [member for member in images if "." not in member.ending]
    chosen = plain or images
    if len(chosen) > 1:
        names = ", ".join(clean_label(member.ending) for member in chosen[:4])
        raise InputError(
            f"the sample {key} in {tar} has {len(chosen)} images ({names}); expected one image and its label: pack "
            "each under a key of its own"
        )
    return chosen[0] if chosen else None


def _members(tar: Path, left_out: LeftOut) -> Iterator[Member]:
    if tar.name.lower().endswith(COMPRESSED):
        raise InputError(
            f"{tar} is compressed, and its images cannot be read by their place; decompress it first"
        )
    try:
        with tarfile.open(tar, "r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # Otherwise it keeps all of them.
                if member.isreg() and not member.issparse():
                    yield Member(member.name, member.offset_data, member.size)
                elif not member.isdir():
                    left_out.add(member.name)
    except (OSError, tarfile.TarError, ValueError, ArithmeticError, LookupError, RecursionError) as reason:
        if isinstance(reason, InputError):
            raise
        detail = clean_label(" ".join(str(reason).split()), 120)
        raise InputError(
            f"{tar} is not a whole tar file without compression ({detail}); fetch it again"
        ) from None


def _label(tar: Path, key: str, files: Mapping[str, Member]) -> int:
    """What KEY.cls says, else KEY.json; InputError where both do, and differ."""
    found = {
        ending: _number(tar, key, files[ending], read)
        for ending, read in (("cls", _in_text), ("json", _in_json))
        if ending in files
    }
    labels = {label for label in found.values() if label is not None}
    if len(labels) == 1:
        return labels.pop()
    if labels:
        raise InputError(
            f"{key}.cls in {tar} says {found['cls']} and {key}.json says {found['json']}; leave the wrong one out"
        )
    if "json" in found:
        raise _no_number(tar, key)
    raise InputError(f"the image {key} in {tar} has no label; expected {key}.cls or {key}.json with a label")


def _number(tar: Path, key: str, member: Member, read: Callable[[bytes], int | None]) -> int | None:
    if member.size > MOST_LABEL_BYTES:
        raise InputError(
            f"{clean_label(member.name, 200)} in {tar} has {member.size:,} bytes, too many for a label; pack it again"
        )
    try:
        return read(piece_of(tar, member.start, member.size))
    except (ValueError, RecursionError):
        raise _no_number(tar, key) from None


def _no_number(tar: Path, key: str) -> InputError:
    return InputError(f"expected a whole number as the label of {key} in {tar}; number the classes")


def _in_text(content: bytes) -> int:
    if not WHOLE_NUMBER.fullmatch(content):
        raise ValueError("no whole number")
    return int(content)


def _in_json(content: bytes) -> int | None:
    """The label in a description of an image, None where it has none."""
    described = json.loads(content)
    if not isinstance(described, dict):
        raise ValueError("no description")
    label = described.get("label")
    if label is not None and type(label) is not int:
        raise ValueError("no whole number")
    return label
