"""Small stores for tests."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from maxsup_analysis.feature_store import Batch, ContentKey, FeatureStore, StorePlan, write_store
from maxsup_analysis.feature_store.shards import Skipped
from maxsup_analysis.representation import Head

K, D = 3, 4
HEAD = Head(torch.arange(K * D).view(K, D).double() / 7, torch.tensor([0.5, -1.0, 0.25]).double())
NAMES = ("a cat", "Hündin", "c")
KEY = ContentKey({"weights": "ab" * 32, "resize": 256, "data": "test", "labels": "cd", "samples": 10})
PLAN = StorePlan(KEY, NAMES, HEAD, {"checkpoint": {"name": "ce.pt"}, "data": "test", "data_sha256": "01"})


def rows_of(ids: Tensor | int, *, dtype: torch.dtype = torch.float32, logits: bool = True) -> Batch:
    """Rows that their ids determine."""
    ids = torch.arange(ids) if isinstance(ids, int) else ids
    features = torch.sin(ids[:, None] * torch.tensor([1.0, 2.0, 3.0, 5.0])).to(dtype)
    # Not as a product of matrices, which is rounded otherwise with another number of rows on some processors.
    columns = zip(features.float().T, HEAD.weight.float().T, strict=True)
    made = sum((column[:, None] * weights for column, weights in columns), torch.zeros(len(ids), K)).to(dtype)
    return Batch(ids, ids % K, features, made if logits else None)


def split(batch: Batch, size: int) -> list[Batch]:
    """The same rows in batches."""
    return [batch.rows(slice(start, start + size)) for start in range(0, len(batch), size)]


def store_at(
    path: Path,
    batch: Batch,
    *,
    skipped: tuple[Skipped, ...] = (),
    plan: StorePlan = PLAN,
    **ingredients: object,
) -> FeatureStore:
    """A store of some rows, whose key differs as told."""
    key = ContentKey({**plan.key.ingredients, **ingredients})
    return write_store(path, [batch], replace(plan, key=key), skipped=skipped)


def whole(store: FeatureStore) -> Batch:
    """All rows as they are stored."""
    parts = list(store.batches())
    columns = [part.tensors() for part in parts]
    return Batch(**{name: torch.cat([column[name] for column in columns]) for name in columns[0]})


def same(first: Batch, second: Batch) -> bool:
    """Equal bit for bit, types included."""
    mine, theirs = first.tensors(), second.tensors()
    return mine.keys() == theirs.keys() and all(
        mine[name].dtype == theirs[name].dtype and torch.equal(mine[name], theirs[name]) for name in mine
    )
