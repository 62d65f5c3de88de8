"""A feature store in the making: a folder beside its place that can be left and taken up again at any moment.

`X.features.partial` holds the plan and the shards that are done; when all of them are there it gets its head and
manifest and becomes `X.features` by one rename. Shards certify themselves: it does not matter which run made them.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.content_key import ContentKey
from maxsup_analysis.feature_store.fields import IllFormed, integer, record, table
from maxsup_analysis.feature_store.locks import locked
from maxsup_analysis.feature_store.request import Request, missing_shards, partial_of, replaced_by
from maxsup_analysis.feature_store.reuse import is_made
from maxsup_analysis.feature_store.seals import BrokenSeal, sealed, unsealed
from maxsup_analysis.feature_store.shards import (
    SHARD,
    Batch,
    Certificate,
    DamagedShard,
    ShardNote,
    Skipped,
    certify,
    shard_name,
    write_shard,
)
from maxsup_analysis.feature_store.stamps import content_of
from maxsup_analysis.feature_store.store import HEAD, MANIFEST, FeatureStore, open_store
from maxsup_analysis.feature_store.writing import write_head, write_manifest
from maxsup_analysis.files import refusing_to_write, sync_folder, write_durably
from maxsup_analysis.leftovers import sweep
from maxsup_analysis.ranks import Ranks

PLAN = "plan.json"
PLAN_FORMAT = "maxsup-analysis feature store in the making, version 2"
# Bytes of a plan: what is larger is none.
MOST_PLAN = 2**26
FINISHING = "finish.lock"
GO_ON = "what is done is kept: mend that, and run the same command again"


@dataclass(frozen=True)
class Planned:
    """What an unfinished store is to hold. shard: samples of each file."""

    key: ContentKey
    samples: int
    shard: int

    @property
    def shards(self) -> int:
        """How many there will be."""
        return -(-self.samples // self.shard)


class StoreBuild:
    """One rank's part of a store in the making; holds the lock that keeps a second run from doing the same.

    missing: the numbers of the shards that this rank has yet to write. found: how many were there already.
    """

    def __init__(self, request: Request, ranks: Ranks, *, replacing: bool) -> None:
        self.request, self.replacing = request, replacing
        self.folder = partial_of(request.target)
        own = ranks.shards(request.shards)
        # Another rank may finish the store at this very moment, and the folder with it: then nothing is missing.
        with suppress(FileNotFoundError):
            sweep(self.folder)
            self._write_plan()
        missing = missing_shards(request, ranks)
        self.missing = [] if self.is_finished else missing
        self.found = len(own) - len(self.missing)

    @property
    def is_finished(self) -> bool:
        """Whether the store is in its place, where there was none when this began."""
        return not self.replacing and is_made(self.request)

    @property
    def done(self) -> int:
        """How many shards there are now, of all ranks."""
        return sum((self.folder / shard_name(number)).exists() for number in range(self.request.shards))

    def write(self, number: int, rows: Batch, skipped: Sequence[Skipped]) -> None:
        """Write a shard, whole or not at all."""
        note = ShardNote(self.request.plan.key.sha256, number, tuple(skipped))
        with refusing_to_write(self.folder, GO_ON):
            write_shard(self.folder / shard_name(number), rows, note)

    def finish(self) -> FeatureStore | None:
        """The store, once the shards of all ranks are there; None before. Every shard is read and checked again."""
        if self.is_finished:
            return open_store(self.request.target)
        if self.done < self.request.shards:
            return None
        try:
            with refusing_to_write(self.folder, GO_ON), FileLock(self.folder / FINISHING):
                return self._finished()
        except InputError:
            if not self.is_finished:
                raise
            # Another rank was faster, and the folder is in its place.
            return open_store(self.request.target)

    def _finished(self) -> FeatureStore:
        request = self.request
        shards = {
            shard_name(number): _read_back(request, self.folder, number) for number in range(request.shards)
        }
        self._require_rows(shards)
        write_head(self.folder, request.plan.head)
        write_manifest(self.folder, request.plan, shards)
        _remove_all_but(self.folder, {MANIFEST, HEAD, *shards})
        _put_in_place(self.folder, request.target)
        return open_store(request.target)

    def _require_rows(self, shards: Mapping[str, Certificate]) -> None:
        """Raise InputError where no sample could be used; of such a run nothing is kept."""
        if any(shard.rows for shard in shards.values()):
            return
        first = next(one for shard in shards.values() for one in shard.note.skipped)
        _remove_all_but(self.folder, ())
        raise InputError(
            f"none of the {self.request.samples:,} samples can be used, so that there is no store; the first, "
            f"{first.name}: {first.reason}; mend the data, or check --data and --split"
        )

    def _write_plan(self) -> None:
        """What this is, in clear, for whoever finds it; refuses to mix with shards of another content."""
        key = self.request.plan.key
        found = planned(self.folder)
        before = None if found is None else found.key
        if before is not None and before != key and not self.request.overwrite:
            raise InputError(
                f"{self.folder} holds an unfinished extraction of other content, which differs in: "
                f"{key.changes_from(before)}; finish it as it was begun, choose another output with -o, or give it up "
                "with --overwrite"
            )
        if before != key:
            plan = {
                "format": PLAN_FORMAT,
                "samples": self.request.samples,
                "ingredients": dict(key.ingredients),
            }
            write_durably(self.folder / PLAN, sealed(plan))


@contextmanager
def building(request: Request, ranks: Ranks, *, replacing: bool = False) -> Iterator[StoreBuild]:
    """A store in the making, for as long as this rank works on it.

    replacing: what is in its place is not what is wanted; else a store that appears there is another rank's work.

    Raises InputError where another run is at it: the same rank of as many, or any rank of a division by another number.
    """
    folder = partial_of(request.target)
    lock = locked(folder, ranks)
    try:
        with refusing_to_write(folder, GO_ON):
            build = StoreBuild(request, ranks, replacing=replacing)
        yield build
    finally:
        _remove_if_nothing_is_done(folder, Path(lock.lock_file))
        lock.release()


def _remove_if_nothing_is_done(folder: Path, lock: Path) -> None:
    if folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {PLAN, lock.name}:
        (folder / PLAN).unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def _read_back(request: Request, folder: Path, number: int) -> Certificate:
    path = folder / shard_name(number)
    try:
        found = certify(path)
    except DamagedShard as reason:
        raise InputError(f"{path} does not read back as it was written: {reason}; {GO_ON}") from None
    if not request.is_right(number, found):
        raise InputError(f"{path} belongs to another store, or lacks samples; {GO_ON}")
    return found


def planned(folder: Path) -> Planned | None:
    """What an unfinished store was to hold, where that can be read."""
    try:
        plan = record(
            unsealed(content_of(folder / PLAN, MOST_PLAN)), PLAN, ("format", "samples", "ingredients")
        )
        ingredients = table(plan["ingredients"], "ingredients")
        shard = integer(ingredients.get("shard", SHARD), "shard", 1)
        return Planned(ContentKey(ingredients), integer(plan["samples"], "samples"), shard)
    except (OSError, BrokenSeal, IllFormed):
        return None


def _remove_all_but(folder: Path, kept: Iterable[str]) -> None:
    for entry in folder.iterdir():
        if entry.name not in kept and entry.name != FINISHING:
            entry.unlink(missing_ok=True)
    (folder / FINISHING).unlink(missing_ok=True)


def _put_in_place(folder: Path, target: Path) -> None:
    """Two renames where there was something before, so that there is no moment with half of either."""
    replaced = replaced_by(target)
    if target.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        os.rename(target, replaced)
    os.rename(folder, target)
    sync_folder(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)
