"""The samples that are classified correctly, or wrongly, as a representation of their own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
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


@dataclass(frozen=True)
class Members:
    """Which samples belong to a subset: their ids, ascending; and which places they have among all rows."""

    ids: np.ndarray
    places: Bool[Tensor, " N"]

    def among(self, rows: Rows) -> Bool[Tensor, " B"]:
        """Which of the rows belong."""
        found = np.searchsorted(self.ids, rows.ids).clip(max=len(self.ids) - 1)
        return torch.from_numpy(self.ids[found] == rows.ids)


def restricted(representation: Representation, members: Members) -> Representation:
    """The members alone, without logits."""
    blocks = SubsetBlocks(representation.blocks, members.among, with_logits=False)
    return represent(blocks, class_names=representation.class_names, head=representation.head)


def membership(representation: Representation, subset: Subset) -> Members:
    """Which samples belong; one sweep tells it of both subsets.

    Raises Undefined where none does, or nothing says what is correct.
    """
    ids, correct = representation.once(_correctness)
    places = correct if subset == "correct" else ~correct
    if not places.any():
        raise Undefined(f"there are no {SUBSETS[subset]}")
    return Members(np.sort(ids[places.numpy()]), places)


def _correctness(representation: Representation) -> tuple[np.ndarray, Bool[Tensor, " N"]]:
    """The ids of all samples, and whether each is classified correctly."""
    parts = list(representation.blocks.map(partial(_correct, representation=representation.summary)))
    return np.concatenate([ids for ids, _ in parts]), torch.cat([correct for _, correct in parts])


def _correct(rows: Rows, representation: Representation) -> tuple[np.ndarray, Bool[Tensor, " B"]]:
    correct = torch.cat([Tile(part, representation).correct for part in rows.tiles(wide=False)]) > 0
    return rows.ids, correct


def _of_members(rows: Rows, function: Callable[[Rows], T], taken: Callable[[Rows], Rows]) -> T:
    return function(taken(rows))
