"""Several stores of one classifier on different samples, made into one."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.content_key import ContentKey
from maxsup_analysis.feature_store.damage import sound_store
from maxsup_analysis.feature_store.seals import digest
from maxsup_analysis.feature_store.shards import SHARD, Batch, Skipped, columns, joined
from maxsup_analysis.feature_store.store import FeatureStore
from maxsup_analysis.feature_store.writing import StorePlan, head_bytes, write_store
from maxsup_analysis.files import require_absent

# What of a content key may differ between the stores of one classifier: what speaks of the samples, and of how a store
# came to be. All the rest speaks of weights, architecture, layer, preprocessing and precision.
OF_SAMPLES = {"data", "labels", "samples", "data checked by"}
OF_ORIGIN = {"shard", "imported", "format", "beside", "merged", "renumbered"}
DATA_INGREDIENTS = frozenset(OF_SAMPLES | OF_ORIGIN)
# The digest of the samples in the provenance, by which comparisons tell whether they see the same ones.
DATA_DIGEST = "data_sha256"


def merge_stores(
    paths: Sequence[Path], output: Path, *, renumber: bool = False, overwrite: bool = False
) -> FeatureStore:
    """One store with the rows of all, in the order of their ids; never more than a few shards in memory.

    renumber: give new ids from 0 on, in the order of the stores and of their rows. Every byte of the stores is checked
    first. Raises InputError where they are of different classifiers or share samples.
    """
    require_absent(output, overwrite=overwrite)
    if len(paths) < 2:
        raise InputError(f"expected two or more feature stores to merge, got {len(paths)}; name all of them")
    parts = [sound_store(path) for path in paths]
    for part in parts[1:]:
        _require_one_classifier(parts[0], part)
    _require_other_rows(parts)
    merged = _Rows.of(parts)
    plan = StorePlan(_key(parts, renumber), parts[0].class_names, parts[0].head, _provenance(parts, renumber))
    if renumber:
        return write_store(
            output,
            merged.renumbered(),
            plan,
            skipped=_renumbered(parts, len(merged.ids)),
            overwrite=overwrite,
        )
    _require_disjoint(parts, merged)
    return write_store(output, merged.in_order(), plan, skipped=_skipped(parts, merged), overwrite=overwrite)


@dataclass(frozen=True)
class _Rows:
    """The rows of all parts one after another, N in F shards.

    ends: the position after the last row of each shard.
    """

    files: tuple[Path, ...]
    ends: Int64[Tensor, " F"]
    ids: Int64[Tensor, " N"]

    @classmethod
    def of(cls, parts: Sequence[FeatureStore]) -> "_Rows":
        files = tuple(part.path / shard.file for part in parts for shard in part.shards)
        sizes = torch.tensor([shard.rows for part in parts for shard in part.shards], dtype=torch.int64)
        return cls(files, sizes.cumsum(0), torch.cat([columns(file).ids for file in files]))

    def in_order(self) -> Iterator[Batch]:
        """Sorted by id."""
        return (self._at(positions) for positions in self.ids.argsort().split(SHARD))

    def renumbered(self) -> Iterator[Batch]:
        """As they come, with their positions as ids."""
        positions = torch.arange(len(self.ids))
        return (replace(self._at(chosen), ids=chosen) for chosen in positions.split(SHARD))

    def _at(self, positions: Int64[Tensor, " B"]) -> Batch:
        shards = torch.bucketize(positions, self.ends, right=True)
        found = [(number, shards == number) for number in shards.unique().tolist()]
        parts = [self._of_shard(number, positions[chosen]) for number, chosen in found]
        asked = torch.cat([chosen.nonzero()[:, 0] for _, chosen in found])
        return joined(parts).rows(asked.argsort())

    def _of_shard(self, number: int, positions: Int64[Tensor, " B"]) -> Batch:
        rows = columns(self.files[number])
        return rows.rows(positions - (self.ends[number] - len(rows)))


def _require_one_classifier(first: FeatureStore, other: FeatureStore) -> None:
    if (mine := _classifier(first)) != (theirs := _classifier(other)):
        raise InputError(
            f"expected stores of one classifier, got {other.path} that differs from {first.path} in: "
            f"{theirs.changes_from(mine)}; merge only stores of the same weights, layer, preprocessing and precision"
        )


def _classifier(store: FeatureStore) -> ContentKey:
    """All that has to be the same, by name."""
    head = None if store.head is None else hashlib.sha256(head_bytes(store.head)).hexdigest()
    kinds = {f"type of {name}": kind for name, kind in store.columns.items()}
    shape = {"head": head, "class names": list(store.class_names), "dimensions": store.dimensions}
    return ContentKey({**_common_ingredients(store), **shape, **kinds})


def _common_ingredients(store: FeatureStore) -> dict[str, object]:
    return {name: value for name, value in store.key.ingredients.items() if name not in DATA_INGREDIENTS}


def _require_other_rows(parts: Sequence[FeatureStore]) -> None:
    """The same rows twice would pass as different samples once they are renumbered."""
    seen: dict[str, Path] = {}
    for part in parts:
        for content in {part.key.sha256, *_merged_from(part)}:
            if content in seen:
                raise InputError(
                    f"expected stores of different samples, got the same rows in {seen[content]} and {part.path}"
                )
            seen[content] = part.path


def _merged_from(store: FeatureStore) -> list[str]:
    merged = store.key.ingredients.get("merged")
    return [str(content) for content in merged] if isinstance(merged, list) else []


def _require_disjoint(parts: Sequence[FeatureStore], merged: _Rows) -> None:
    ids, order = merged.ids.sort(stable=True)
    twice = (ids[1:] == ids[:-1]).nonzero()[:, 0]
    if not len(twice):
        return
    ends = torch.tensor([part.size for part in parts]).cumsum(0)
    first, second = (
        parts[i] for i in torch.bucketize(order[twice[0] : twice[0] + 2], ends, right=True).tolist()
    )
    more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
    raise InputError(
        f"expected stores of different samples, got sample {int(ids[twice[0]])}{more} both in {first.path} and "
        f"{second.path}; if they are different samples with the same numbers, give new ones with --renumber"
    )


def _key(parts: Sequence[FeatureStore], renumber: bool) -> ContentKey:
    """Without new numbers the order of the stores makes no difference to the rows."""
    keys = [part.key.sha256 for part in parts]
    merged = {"merged": keys if renumber else sorted(keys), "renumbered": renumber}
    return ContentKey({**_common_ingredients(parts[0]), **merged})


def _skipped(parts: Sequence[FeatureStore], merged: _Rows) -> list[Skipped]:
    """What was left out everywhere: a sample that one part lacks may be in another."""
    there = set(merged.ids.tolist())
    left_out = {one.id: one for part in parts for one in part.skipped if one.id not in there}
    return sorted(left_out.values(), key=lambda one: one.id)


def _renumbered(parts: Sequence[FeatureStore], start: int) -> list[Skipped]:
    """Numbered after the rows, so that no number stands for two samples."""
    left_out = [one for part in parts for one in part.skipped]
    return [replace(one, id=number) for number, one in enumerate(left_out, start)]


def _provenance(parts: Sequence[FeatureStore], renumber: bool) -> dict[str, object]:
    """What is the same in all parts, and what is not, part by part."""
    first = parts[0].provenance
    common = {name: value for name, value in first.items() if all(_says(part, name, value) for part in parts)}
    merged = [
        {
            "name": part.path.name,
            "rows": part.size,
            "key": part.key.sha256,
            **{name: value for name, value in part.provenance.items() if name not in common},
        }
        for part in parts
    ]
    return {**common, **_data_digest(parts, renumber), "merged": merged, "renumbered": renumber}


def _data_digest(parts: Sequence[FeatureStore], renumber: bool) -> dict[str, object]:
    """One for all samples, where every part has one of its own."""
    digests = [part.provenance.get(DATA_DIGEST) for part in parts]
    if None in digests or len(set(digests)) == 1:
        return {}
    return {DATA_DIGEST: digest(digests if renumber else sorted(map(str, digests)))}


def _says(part: FeatureStore, name: str, value: object) -> bool:
    return name in part.provenance and part.provenance[name] == value
