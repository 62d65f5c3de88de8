"""Which part of the work this process does."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from maxsup_analysis.errors import InputError


@dataclass(frozen=True)
class Ranks:
    """This process is number `rank` of `world`; `local` is its number on its machine, where that is known.

    Nothing is gathered and nothing padded: shard i belongs to the process i mod world, so that every sample is in
    exactly one shard of exactly one process.
    """

    rank: int = 0
    world: int = 1
    local: int | None = None

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.world}"

    def shards(self, count: int) -> range:
        """The numbers of its shards.

        Example:
            >>> list(Ranks(1, 3).shards(8))
            [1, 4, 7]
        """
        return range(self.rank, count, self.world)


def ranks_of(given: str | None, environment: Mapping[str, str] = os.environ) -> Ranks:
    """`3/8` as given, else what torchrun says in the environment, else the only one.

    Slurm's variables are not taken by themselves: they are also set for single processes and for arrays over
    checkpoints, where each task has to do all of its store. `--rank $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT`
    says it.
    """
    if given is not None:
        found = re.fullmatch(r"(\d+)/(\d+)", given)
        if not found or not int(found[1]) < int(found[2]):
            raise InputError(f"expected --rank RANK/WORLD, such as 0/4 to 3/4, got {given!r}")
        return Ranks(int(found[1]), int(found[2]))
    if "TORCHELASTIC_RUN_ID" in environment:
        rank, world, local = (int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        return Ranks(rank, world, local)
    return Ranks()
