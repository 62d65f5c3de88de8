"""An opened feature store: its rows, shard by shard."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.content_key import ContentKey
from maxsup_analysis.feature_store.fields import IllFormed
from maxsup_analysis.feature_store.headers import DamagedShard, Skipped, read_header
from maxsup_analysis.feature_store.manifest import (
    FORMAT,
    HEAD,
    MANIFEST,
    Manifest,
    OtherFormat,
    ShardEntry,
    manifest_of,
)
from maxsup_analysis.feature_store.places import Place, repeated_id
from maxsup_analysis.feature_store.reading import ShardReader, checked_columns
from maxsup_analysis.feature_store.seals import BrokenSeal, unsealed
from maxsup_analysis.feature_store.shards import Batch, columns
from maxsup_analysis.feature_store.stamps import Stamp, content_of, open_file, stamp_of
from maxsup_analysis.representation import Head, Representation, head_of, represent
from maxsup_analysis.rows import Rows
from maxsup_analysis.sweeps import blocks_of

T = TypeVar("T")
PARTIAL = ".partial"
# Bytes of a manifest, and of a head: larger ones are none.
MOST_MANIFEST = 2**26
MOST_HEAD = 2**33
OLD_FORMAT = b'"maxsup-analysis feature store, version 1"'
REDO = "run the same `features` command again, which makes it anew"
REDO_ANY = "make it again with the command that made it, and --overwrite"
REDO_IMPORT = "make it again with `maxsup-analyze store import ... --overwrite`"
REDO_MERGE = "make it again with `maxsup-analyze store merge ... --overwrite`"


class DamagedStore(InputError):
    """A store is not what was written. fault: without the advice that the message ends with."""

    def __init__(self, fault: str, advice: str = REDO) -> None:
        super().__init__(f"{fault}; {advice}")
        self.fault = fault


@dataclass(frozen=True)
class FeatureStore:
    """An opened store; its rows are read from disk, shard by shard, each time they are asked for.

    skipped: the samples that were left out. columns: the type of each stored column. key: what the rows depend on.
    ids: of each shard with what it skipped, where samples are cut into shards by their place in the data.
    stamps: of each shard when it was opened; what is not the same file any more is not read.
    """

    path: Path
    class_names: tuple[str, ...]
    head: Head | None
    shards: tuple[ShardEntry, ...]
    columns: Mapping[str, str]
    dimensions: int
    skipped: tuple[Skipped, ...]
    key: ContentKey
    provenance: Mapping[str, object]
    ids: tuple[range, ...] | None = None
    stamps: tuple[Stamp, ...] = field(default=(), compare=False, repr=False)

    @property
    def size(self) -> int:
        """N."""
        return sum(shard.rows for shard in self.shards)

    @property
    def readers(self) -> tuple[ShardReader, ...]:
        """One for each shard that has rows, in their order, that holds its bytes against the manifest each time."""
        # Other processes have another working directory.
        folder = self.path.absolute()
        return tuple(
            ShardReader(folder / shard.file, stamp, shard, self.advice)
            for shard, stamp in zip(self.shards, self.stamps, strict=True)
            if shard.rows
        )

    @property
    def places(self) -> tuple[Place, ...]:
        """What each shard has to be."""
        K, key = len(self.class_names), self.key.sha256
        return tuple(
            Place(key, n, shard, self.columns, self.dimensions, K, None if self.ids is None else self.ids[n])
            for n, shard in enumerate(self.shards)
        )

    @property
    def advice(self) -> str:
        """What makes a damaged store again."""
        ingredients = self.key.ingredients
        return REDO_IMPORT if "imported" in ingredients else REDO_MERGE if "merged" in ingredients else REDO

    def batches(self) -> Iterator[Batch]:
        """The rows as they are stored, shard by shard, mapped into memory."""
        for shard, stamp in zip(self.shards, self.stamps, strict=True):
            yield checked_columns(self.path / shard.file, stamp, self.advice)

    def __iter__(self) -> Iterator[Rows]:
        return (reader() for reader in self.readers)

    def represent(self, dask: str | None = None) -> Representation:
        """The representation that metrics and figures look at; dask: the scheduler that does the sweeps.

        The first sweep holds every byte against the manifest; later ones see that the files are the same.
        """
        readers = self.readers if dask is None else [reader.elsewhere for reader in self.readers]
        first = represent(blocks_of(readers, dask), class_names=self.class_names, head=self.head)
        return replace(first, blocks=blocks_of([reader.known for reader in readers], dask))


def beside(path: Path, ending: str) -> Path:
    """The path with an ending added to its name, which `.` and `..` have too.

    Example:
        >>> beside(Path("runs/ce.features"), ".partial").as_posix()
        'runs/ce.features.partial'
    """
    named = Path(os.path.abspath(path)) if path.name in ("", "..") else path
    return named.parent / (named.name + ending)


def is_store(path: Path) -> bool:
    """Whether a folder is a feature store."""
    return (path / MANIFEST).is_file()


def open_store(path: Path | str) -> FeatureStore:
    """A store of which everything was checked but the checksums of its shards, which are made when rows are read.

    Raises InputError where the folder is not a store, or where sizes, names, numbers of rows, ids, columns, shapes, the
    seal of the manifest or the checksum of the head are not what they should be.
    """
    store = described(Path(path))
    stamps, ids = [], []
    for place in store.places:
        file = store.path / place.entry.file
        stamp, own = _safely(file, store.advice, lambda path, place=place: _fitting(path, place))
        stamps.append(stamp)
        ids.append(own)
    if (fault := repeated_id(ids)) is not None:
        raise DamagedStore(f"{fault} in {store.path}", store.advice)
    return replace(store, stamps=tuple(stamps))


def _fitting(path: Path, place: Place) -> tuple[Stamp, Tensor]:
    """The stamp and the ids of a shard that fits its place; raises DamagedShard."""
    with open_file(path) as file:
        header, stamp = read_header(file), stamp_of(file)
    for fault in place.faults(header, stamp.size):
        raise DamagedShard(fault)
    ids = columns(path).ids.clone()
    for fault in place.faults_of_ids(ids, header.note.skipped):
        raise DamagedShard(fault)
    return stamp, ids


def described(path: Path, *, with_head: bool = True) -> FeatureStore:
    """The store as its manifest has it, without a look at the shards; raises InputError where that cannot be read."""
    if not is_store(path):
        raise InputError(_no_store(path))
    manifest = _manifest(path)
    store = FeatureStore(
        path=path,
        class_names=manifest.class_names,
        head=None,
        shards=manifest.shards,
        columns=manifest.columns,
        dimensions=manifest.dimensions,
        skipped=manifest.skipped,
        key=manifest.key,
        provenance=manifest.provenance,
        ids=manifest.ids,
    )
    if manifest.head is None or not with_head:
        return store
    digest = manifest.head
    head = _safely(path / HEAD, store.advice, lambda file: _head(file, digest, store))
    return replace(store, head=head)


def has_head(path: Path) -> bool:
    """Whether the manifest of a store speaks of a head."""
    return _manifest(path).head is not None


def _no_store(path: Path) -> str:
    partial = path if path.name.endswith(PARTIAL) else beside(path, PARTIAL)
    if partial.is_dir():
        found = sum(1 for _ in partial.glob("rows-*.safetensors"))
        return f"{path} is not finished ({found} of its shards are there); run the same `features` command to go on"
    what = "an empty folder" if path.is_dir() and not any(path.iterdir()) else "none"
    return (
        f"expected a feature store (a folder with {MANIFEST}) at {path}, found {what}; "
        "make one with `maxsup-analyze features CHECKPOINT`"
    )


def _manifest(path: Path) -> Manifest:
    place = path / MANIFEST
    content = _safely(place, REDO_ANY, lambda file: content_of(file, MOST_MANIFEST))
    try:
        return manifest_of(unsealed(content))
    except OtherFormat as other:
        raise InputError(_other_format(path, str(other))) from None
    except (BrokenSeal, IllFormed) as reason:
        if OLD_FORMAT in content:
            raise InputError(_other_format(path, OLD_FORMAT.decode().strip('"'))) from None
        raise DamagedStore(f"the {MANIFEST} of {path} is damaged: {reason}", REDO_ANY) from None


def _other_format(path: Path, found: str) -> str:
    return f"{path} has the format {found!r}, expected {FORMAT!r}; extract it again"


def _head(path: Path, digest: str, store: FeatureStore) -> Head | None:
    content = content_of(path, MOST_HEAD)
    if hashlib.sha256(content).hexdigest() != digest:
        raise DamagedShard("its checksum differs from the manifest's")
    weights: dict[str, Tensor] = load(content)
    weight, bias = weights.pop("weight"), weights.pop("bias", None)
    K, D = len(store.class_names), store.dimensions
    shapes_fit = weight.shape == (K, D) if store.shards else weight.ndim == 2
    numbers = all(part.is_floating_point() for part in (weight, bias) if part is not None)
    if weights or not shapes_fit or not numbers or (bias is not None and bias.shape != weight.shape[:1]):
        raise DamagedShard(f"it is no head of {K} classes and {D} dimensions")
    return head_of(weight, bias)


def _safely(path: Path, advice: str, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except (OSError, SafetensorError, DamagedShard, KeyError, RuntimeError) as reason:
        said = getattr(reason, "strerror", None) or str(reason)
        raise DamagedStore(f"{path} is missing or damaged: {said}", advice) from None
