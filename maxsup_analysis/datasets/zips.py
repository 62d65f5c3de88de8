"""Images in a zip, as the authors of MaxSup, DeiT and Swin keep ImageNet: with a map of files to labels beside it."""

import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int64
from PIL import Image
from torch import Tensor

from maxsup_analysis.datasets.classes import class_labels, class_names, lines_of
from maxsup_analysis.datasets.decoding import IMAGE_ENDINGS, UnreadableImage
from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.left_out import LeftOut
from maxsup_analysis.datasets.pieces import MOST_BYTES, image_in, piece_of
from maxsup_analysis.datasets.split_paths import shared, split_of_paths
from maxsup_analysis.datasets.splits import chosen_split, meaning_of, require_one_class, split_in
from maxsup_analysis.datasets.stamps import file_stamps
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label

LOCAL_HEADER = struct.Struct("<4s22xHH")
ENCRYPTED = 1
LABEL = re.compile("[0-9]{1,18}")
# Images are packed already: beyond so many bytes one that shrinks to a part of this is a bomb.
FEW_BYTES, MOST_PACKED = 2**24, 100


@dataclass(frozen=True)
class ZipImages:
    """Members of a zip; a row of `places` is where the header is, compressed size, size, method, CRC, flags."""

    zip: Path
    names: tuple[str, ...]
    places: np.ndarray

    def image(self, number: int) -> Image.Image:
        """One image, read from its place."""
        return image_in(_content(self.zip, *(int(value) for value in self.places[number])))

    def called(self, number: int) -> str:
        """Its path in the zip."""
        return self.names[number]

    def entries(self) -> Iterator[str]:
        """Path and size of each image."""
        return (f"{name}\0{size}" for name, size in zip(self.names, self.places[:, 2], strict=True))

    def stamps(self, *, hash_contents: bool) -> Iterator[str]:
        """Size and time of change of the zip, or its SHA-256."""
        return file_stamps([self.zip], self.zip.parent, hash_contents=hash_contents)


def names_zip(name: str) -> bool:
    """Whether this is a zip."""
    return name.lower().endswith(".zip") and Path(name).is_file()


@dataclass(frozen=True)
class _Listing:
    """Paths in a zip, the number of the class of each, and the names of the classes.

    by_folder: whether the classes are folders, in the order of their names.
    """

    split: str
    paths: tuple[str, ...]
    labels: Int64[Tensor, " N"]
    class_names: tuple[str, ...]
    by_folder: bool


def zip_samples(name: str, split: str | None, data_dir: Path | None = None) -> ImageSamples:
    """The images that the map beside a zip lists, or those in folders of classes where there is no map."""
    file, left_out = Path(name), LeftOut(name)
    members, (beside, stated) = _members(file, left_out), _map_beside(file, split)
    left_out.say()
    listing = (
        _by_map(beside, file, members, split, stated) if beside else _by_folder(file, list(members), split)
    )
    places = np.array([members[path] for path in listing.paths], np.int64)
    source = ZipImages(file, listing.paths, places)
    return ImageSamples(
        file.stem,
        listing.split,
        source,
        listing.labels,
        listing.class_names,
        sorted_classes=listing.by_folder,
    )


def _members(file: Path, left_out: LeftOut) -> dict[str, tuple[int, ...]]:
    """Where each image in a zip is; InputError where two have one name."""
    found: dict[str, tuple[int, ...]] = {}
    for one in _entries(file):
        if one.filename.startswith("__MACOSX/") or one.is_dir():
            continue
        if not one.filename.lower().endswith(IMAGE_ENDINGS):
            left_out.add(one.filename)
            continue
        if one.filename in found:
            shown = clean_label(one.filename, 200)
            raise InputError(f"{file} has {shown} more than once, so one image would be lost; pack it again")
        found[one.filename] = (
            one.header_offset, one.compress_size, one.file_size, one.compress_type, one.CRC, one.flag_bits,
        )  # fmt: skip
    return found


def _entries(file: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except (
        OSError,
        zipfile.BadZipFile,
        ValueError,
        ArithmeticError,
        LookupError,
        NotImplementedError,
        struct.error,
    ) as why:
        detail = clean_label(" ".join(str(why).split()), 120)
        raise InputError(f"{file} is not a whole zip file ({detail}); fetch it again") from None


def _map_beside(file: Path, asked: str | None) -> tuple[Path | None, str | None]:
    """The map of a zip, `STEM_map.txt`, or that of the split, `val_map.txt`; and the split that it states."""
    own = file.with_name(f"{file.stem}_map.txt")
    maps = {path.name.removesuffix("_map.txt"): path for path in sorted(file.parent.glob("*_map.txt"))}
    of_splits = {name: path for name, path in maps.items() if meaning_of(name) and path.is_file()}
    stated = split_in(file.stem)
    if own.is_file() and (stated or not of_splits or asked is None):
        return own, stated
    if stated:
        meant = [name for name in of_splits if meaning_of(name) == meaning_of(stated)]
        return (of_splits[meant[0]], stated) if len(meant) == 1 else (None, stated)
    if not of_splits:
        return None, None
    name = chosen_split(asked, of_splits, f"{file}, by the maps beside it,")
    return of_splits[name], name


def _by_map(
    file: Path, archive: Path, members: Mapping[str, object], asked: str | None, stated: str | None
) -> _Listing:
    """Lines of a path and a label; a path may begin with the name of the zip, as in `val.zip@/`."""
    pairs = [line.rsplit(maxsplit=1) for line in lines_of(file)]
    for pair in pairs:
        if len(pair) != 2 or not LABEL.fullmatch(pair[1]):
            shown = clean_label(" ".join(pair), 100)
            raise InputError(f"expected lines of a path and a label in {file}, got {shown!r}; mend the map")
    paths = [path.rpartition("@/")[2].strip() for path, _ in pairs]
    _require_listed(paths, file, archive, members)
    inside = split_of_paths(paths, asked if asked != stated else None, str(archive), stated)
    chosen = tuple(paths[number] for number in inside.numbers)
    labels = class_labels([int(pairs[number][1]) for number in inside.numbers], str(file))
    names = class_names(labels, _folder_names(chosen, labels.tolist()), str(file))
    return _Listing(inside.name, chosen, labels, names, by_folder=False)


def _require_listed(paths: Sequence[str], file: Path, archive: Path, members: Mapping[str, object]) -> None:
    """Every line is an image of the zip, once; images that no line names are counted."""
    missing = [path for path in paths if path not in members]
    if missing or not paths:
        what = f"{clean_label(missing[0], 200)} and {len(missing) - 1} more" if missing else "any image"
        raise InputError(f"{archive} does not hold {what} of {file}; give the map that belongs to the zip")
    listed = set(paths)
    if len(listed) < len(paths):
        twice = clean_label(next(path for path, count in Counter(paths).items() if count > 1), 200)
        raise InputError(f"{file} lists {twice} more than once; leave one line for each image")
    left_out = LeftOut(str(archive), f"not in {file.name}")
    for path in members:
        if path not in listed:
            left_out.add(path)
    left_out.say()


def _folder_names(paths: Sequence[str], labels: Sequence[int]) -> list[str] | None:
    """The folder of each class, where each has one of its own."""
    folders: dict[int, set[str]] = {}
    for path, label in zip(paths, labels, strict=True):
        folders.setdefault(label, set()).add(PurePosixPath(path).parent.name)
    names = [folders.get(label, {str(label)}) for label in range(max(labels) + 1)]
    distinct = {name for name in set().union(*names) if name}
    if any(len(name) != 1 for name in names) or len(distinct) != len(names):
        return None
    return [next(iter(name)) for name in names]


def _by_folder(archive: Path, paths: list[str], asked: str | None) -> _Listing:
    """The classes are folders, below those that all images share, and below those of splits."""
    inside = split_of_paths(sorted(paths), asked, str(archive), split_in(archive.stem))
    chosen = [sorted(paths)[number] for number in inside.numbers]
    parts = [PurePosixPath(path).parts for path in chosen]
    # The deepest folder that all share is the class where there is one class only.
    depth = min(shared([one[:-1] for one in parts]), min((len(one) for one in parts), default=0) - 2)
    if not parts or depth < 0:
        raise InputError(
            f"expected a map of files to labels beside {archive} ({archive.stem}_map.txt), or a folder of images for "
            "each class in it, found neither; check --data"
        )
    names = sorted({one[depth] for one in parts})
    inner: dict[str, set[str]] = {}
    for one in parts:
        inner.setdefault(one[depth], set()).update(one[depth + 1 : -1][:1])
    for name, folders in inner.items():
        require_one_class(folders, f"{archive}: {clean_label(name)}")
    place = {name: label for label, name in enumerate(names)}
    labels = class_labels([place[one[depth]] for one in parts], str(archive))
    return _Listing(
        inside.name, tuple(chosen), labels, class_names(labels, names, str(archive)), by_folder=True
    )


def _content(
    archive: Path, header: int, compressed: int, size: int, method: int, crc: int, flags: int
) -> bytes:
    if flags & ENCRYPTED:
        raise UnreadableImage("encrypted")
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnreadableImage(f"compressed by method {method}, expected stored or deflated")
    if size > MOST_BYTES or (size > FEW_BYTES and size > MOST_PACKED * compressed):
        raise UnreadableImage(f"{size:,} bytes unpacked, more than any image")
    magic, name, extra = LOCAL_HEADER.unpack(piece_of(archive, header, LOCAL_HEADER.size))
    packed = piece_of(archive, header + LOCAL_HEADER.size + name + extra, compressed)
    content = packed if method == zipfile.ZIP_STORED else _inflated(packed, size)
    if magic != b"PK\3\4" or len(content) != size or zlib.crc32(content) != crc:
        raise UnreadableImage("damaged in the archive")
    return content


def _inflated(packed: bytes, size: int) -> bytes:
    """At most one byte more than there should be."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    except zlib.error:
        raise UnreadableImage("damaged in the archive") from None
