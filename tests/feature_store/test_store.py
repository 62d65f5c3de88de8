"""Tests for feature stores: every row once, whole or absent, and damage is noticed."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import SHARD, Batch, ContentKey, StorePlan, open_store, write_store
from maxsup_analysis.measurements import measure_representation
from maxsup_analysis.representation import Head
from maxsup_analysis.rows import all_rows
from tests.feature_store.stores import NAMES, PLAN, rows_of, same, split, whole

MAPS = Path("/proc/self/maps")


def write(path: Path, total: int, size: int, *, overwrite: bool = False):
    return write_store(path, split(rows_of(total), size), PLAN, overwrite=overwrite)


@pytest.mark.parametrize("total", [1, 2, 5, SHARD - 1, SHARD, SHARD + 1, 2 * SHARD + 3])
@pytest.mark.parametrize("size", [37, 256, SHARD, 10**6])
def test_every_row_once_and_in_order(tmp_path: Path, total: int, size: int):
    store = write(tmp_path / "s.features", total, size)
    rows, expected = all_rows(store), rows_of(total)
    assert rows.ids.tolist() == list(range(total)) and store.size == total
    assert same(whole(store), expected) and torch.equal(rows.features, expected.features.double())
    assert all(len(block.ids) == SHARD for block in list(store)[:-1])


def test_the_size_of_the_batches_changes_no_byte_and_no_number(tmp_path: Path):
    first, second = write(tmp_path / "a", 5000, 64), write(tmp_path / "b", 5000, 999)
    for file in first.path.iterdir():
        assert file.read_bytes() == (second.path / file.name).read_bytes()
    measured = [measure_representation(store.represent()).to_json() for store in (first, second)]
    assert measured[0] == measured[1]


@pytest.mark.skipif(not MAPS.exists(), reason="the system does not say what is mapped")
def test_ids_and_labels_that_are_kept_hold_no_file_in_memory(tmp_path: Path):
    store = write(tmp_path / "s", 2 * SHARD, SHARD)
    rows = next(iter(store))
    shard = str(store.path / "rows-")
    assert shard in MAPS.read_text()
    kept = [(rows.ids, rows.labels) for rows in store]
    del rows
    assert len(kept) == 2 and shard not in MAPS.read_text()


def test_anyone_can_read_it(tmp_path: Path):
    from safetensors.torch import load_file

    write(tmp_path / "s", 10, 4)
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert manifest["rows"] == 10 and manifest["classes"] == list(NAMES)
    shard = load_file(tmp_path / "s" / manifest["shards"][0]["file"])
    assert shard["features"].shape == (10, 4) and shard["features"].dtype == torch.float32
    assert set(load_file(tmp_path / "s" / "head.safetensors")) == {"weight", "bias"}


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path: Path):
    def failing():
        yield from split(rows_of(5000), 500)
        raise RuntimeError("the power went out")

    with pytest.raises(RuntimeError):
        write_store(tmp_path / "s", failing(), PLAN)
    assert not list(tmp_path.iterdir())
    write(tmp_path / "s", 3, 3)
    with pytest.raises(RuntimeError):
        write_store(tmp_path / "s", failing(), PLAN, overwrite=True)
    assert open_store(tmp_path / "s").size == 3 and len(list(tmp_path.iterdir())) == 1


def test_nothing_is_replaced_unasked_and_only_stores_are_replaced(tmp_path: Path):
    write(tmp_path / "s", 3, 3)
    with pytest.raises(InputError, match="exists already"):
        write(tmp_path / "s", 4, 4)
    assert write(tmp_path / "s", 4, 4, overwrite=True).size == 4
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(InputError, match="is no feature store and is not overwritten"):
        write(tmp_path / "thesis", 4, 4, overwrite=True)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"


@pytest.mark.parametrize("part", ["rows-00001.safetensors", "head.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_damage_is_noticed_when_opened(tmp_path: Path, part: str, damage: str):
    write(tmp_path / "s", SHARD + 5, SHARD)
    path = tmp_path / "s" / part
    content = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=f"{part} is missing or damaged"):
        open_store(tmp_path / "s")


def test_a_damaged_manifest_is_an_input_error(tmp_path: Path):
    write(tmp_path / "s", 3, 3)
    for text in ("{", "[]", "{}", '{"format": "other"}', "[" * 100_000, "\udcff"):
        (tmp_path / "s" / "manifest.json").write_text(text, errors="surrogateescape")
        with pytest.raises(InputError, match=r"the manifest.json of .* is damaged"):
            open_store(tmp_path / "s")


TEXT = st.text(max_size=5)
SIZES = st.integers(1, 4)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=9, unique=True),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
    D=SIZES,
    logits=st.booleans(),
    names=st.lists(TEXT, min_size=1, max_size=4),
    head=st.sampled_from(["none", "weight", "weight and bias"]),
    provenance=st.dictionaries(TEXT, st.none() | st.integers() | TEXT, max_size=3),
)
def test_what_is_written_is_read(tmp_path: Path, ids, dtype, D, logits, names, head, provenance):
    N, K = len(ids), len(names)
    values = torch.randn(N, D + K).mul(1e3).to(dtype)
    batch = Batch(torch.tensor(ids), torch.randint(K, (N,)), values[:, :D], values[:, D:] if logits else None)
    weight, bias = torch.randn(K, D).double(), torch.randn(K).double()
    made = {"none": None, "weight": Head(weight), "weight and bias": Head(weight, bias)}[head]
    plan = StorePlan(ContentKey(provenance), tuple(names), made, provenance)
    store = write_store(tmp_path / "s", [batch], plan, overwrite=True)
    again = open_store(tmp_path / "s")
    assert same(whole(again), batch)
    assert (again.class_names, again.provenance, again.key) == (plan.class_names, plan.provenance, plan.key)
    assert parts(again.head) == parts(plan.head)
    assert store.shards == again.shards


def parts(head: Head | None) -> list[object]:
    """A head as plain numbers."""
    return [None if part is None else part.tolist() for part in ((head.weight, head.bias) if head else ())]
