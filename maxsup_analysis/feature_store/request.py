"""A feature store that is wanted, and which of its shards are there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maxsup_analysis.feature_store.shards import SHARD, Certificate, DamagedShard, certify, shard_name
from maxsup_analysis.feature_store.store import PARTIAL, beside
from maxsup_analysis.feature_store.writing import StorePlan
from maxsup_analysis.ranks import Ranks


def partial_of(target: Path) -> Path:
    """Where a store is made before it is whole."""
    return beside(target, PARTIAL)


def replaced_by(target: Path) -> Path:
    """Where what was in a store's place is while the store takes it."""
    return beside(target, ".replaced")


@dataclass(frozen=True)
class Request:
    """A store that is wanted.

    samples: of the data. overwrite: what else is at its place may go. shard: samples of each file.
    """

    target: Path
    plan: StorePlan
    samples: int
    overwrite: bool = False
    allow_skipped: bool = True
    shard: int = SHARD

    @property
    def shards(self) -> int:
        """How many there will be."""
        return -(-self.samples // self.shard)

    def ids(self, number: int) -> range:
        """The samples of a shard."""
        return range(number * self.shard, min((number + 1) * self.shard, self.samples))

    def is_right(self, number: int, found: Certificate) -> bool:
        """Whether a shard is the one that is wanted here, with all of its samples accounted for."""
        note = found.note
        complete = found.rows + len(note.skipped) == len(self.ids(number))
        belongs = (note.key, note.number) == (self.plan.key.sha256, number)
        return belongs and complete and (self.allow_skipped or not note.skipped)


def missing_shards(request: Request, ranks: Ranks) -> list[int]:
    """The numbers of the shards that a rank has yet to write."""
    folder = partial_of(request.target)
    return [number for number in ranks.shards(request.shards) if certificate(request, folder, number) is None]


def certificates(request: Request, folder: Path) -> Iterator[Certificate]:
    """The shards in a folder that are right."""
    for number in range(request.shards):
        if (found := certificate(request, folder, number)) is not None:
            yield found


def certificate(request: Request, folder: Path, number: int) -> Certificate | None:
    """The shard of a number, if it is there and right."""
    try:
        found = certify(folder / shard_name(number))
    except (DamagedShard, OSError):
        return None
    return found if request.is_right(number, found) else None
