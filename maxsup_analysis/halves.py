"""Which samples are held out to fit what the others judge, or are drawn: by a hash of their ids alone."""

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from maxsup_analysis.identity import EXACT, canonical_ids

# Constants of splitmix64 (Steele, Lea & Flood 2014) and of 64-bit FNV-1a.
MIX_FIRST, MIX_SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
FNV_BASIS, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


def is_held_out(ids: np.ndarray) -> Bool[Tensor, " N"]:
    """About half of the samples, each decided by a hash of its id alone.

    So every checkpoint, order of the rows and machine holds out the same ones, whatever type holds the ids.

    Example:
        >>> is_held_out(np.arange(8))
        tensor([False, False,  True, False,  True,  True,  True, False])
    """
    return torch.from_numpy(mixed_ids(ids) >> np.uint64(63) == 1)


def mixed_ids(ids: np.ndarray) -> np.ndarray:
    """A hash of 64 bits of each id; different integers have different hashes, the same value always has the same."""
    return _mixed(_numbers(canonical_ids(ids)))


def drawn_ids(ids: np.ndarray, seed: int) -> np.ndarray:
    """Another hash of each id for each seed: the smallest of them are a draw that depends on ids and seed alone."""
    return _mixed(mixed_ids(ids) ^ _mixed(np.array([seed], dtype=np.uint64)))


def _numbers(ids: np.ndarray) -> np.ndarray:
    """64 bits of each id: an integer as it is, FNV-1a of the code points of text and of numbers that are not whole."""
    if ids.dtype.kind in "iu":
        return ids.view(np.uint64)
    if ids.dtype.kind == "f":
        whole = (ids == np.trunc(ids)) & (np.abs(ids) <= EXACT)
        wholes = np.where(whole, ids, 0).astype(np.int64)
        return np.where(whole, wholes.view(np.uint64), _of_text(ids.astype(np.str_)))
    return _of_text(ids)


def _of_text(ids: np.ndarray) -> np.ndarray:
    points = ids.view(np.uint32)
    hashes = np.full(len(ids), FNV_BASIS)
    for column in points.reshape(len(ids), ids.dtype.itemsize // 4).T.astype(np.uint64):
        # Zeros fill short texts up to the longest of the array, which must not matter.
        hashes = np.where(column > 0, (hashes ^ column) * FNV_PRIME, hashes)
    return hashes


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Every bit of the result depends on every bit of the number; arithmetic is modulo 2^64."""
    mixed = (numbers ^ (numbers >> np.uint64(30))) * MIX_FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * MIX_SECOND
    return mixed ^ (mixed >> np.uint64(31))
