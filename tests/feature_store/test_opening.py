"""Tests for opening: what is not what was written is refused by every command, in one line that names what is wrong."""

import copy
import json
import os
import random
import re
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from maxsup_analysis import cli
from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import ContentKey, is_store, open_store
from maxsup_analysis.feature_store.damage import faults_at
from maxsup_analysis.feature_store.fields import DEEPEST
from maxsup_analysis.feature_store.manifest import FORMAT
from maxsup_analysis.feature_store.seals import SEAL, sealed
from maxsup_analysis.pipeline import measure_source, open_source
from tests.feature_store.harm import FIRST, HARMS, SECOND, TOTAL, make, resealed, twin
from tests.feature_store.stores import PLAN, rows_of, store_at

COMMANDS = (
    "measure STORE -g accuracy",
    "compare A=STORE B=OTHER -g accuracy",
    "report STORE -o OUT.pdf -g accuracy",
)


def refusal(*arguments: object) -> str:
    """The sentence with which the command line would leave, with exit code 2."""
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert isinstance(result.exception, InputError), result.exception
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twin(tmp_path_factory.mktemp("other"))


def test_opening_sets_aside_no_more_memory_than_there_is_to_read(whole: tuple[Path, Path]):
    tracemalloc.start()
    try:
        assert open_store(whole[0]).head is not None
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**24


def test_a_store_may_lie_where_names_are_no_text(tmp_path: Path, whole: tuple[Path, Path]):
    place = tmp_path / "\udcff"
    shutil.copytree(whole[0], place)
    found, plain = (open_store(path).represent() for path in (place, whole[0]))
    assert torch.equal(found.means.features.means, plain.means.features.means)


@pytest.mark.parametrize("kind", HARMS)
def test_what_was_harmed_is_refused_by_every_command(
    tmp_path: Path, whole: tuple[Path, Path], other: Path, kind: str
):
    store, foreign = (Path(shutil.copytree(path, tmp_path / path.name)) for path in whole)
    assert not list(faults_at(store))
    HARMS[kind](store, foreign)
    places = {"STORE": str(store), "OTHER": str(other), "OUT": str(tmp_path / "x")}
    for command in COMMANDS:
        words = [re.sub("|".join(places), lambda found: places[found[0]], word) for word in command.split()]
        assert str(store) in refusal(*words)
    assert not (tmp_path / "x.pdf").exists()
    assert not is_store(store) or list(faults_at(store))


def test_what_is_whole_is_compared(whole: tuple[Path, Path], other: Path):
    result = CliRunner().invoke(
        cli.app, ["compare", f"A={whole[0]}", f"B={other}", "-g", "accuracy", "--json"]
    )
    assert result.exit_code == 0 and json.loads(result.stdout)["baseline"] == "A"


def test_a_store_that_was_made_before_quick_checksums_is_opened_and_checked(tmp_path: Path):
    store = store_at(tmp_path / "s", rows_of(TOTAL)).path
    measured = measure_source(open_source(store)).to_json()
    resealed(store, lambda document: [entry.pop("xxh3_128") for entry in document["shards"]])
    assert measure_source(open_source(store)).to_json() == measured
    HARMS["a bit of features"](store, store)
    with pytest.raises(InputError, match=r"rows-00001.safetensors is damaged: its checksum differs"):
        open_source(store)


def test_ids_of_an_extraction_are_the_places_of_its_samples(tmp_path: Path):
    cut = replace(PLAN, key=ContentKey({"samples": 6, "shard": 4096}))
    assert store_at(tmp_path / "s", rows_of(6), plan=cut).size == 6
    for name, ids in {"gap": [0, 1, 2, 3, 4, 6], "few": [0, 1, 2, 3, 4]}.items():
        with pytest.raises(InputError, match="its samples are not 0 to 5, each once"):
            store_at(tmp_path / name, rows_of(torch.tensor(ids)), plan=cut)
    with pytest.raises(InputError, match="there are 1 shards, where 6 samples are cut into parts of 3"):
        store_at(
            tmp_path / "parts", rows_of(6), plan=replace(PLAN, key=ContentKey({"samples": 6, "shard": 3}))
        )


@pytest.mark.parametrize("moment", ["before", "between"])
def test_a_store_that_changes_while_it_is_measured(tmp_path: Path, moment: str):
    """Another store under the same name: what was opened is not mixed with it."""
    store = store_at(tmp_path / "s", rows_of(TOTAL)).path
    other = store_at(tmp_path / "t", rows_of(torch.arange(TOTAL) + 5)).path
    opened = open_store(store)
    representation = opened.represent() if moment == "between" else None
    store.rename(tmp_path / "old")
    other.rename(store)
    sentence = (
        r"rows-00000.safetensors changed or went away while it was read; run this again when nothing writes"
    )
    with pytest.raises(InputError, match=sentence):
        opened.represent() if representation is None else list(representation.blocks)


def test_a_shard_that_is_written_to_while_a_sweep_looks_at_it(tmp_path: Path):
    store = store_at(tmp_path / "s", rows_of(TOTAL))
    shard = store.path / SECOND

    def meddle(rows) -> int:
        os.utime(shard, ns=(1, 1))
        return len(rows)

    with pytest.raises(InputError, match=r"rows-00001.safetensors changed or went away while it was read"):
        list(store.represent().blocks.map(meddle))


def put(document: dict, path: str, value: object) -> None:
    """A value at a place such as `shards.0.rows`; Ellipsis takes away what is there."""
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    node = document
    for part in way:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value


NESTED: list = []
for _ in range(DEEPEST + 1):
    NESTED = [NESTED]
ILL_FORMED = [
    (path, value)
    for path, values in {
        "format": (..., None, 2, [FORMAT], FORMAT.replace("2", "3"), FORMAT + " "),
        "rows": (..., None, "50", -1, 1e300, 10**400, True, 50.0, []),
        "dimensions": (..., None, 0, -4, "4", 10**30),
        "columns": (..., None, [], {}, {"ids": "int64"}, {"ids": 1, "labels": 2, "features": 3}),
        "columns.features": (..., "object", "int64", None, ["float32"], {}),
        "columns.more": ("float32",),
        "head": ([], "head.safetensors", {}, {"sha256": "0" * 64}, {"file": "../head.safetensors", "sha256": "0" * 64}),
        "head.sha256": (None, 1, "0" * 63, "X" * 64),
        "shards": (..., None, {}, "rows", [None], [[]], [{}]),
        "shards.0.file": (..., None, 0, "", f"../s/{FIRST}", SECOND, "/dev/zero", "a\0b", "\ud800"),
        "shards.0.rows": (..., None, -1, "4096", True, 10**19, 4096.0),
        "shards.0.bytes": (..., None, -1, "0", 10**19),
        "shards.0.sha256": (..., None, 0, "", "g" * 64),
        "shards.0.xxh3_128": (1, "", "0" * 31),
        "shards.0.more": (1,),
        "skipped": (..., None, {}, [None], [{"id": 0, "name": "a"}], [{"id": "0", "name": "a", "reason": "b"}],
                    [{"id": 2**64, "name": "a", "reason": "b"}], [{"id": 0, "name": ["a"], "reason": "b"}]),
        "classes": (..., None, {}, [], [0, 1, 2], "abc", [None] * 3, [["a"]] * 3),
        "key": (..., None, [], "ab", {}),
        "key.sha256": (..., None, "0" * 64, 0),
        "key.ingredients": (..., None, [], {}, {"samples": 1}),
        "provenance": (..., None, [], "here", 5),
        "provenance.training": ("ce", ["ce"], 5),
        "provenance.checkpoint": ("ce.pt", [], 1),
        "provenance.warnings": ("text", [1], {}),
        "provenance.data": (5, [], {}, True),
        "provenance.data_sha256": (5, ["01"]),
        "provenance.deep": (NESTED,),
        "more": (1,),
    }.items()
    for value in values
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), ILL_FORMED, ids=lambda part: ascii(part)[:40])
def test_a_manifest_that_is_sealed_but_ill_formed(tmp_path: Path, path: str, value: object):
    store = store_at(tmp_path / "s", rows_of(3)).path
    resealed(store, lambda document: put(document, path, copy.deepcopy(value)))
    with pytest.raises(InputError, match=r"manifest.json of .* is damaged|has the format .*, expected"):
        open_store(store)
    assert list(faults_at(store))


def test_a_manifest_without_end_is_not_read(tmp_path: Path):
    store = store_at(tmp_path / "s", rows_of(3)).path
    os.truncate(store / "manifest.json", 2**40)
    with pytest.raises(
        InputError, match=r"manifest.json is missing or damaged: it is larger than 67,108,864 bytes"
    ):
        open_store(store)


def test_mutated_manifests_are_one_sentence_or_sound(tmp_path: Path):
    """Values of a sealed manifest are exchanged at random: what is opened is what is verified."""
    store = store_at(tmp_path / "s", rows_of(5)).path
    sound = json.loads((store / "manifest.json").read_text())
    sound.pop(SEAL)
    chance, opened = random.Random(0), 0
    strange = [
        None,
        True,
        -1,
        3,
        2**70,
        0.5,
        "",
        "\ud800",
        "\x1b[2J",
        [],
        {},
        [[]],
        {"a": {}},
        "../x",
        "\u202e",
    ]
    for _ in range(300):
        document = copy.deepcopy(sound)
        node: object = document
        while isinstance(node, dict | list) and node:
            key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
            below = node[key]
            if not isinstance(below, dict | list) or not below or chance.random() < 0.3:
                node[key] = chance.choice(strange)
                break
            node = below
        (store / "manifest.json").write_bytes(sealed(document))
        try:
            measured = measure_source(open_source(store))
        except InputError as reason:
            assert "\n" not in str(reason) and list(faults_at(store)), document
        else:
            opened += 1
            assert not list(faults_at(store)) and measured.size["samples"] == 5
            json.loads(measured.to_json())
    # Names of classes and of samples, and most of the provenance, may be any.
    assert 5 < opened < 150


def test_a_shard_is_named_by_its_place(tmp_path: Path):
    store = store_at(tmp_path / "s", rows_of(3)).path
    shutil.copytree(store, tmp_path / "other")
    (store / FIRST).rename(tmp_path / FIRST)
    resealed(store, lambda document: document["shards"][0].update(file=f"../{FIRST}"))
    assert "shard 0 is not rows-00000.safetensors; a store names no other files" in refusal("measure", store)


def test_the_version_of_the_format_is_looked_at(tmp_path: Path):
    store = store_at(tmp_path / "s", rows_of(3)).path
    resealed(store, lambda document: document.update(format="maxsup-analysis feature store, version 9"))
    assert refusal("measure", store) == (
        f"{store} has the format 'maxsup-analysis feature store, version 9', expected 'maxsup-analysis feature store, "
        "version 2'; extract it again"
    )
