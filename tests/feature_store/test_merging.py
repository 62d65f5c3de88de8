"""Tests for merging stores: the rows of all, once, in the order of their ids."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import SHARD, ContentKey, StorePlan, merging, open_store, write_store
from maxsup_analysis.feature_store.damage import faults_at
from maxsup_analysis.feature_store.merging import DATA_INGREDIENTS, merge_stores
from maxsup_analysis.feature_store.shards import (
    ShardNote,
    Skipped,
    certify,
    joined,
    shard_name,
    write_shard,
)
from maxsup_analysis.feature_store.writing import write_head, write_manifest
from maxsup_analysis.representation import Head
from tests.feature_store.stores import HEAD, KEY, NAMES, PLAN, rows_of, same, store_at, whole

TOTAL = 2 * SHARD + 300
PARTS = {
    "one after another": lambda n: (n >= 5000).long() + (n >= 7000),
    "interleaved": lambda n: n % 3,
    "at random": lambda n: torch.randint(3, n.shape, generator=torch.Generator().manual_seed(0)),
}


def three(folder: Path, ids: Sequence[torch.Tensor] | torch.Tensor) -> list[Path]:
    """Three stores that between them have the ids."""
    paths = [folder / name for name in "abc"]
    for number, path in enumerate(paths):
        store_at(path, rows_of(ids[number]), data=f"part {number}")
    return paths


@pytest.mark.parametrize("division", PARTS)
def test_the_merged_store_is_the_undivided_one(tmp_path: Path, division: str):
    numbers = torch.arange(TOTAL)
    part = PARTS[division](numbers)
    paths = three(tmp_path, [numbers[part == n] for n in range(3)])
    merged = merge_stores(paths[::-1], tmp_path / "m")
    assert same(whole(merged), rows_of(TOTAL)) and not list(faults_at(merged.path))
    assert [shard.rows for shard in merged.shards] == [SHARD, SHARD, 300]
    assert merged.class_names == NAMES and merged.head is not None
    assert torch.equal(merged.head.weight, HEAD.weight)


def test_the_order_of_the_stores_and_of_their_rows_changes_no_row(tmp_path: Path):
    ids = torch.randperm(600, generator=torch.Generator().manual_seed(1)).view(3, 200)
    paths = three(tmp_path, ids)
    first, second = merge_stores(paths, tmp_path / "m"), merge_stores(paths[::-1], tmp_path / "n")
    assert same(whole(first), rows_of(600)) and first.key == second.key
    assert first.shards == second.shards


def test_new_numbers_follow_the_order_of_the_stores(tmp_path: Path):
    paths = three(tmp_path, torch.stack([torch.arange(5000)] * 3))
    with pytest.raises(
        InputError, match=r"got sample 0 and 9999 more both in .*a and .*b; .* with --renumber"
    ):
        merge_stores(paths, tmp_path / "m")
    merged = merge_stores(paths, tmp_path / "m", renumber=True)
    rows, part = whole(merged), rows_of(5000)
    assert rows.ids.tolist() == list(range(15000))
    assert torch.equal(rows.features, part.features.repeat(3, 1))
    assert torch.equal(rows.labels, part.labels.repeat(3))
    assert merged.key.ingredients["renumbered"] is True
    assert merge_stores(paths[::-1], tmp_path / "n", renumber=True).key != merged.key


def test_the_key_keeps_what_speaks_of_the_classifier(tmp_path: Path):
    paths = three(tmp_path, torch.arange(30).view(3, 10))
    merged = merge_stores(paths, tmp_path / "m")
    keys = sorted(open_store(path).key.sha256 for path in paths)
    expected = {"weights": "ab" * 32, "resize": 256, "merged": keys, "renumbered": False}
    assert merged.key == ContentKey(expected)
    other = store_at(tmp_path / "d", rows_of(torch.arange(30, 40)), data="more")
    again = merge_stores([merged.path, other.path], tmp_path / "n")
    assert same(whole(again), rows_of(40))


def test_the_provenance_says_what_is_common_and_what_is_not(tmp_path: Path):
    paths = three(tmp_path, torch.arange(30).view(3, 10))
    merged = merge_stores(paths, tmp_path / "m")
    assert merged.provenance["checkpoint"] == {"name": "ce.pt"}
    assert merged.provenance["data_sha256"] == "01"
    parts = merged.provenance["merged"]
    assert isinstance(parts, list) and [part["name"] for part in parts] == ["a", "b", "c"]


def test_different_data_get_a_digest_of_their_own(tmp_path: Path):
    for n, name in enumerate("abc"):
        plan = StorePlan(ContentKey({"data": name}), NAMES, HEAD, {"data": name, "data_sha256": f"0{n}"})
        write_store(tmp_path / name, [rows_of(torch.arange(10) + 10 * n)], plan)
    merged, other = (merge_stores([tmp_path / "a", tmp_path / name], tmp_path / f"m{name}") for name in "bc")
    assert merged.provenance["data_sha256"] != other.provenance["data_sha256"]
    assert "data" not in merged.provenance


def test_what_was_skipped_is_skipped_unless_another_part_has_it(tmp_path: Path):
    gone = [Skipped(number, f"{number}.png", "truncated") for number in (3, 25)]
    store_at(tmp_path / "a", rows_of(torch.tensor([0, 1, 2])), skipped=tuple(gone))
    store_at(tmp_path / "b", rows_of(torch.tensor([3, 4])), skipped=(gone[1],), data="b")
    merged = merge_stores([tmp_path / "a", tmp_path / "b"], tmp_path / "m")
    assert merged.skipped == (gone[1],) and merged.size == 5
    renumbered = merge_stores([tmp_path / "a", tmp_path / "b"], tmp_path / "n", renumber=True)
    assert [one.id for one in renumbered.skipped] == [5, 6, 7]


def test_a_part_whose_samples_were_all_skipped_takes_part(tmp_path: Path):
    store_at(tmp_path / "a", rows_of(5))
    folder, key = tmp_path / "b", ContentKey({**KEY.ingredients, "data": "b"})
    folder.mkdir()
    note = ShardNote(key.sha256, 0, (Skipped(9, "9.png", "truncated"),))
    write_shard(folder / shard_name(0), rows_of(0), note)
    write_head(folder, HEAD)
    plan = StorePlan(key, NAMES, HEAD, {})
    write_manifest(folder, plan, {shard_name(0): certify(folder / shard_name(0))})
    merged = merge_stores([tmp_path / "a", folder], tmp_path / "m")
    assert same(whole(merged), rows_of(5)) and [one.id for one in merged.skipped] == [9]


DIFFERENT = {
    r"resize \(256, now 232\)": {"resize": 232},
    "weights": {"weights": "ef" * 32},
    r"layer \(none, now -2\)": {"layer": -2},
}


@pytest.mark.parametrize("difference", DIFFERENT)
def test_another_classifier_is_refused_and_named(tmp_path: Path, difference: str):
    store_at(tmp_path / "a", rows_of(3))
    store_at(tmp_path / "b", rows_of(torch.arange(3, 6)), **DIFFERENT[difference])
    with pytest.raises(InputError, match=f"got .*b that differs from .*a in: {difference}; merge only"):
        merge_stores([tmp_path / "a", tmp_path / "b"], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_the_head_names_types_and_dimensions_have_to_be_the_same(tmp_path: Path):
    store_at(tmp_path / "a", rows_of(3))
    more = torch.arange(3, 6)
    other_head = Head(HEAD.weight, torch.zeros(3).double())
    others = {
        "head": (rows_of(more), StorePlan(KEY, NAMES, other_head, {})),
        "class names": (rows_of(more), StorePlan(KEY, ("a", "b", "c"), HEAD, {})),
        r"type of features \(float32, now bfloat16\)": (rows_of(more, dtype=torch.bfloat16), PLAN),
        r"type of logits \(float32, now none\)": (rows_of(more, logits=False), PLAN),
    }
    for number, (difference, (rows, plan)) in enumerate(others.items()):
        write_store(tmp_path / f"b{number}", [rows], StorePlan(KEY, plan.class_names, plan.head, {}))
        with pytest.raises(InputError, match=f"differs from .* in: {difference}"):
            merge_stores([tmp_path / "a", tmp_path / f"b{number}"], tmp_path / "m")


@pytest.mark.parametrize("name", sorted(DATA_INGREDIENTS - {"merged"}))
def test_data_may_differ(tmp_path: Path, name: str):
    store_at(tmp_path / "a", rows_of(3))
    other = replace(PLAN, key=ContentKey({**KEY.ingredients, name: "another"}))
    store_at(tmp_path / "b", rows_of(torch.arange(3, 6)), plan=other)
    assert merge_stores([tmp_path / "a", tmp_path / "b"], tmp_path / "m").size == 6


def test_the_same_rows_twice_are_refused_even_with_new_numbers(tmp_path: Path):
    paths = three(tmp_path, torch.arange(30).view(3, 10))
    merged = merge_stores(paths, tmp_path / "m")
    for twice in ([paths[0], paths[0]], [merged.path, paths[0]]):
        with pytest.raises(InputError, match="got the same rows in"):
            merge_stores(twice, tmp_path / "n", renumber=True)
    with pytest.raises(InputError, match="expected two or more feature stores to merge, got 1"):
        merge_stores(paths[:1], tmp_path / "n")


def test_damage_does_not_pass_into_the_merged_store(tmp_path: Path):
    paths = three(tmp_path, torch.arange(30).view(3, 10))
    shard = paths[1] / "rows-00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"1 fault in .*b: rows-00000.safetensors: its checksum differs"):
        merge_stores(paths, tmp_path / "m")


def test_no_more_than_a_few_shards_are_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    numbers = torch.arange(TOTAL)
    paths = three(tmp_path, [numbers[numbers % 3 == n] for n in range(3)])
    sizes = []
    monkeypatch.setattr(merging, "joined", lambda parts: sizes.append(sum(map(len, parts))) or joined(parts))
    merge_stores(paths, tmp_path / "m")
    assert sizes == [SHARD, SHARD, 300]
