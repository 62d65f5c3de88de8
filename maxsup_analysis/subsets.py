"""The samples that are classified correctly, or wrongly, as a representation of their own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import add, iadd
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.metric import SUBSETS, Subset
from maxsup_analysis.moments import ClassSums
from maxsup_analysis.representation import Representation, class_sums
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


@dataclass(frozen=True)
class _Apart:
    """Rows told apart, which adds: ids, whether each is classified correctly, and the sums of the wrong ones."""

    ids: np.ndarray
    correct: Bool[Tensor, " N"]
    wrong: ClassSums

    def __add__(self, other: "_Apart") -> "_Apart":
        return self._sum(other, add)

    def __iadd__(self, other: "_Apart") -> "_Apart":
        return self._sum(other, iadd)

    def _sum(self, other: "_Apart", plus: Callable) -> "_Apart":
        ids, correct = np.concatenate([self.ids, other.ids]), torch.cat([self.correct, other.correct])
        return _Apart(ids, correct, plus(self.wrong, other.wrong))


def part_of(representation: Representation, subset: Subset) -> tuple[Members, Representation]:
    """Which samples belong, and a representation of them alone, without logits; one sweep finds both subsets.

    Raises Undefined where no sample belongs, or nothing says what is correct.
    """
    apart = representation.once(_told_apart)
    places = apart.correct if subset == "correct" else ~apart.correct
    if not places.any():
        raise Undefined(f"there are no {SUBSETS[subset]}")
    members = Members(np.sort(apart.ids[places.numpy()]), places)
    own = apart.wrong if subset == "wrong" else representation.means.sums - apart.wrong
    blocks = SubsetBlocks(representation.blocks, members.among, with_logits=False)
    means = own.means(representation.means.features.origin)
    return members, Representation(means, blocks, representation.class_names, representation.head)


def _told_apart(representation: Representation) -> _Apart:
    apart = representation.blocks.total(partial(_block_apart, representation=representation.summary))
    assert apart is not None, "a representation has rows"
    return apart


def _block_apart(rows: Rows, representation: Representation) -> _Apart:
    correct = torch.cat([Tile(part, representation).correct for part in rows.tiles(wide=False)]) > 0
    wrong = Rows(rows.ids, rows.labels, rows.features).take(~correct)
    K, origin = len(representation.class_names), representation.means.features.origin
    return _Apart(rows.ids, correct, class_sums(wrong, K, origin))


def _of_members(rows: Rows, function: Callable[[Rows], T], taken: Callable[[Rows], Rows]) -> T:
    return function(taken(rows))
