"""The samples that are classified correctly, or wrongly, as a representation of their own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.metric import SUBSETS, Subset
from maxsup_analysis.representation import Representation, represent
from maxsup_analysis.rows import Blocks, Rows
from maxsup_analysis.sums import Sum
from maxsup_analysis.tile import Tile

T = TypeVar("T")


@dataclass(frozen=True)
class SubsetBlocks:
    """The rows of other blocks that belong to a subset; without their logits where nobody looks at these."""

    blocks: Blocks
    members: Callable[[Rows], Tensor]
    with_logits: bool = True

    def __iter__(self) -> Iterator[Rows]:
        return map(self._taken, self.blocks)

    def map(self, function: Callable[[Rows], T]) -> Iterator[T]:
        """What the function makes of the members of each block."""
        return self.blocks.map(partial(_of_members, function=function, taken=self._taken))

    def total(self, function: Callable[[Rows], Sum]) -> Sum | None:
        """The sum of that."""
        return self.blocks.total(partial(_of_members, function=function, taken=self._taken))

    def _taken(self, rows: Rows) -> Rows:
        seen = rows if self.with_logits else Rows(rows.ids, rows.labels, rows.features)
        return seen.take(self.members(rows))


def restricted(representation: Representation, subset: Subset) -> Representation:
    """The subset alone, without logits, of which there is a member; `membership` says so."""
    members = partial(_members, representation=representation.summary, subset=subset)
    blocks = SubsetBlocks(representation.blocks, members, with_logits=False)
    return represent(blocks, class_names=representation.class_names, head=representation.head)


def membership(representation: Representation, subset: Subset) -> Bool[Tensor, " N"]:
    """Which samples belong, in the order of the rows.

    Raises Undefined where none does, or nothing says what is correct.
    """
    members = partial(_members, representation=representation.summary, subset=subset)
    found = torch.cat(list(representation.blocks.map(members)))
    if not found.any():
        raise Undefined(f"there are no {SUBSETS[subset]}")
    return found


def _members(rows: Rows, representation: Representation, subset: Subset) -> Bool[Tensor, " B"]:
    correct = torch.cat([Tile(part, representation).correct for part in rows.tiles()]) > 0
    return correct if subset == "correct" else ~correct


def _of_members(rows: Rows, function: Callable[[Rows], T], taken: Callable[[Rows], Rows]) -> T:
    return function(taken(rows))
