"""Tests for feature stores: every row once, whole or absent, and damage is noticed."""

import json
from pathlib import Path

import pytest
import torch

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import SHARD, Batch, open_store, write_store
from maxsup_analysis.measurements import measure_representation
from maxsup_analysis.representation import Head, all_rows

HEAD = Head(torch.eye(3, 4).double(), torch.zeros(3).double())


def batches(total: int, size: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(total, 4, generator=generator)
    ids, labels = torch.arange(total), torch.arange(total) % 3
    logits = features @ HEAD.weight.float().T
    return [
        Batch(ids[part], labels[part], features[part], logits[part])
        for part in (slice(start, start + size) for start in range(0, total, size))
    ]


def write(path: Path, parts, **options):
    return write_store(
        path, parts, head=HEAD, class_names=("a", "b", "c"), provenance={"data": "test"}, **options
    )


@pytest.mark.parametrize("total", [1, 2, 5, SHARD - 1, SHARD, SHARD + 1, 2 * SHARD + 3])
@pytest.mark.parametrize("size", [7, 256, SHARD, 10**6])
def test_every_row_once_and_in_order(tmp_path: Path, total: int, size: int):
    if total // size > 700:
        pytest.skip("slow and no different")
    store = write(tmp_path / "s.features", batches(total, size))
    rows, expected = all_rows(store), batches(total, total)[0]
    assert rows.ids.tolist() == list(range(total)) and store.size == total
    assert torch.equal(rows.labels, expected.labels) and torch.equal(
        rows.features, expected.features.double()
    )
    assert rows.logits is not None and torch.equal(rows.logits, expected.logits.double())
    assert all(len(block.ids) == SHARD for block in list(store)[:-1])


def test_the_size_of_the_batches_changes_no_number(tmp_path: Path):
    first = write(tmp_path / "a", batches(5000, 64)).represent()
    second = write(tmp_path / "b", batches(5000, 999)).represent()
    assert measure_representation(first).to_json() == measure_representation(second).to_json()


def test_anyone_can_read_it(tmp_path: Path):
    from safetensors.torch import load_file

    write(tmp_path / "s", batches(10, 4))
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert manifest["rows"] == 10 and manifest["classes"] == ["a", "b", "c"]
    shard = load_file(tmp_path / "s" / manifest["shards"][0]["file"])
    assert shard["features"].shape == (10, 4) and shard["features"].dtype == torch.float32
    assert set(load_file(tmp_path / "s" / "head.safetensors")) == {"weight", "bias"}


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path: Path):
    def failing():
        yield from batches(5000, 500)
        raise RuntimeError("the power went out")

    with pytest.raises(RuntimeError):
        write(tmp_path / "s", failing())
    assert not list(tmp_path.iterdir())
    write(tmp_path / "s", batches(3, 3))
    with pytest.raises(RuntimeError):
        write(tmp_path / "s", failing(), overwrite=True)
    assert open_store(tmp_path / "s").size == 3 and len(list(tmp_path.iterdir())) == 1


def test_nothing_is_replaced_unasked_and_only_stores_are_replaced(tmp_path: Path):
    write(tmp_path / "s", batches(3, 3))
    with pytest.raises(InputError, match="exists already"):
        write(tmp_path / "s", batches(4, 4))
    assert write(tmp_path / "s", batches(4, 4), overwrite=True).size == 4
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(InputError, match="is no feature store and is not overwritten"):
        write(tmp_path / "thesis", batches(4, 4), overwrite=True)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"


@pytest.mark.parametrize("part", ["rows-00001.safetensors", "head.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_damage_is_noticed_when_opened(tmp_path: Path, part: str, damage: str):
    write(tmp_path / "s", batches(SHARD + 5, SHARD))
    path = tmp_path / "s" / part
    content = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=f"{part} is missing or damaged"):
        open_store(tmp_path / "s")


def test_a_damaged_manifest_is_an_input_error(tmp_path: Path):
    write(tmp_path / "s", batches(3, 3))
    for text in ("{", "[]", "{}", '{"format": "other"}'):
        (tmp_path / "s" / "manifest.json").write_text(text)
        with pytest.raises(InputError):
            open_store(tmp_path / "s")
