"""As many samples of every class: what is biased by their number is then comparable between sets."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.halves import mixed_ids
from maxsup_analysis.representation import Representation, represent
from maxsup_analysis.rows import Rows
from maxsup_analysis.subsets import SubsetBlocks
from maxsup_analysis.surroundings import undisturbed


@undisturbed()
def matched_per_class(representation: Representation, n: int) -> Representation:
    """At most n samples of each class, chosen by a hash of their ids: the same ones for every checkpoint.

    Classes with fewer keep what they have. Raises InputError where no class has n.
    """
    counts = representation.means.features.counts
    if n < 1 or n > counts.max():
        raise InputError(
            f"expected --match-per-class from 1 to {int(counts.max())}, the samples of the largest class, got {n}"
        )
    parts = list(representation.blocks.map(_labelled))
    hashes, labels = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    # The n smallest hashes of each class: the place of a sample among its class, by hash.
    order = np.lexsort((hashes, labels))
    starts = np.searchsorted(labels[order], labels[order])
    keep = order[np.arange(len(order)) - starts < n]
    members = partial(_among, hashes=np.sort(hashes[keep]))
    blocks = SubsetBlocks(representation.blocks, members)
    return represent(blocks, class_names=representation.class_names, head=representation.head)


def _labelled(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    return _drawn(rows.ids), rows.labels.numpy()


def _drawn(ids: np.ndarray) -> np.ndarray:
    """A hash of the hash: the first of them decides who is held out, and both halves have to be drawn from."""
    return mixed_ids(mixed_ids(ids))


def _among(rows: Rows, hashes: np.ndarray) -> Bool[Tensor, " B"]:
    """Which rows have one of these hashes, which ascend."""
    own = _drawn(rows.ids)
    places = np.searchsorted(hashes, own).clip(max=len(hashes) - 1)
    return torch.from_numpy(hashes[places] == own)
