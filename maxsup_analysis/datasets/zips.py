"""Images in a zip, as the authors of MaxSup, DeiT and Swin keep ImageNet: with a map of files to labels beside it."""

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int64
from PIL import Image
from torch import Tensor

from maxsup_analysis.datasets.classes import class_labels, class_names
from maxsup_analysis.datasets.decoding import IMAGE_ENDINGS, UnreadableImage
from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.pieces import MOST_BYTES, image_in, piece_of
from maxsup_analysis.datasets.splits import SPLIT_NAMES, usual_split
from maxsup_analysis.datasets.stamps import file_stamps
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label

LOCAL_HEADER = struct.Struct("<4s22xHH")
ENCRYPTED = 1


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
    paths: tuple[str, ...]
    labels: Int64[Tensor, " N"]
    class_names: tuple[str, ...]


def zip_samples(name: str, split: str | None, data_dir: Path | None = None) -> ImageSamples:
    """The images that the map beside a zip lists, or those in folders of classes where there is no map."""
    file = Path(name)
    members, beside = _members(file), _map_beside(file, split)
    listing = _by_map(beside, file, members) if beside else _by_folder(file, list(members))
    places = np.array([members[path] for path in listing.paths], np.int64)
    title = usual_split(split) or _split_of(file)
    return ImageSamples(
        file.stem, title, ZipImages(file, listing.paths, places), listing.labels, listing.class_names
    )


def _members(file: Path) -> dict[str, tuple[int, ...]]:
    """Where each image in a zip is."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {
                one.filename: (
                    one.header_offset, one.compress_size, one.file_size, one.compress_type, one.CRC, one.flag_bits,
                )
                for one in archive.infolist()
                if one.filename.lower().endswith(IMAGE_ENDINGS) and not one.filename.startswith("__MACOSX/")
            }  # fmt: skip
    except (OSError, zipfile.BadZipFile) as reason:
        raise InputError(f"{file} is not a whole zip file ({reason}); fetch it again") from None


def _split_of(file: Path) -> str:
    split = usual_split(file.stem)
    return split if split in SPLIT_NAMES else "all"


def _map_beside(file: Path, split: str | None) -> Path | None:
    """`STEM_map.txt`, else that of the split, `val_map.txt` or `train_map.txt`."""
    wanted = SPLIT_NAMES.get(usual_split(split) or _split_of(file), (split,))
    candidates = (file.with_name(f"{name}_map.txt") for name in (file.stem, *wanted))
    return next((path for path in candidates if path.is_file()), None)


def _by_map(file: Path, archive: Path, members: Mapping[str, object]) -> _Listing:
    """Lines of a path and a label; a path may begin with the name of the zip, as in `val.zip@/`."""
    lines = file.read_text("utf-8", "surrogateescape").splitlines()
    pairs = [line.rsplit(maxsplit=1) for line in lines if line.strip()]
    for pair in pairs:
        if len(pair) != 2 or not pair[1].isdecimal():
            shown = clean_label(" ".join(pair), 100)
            raise InputError(f"expected lines of a path and a label in {file}, got {shown!r}; mend the map")
    paths = tuple(path.rpartition("@/")[2].strip() for path, _ in pairs)
    missing = [path for path in paths if path not in members]
    if missing or not paths:
        what = f"{clean_label(missing[0], 200)} and {len(missing) - 1} more" if missing else "any image"
        raise InputError(f"{archive} does not hold {what} of {file}; give the map that belongs to the zip")
    labels = class_labels([int(label) for _, label in pairs], str(file))
    return _Listing(paths, labels, class_names(labels, _folder_names(paths, labels.tolist()), str(file)))


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


def _by_folder(archive: Path, paths: list[str]) -> _Listing:
    """The classes are folders, below those that all images share."""
    split = {path: PurePosixPath(path).parts for path in sorted(paths)}
    depth = 0
    while split and len({parts[depth] for parts in split.values()}) == 1:
        if min(len(parts) for parts in split.values()) < depth + 3:
            break
        depth += 1
    if not split or min(len(parts) for parts in split.values()) < depth + 2:
        raise InputError(
            f"expected a map of files to labels beside {archive} ({archive.stem}_map.txt), or a folder of images for "
            "each class in it, found neither; check --data"
        )
    names = sorted({parts[depth] for parts in split.values()})
    place = {name: label for label, name in enumerate(names)}
    labels = class_labels([place[parts[depth]] for parts in split.values()], str(archive))
    return _Listing(tuple(split), labels, class_names(labels, names, str(archive)))


def _content(
    archive: Path, header: int, compressed: int, size: int, method: int, crc: int, flags: int
) -> bytes:
    if flags & ENCRYPTED:
        raise UnreadableImage("encrypted")
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnreadableImage(f"compressed by method {method}, expected stored or deflated")
    if size > MOST_BYTES:
        raise UnreadableImage(f"{size:,} bytes, more than {MOST_BYTES:,}")
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
