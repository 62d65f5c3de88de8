"""An opened feature store: its rows, shard by shard."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.content_key import ContentKey
from maxsup_analysis.feature_store.seals import BrokenSeal, unsealed
from maxsup_analysis.feature_store.shards import (
    Batch,
    Skipped,
    columns,
    row_count,
)
from maxsup_analysis.representation import Head, Representation, head_of, represent
from maxsup_analysis.rows import Rows
from maxsup_analysis.sweeps import blocks_of

FORMAT = "maxsup-analysis feature store, version 2"
MANIFEST = "manifest.json"
HEAD = "head.safetensors"
PARTIAL = ".partial"
REDO = "run the same `features` command again, which makes it anew"


@dataclass(frozen=True)
class ShardEntry:
    """A shard as the manifest has it."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardReader:
    """Maps the rows of one shard into memory each time it is called; small enough to be sent to another machine."""

    path: Path

    def __call__(self) -> Rows:
        """The rows; raises InputError where the file is missing or damaged."""
        batch = _safely(self.path, columns)
        # Copies: ids and labels are kept for longer than rows, and would hold the whole file in memory.
        return Rows(batch.ids.numpy().copy(), batch.labels.clone(), batch.features, batch.logits)


@dataclass(frozen=True)
class FeatureStore:
    """An opened store; its rows are read from disk, shard by shard, each time they are asked for.

    skipped: the samples that were left out. columns: the type of each stored column. key: what the rows depend on.
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

    @property
    def size(self) -> int:
        """N."""
        return sum(shard.rows for shard in self.shards)

    @property
    def readers(self) -> tuple[ShardReader, ...]:
        """One for each shard that has rows, in their order; other processes have another working directory."""
        folder = self.path.absolute()
        return tuple(ShardReader(folder / shard.file) for shard in self.shards if shard.rows)

    def batches(self) -> Iterator[Batch]:
        """The rows as they are stored, shard by shard, mapped into memory."""
        for shard in self.shards:
            yield _safely(self.path / shard.file, columns)

    def __iter__(self) -> Iterator[Rows]:
        return (reader() for reader in self.readers)

    def represent(self, dask: str | None = None) -> Representation:
        """The representation that metrics and figures look at; dask: the scheduler that does the sweeps."""
        return represent(blocks_of(self.readers, dask), class_names=self.class_names, head=self.head)


def is_store(path: Path) -> bool:
    """Whether a folder is a feature store."""
    return (path / MANIFEST).is_file()


def open_store(path: Path | str) -> FeatureStore:
    """Raises InputError where the folder is not a store, or parts of it are missing or of another size.

    Checksums of the shards are left to `faults`, which reads them all.
    """
    store = described(Path(path))
    for shard in store.shards:
        file = store.path / shard.file
        size = file.stat().st_size if file.is_file() else -1
        if size != shard.bytes or _safely(file, row_count) != shard.rows:
            raise InputError(
                f"{file} is missing or damaged: it does not hold the {shard.rows} rows of the manifest; {REDO}"
            )
    return store


def described(path: Path, *, with_head: bool = True) -> FeatureStore:
    """The store as its manifest has it, without a look at the shards; raises InputError where that cannot be read."""
    if not is_store(path):
        raise InputError(_no_store(path))
    return _store_of(path, _manifest(path), with_head=with_head)


def _no_store(path: Path) -> str:
    partial = path if path.name.endswith(PARTIAL) else path.with_name(path.name + PARTIAL)
    if partial.is_dir():
        found = sum(1 for _ in partial.glob("rows-*.safetensors"))
        return f"{path} is not finished ({found} of its shards are there); run the same `features` command to go on"
    what = "an empty folder" if path.is_dir() and not any(path.iterdir()) else "none"
    return (
        f"expected a feature store (a folder with {MANIFEST}) at {path}, found {what}; "
        "make one with `maxsup-analyze features CHECKPOINT`"
    )


def _manifest(path: Path) -> dict:
    content = (path / MANIFEST).read_bytes()
    try:
        return unsealed(content)
    except BrokenSeal as reason:
        if b'"maxsup-analysis feature store, version 1"' in content:
            raise InputError(
                f"{path} has the format of version 1, expected {FORMAT!r}; extract it again"
            ) from None
        raise InputError(f"the {MANIFEST} of {path} is damaged: {reason}; {REDO}") from None


def _store_of(path: Path, manifest: dict, *, with_head: bool) -> FeatureStore:
    try:
        if manifest["format"] != FORMAT:
            raise InputError(
                f"{path} has the format {manifest['format']!r}, expected {FORMAT!r}; extract it again"
            )
        shards = tuple(ShardEntry(**entry) for entry in manifest["shards"])
        if any(Path(shard.file).name != shard.file for shard in shards):
            raise InputError(f"the {MANIFEST} of {path} names files outside of the store; extract it again")
        return FeatureStore(
            path=path,
            class_names=tuple(manifest["classes"]),
            head=_head(path, manifest["head"]) if with_head else None,
            shards=shards,
            columns=manifest["columns"],
            dimensions=manifest["dimensions"],
            skipped=tuple(Skipped(**one) for one in manifest["skipped"]),
            key=ContentKey(manifest["key"]["ingredients"]),
            provenance=manifest["provenance"],
        )
    except (KeyError, TypeError):
        raise InputError(f"the {MANIFEST} of {path} is incomplete; extract the features again") from None


def _head(folder: Path, entry: Mapping[str, str] | None) -> Head | None:
    if entry is None:
        return None
    path = folder / HEAD
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
        raise InputError(f"{path} is missing or damaged: its checksum differs from the manifest's; {REDO}")
    weights: dict[str, Tensor] = _safely(path, load_file)
    return head_of(weights["weight"], weights.get("bias"))


def _safely(path: Path, read):  # noqa: ANN001, ANN202
    try:
        return read(path)
    except (OSError, SafetensorError, KeyError, RuntimeError) as reason:
        raise InputError(f"{path} is missing or damaged ({reason}); {REDO}") from None
