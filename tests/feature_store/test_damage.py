"""Tests for the search for damage: whatever happens to a byte or a file of a store is found."""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import SHARD, Batch, ContentKey, StorePlan, write_store
from maxsup_analysis.feature_store.damage import faults_at, sound_store
from maxsup_analysis.feature_store.shards import ShardNote, certify, shard_name, write_shard
from maxsup_analysis.feature_store.writing import write_head, write_manifest
from tests.feature_store.stores import HEAD, NAMES, PLAN, rows_of, store_at

TOTAL = 2 * SHARD + 50
ROUNDS = 1000
LONGEST = 5.0  # seconds that a search of this small store may take on a slow machine
Content = dict[str, bytes]
Mutation = Callable[[Content, random.Random], Content]


def content_of(folder: Path) -> Content:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def put(folder: Path, content: Content, before: Content) -> None:
    """Make the files of a folder those of `content`, writing only what differs."""
    for name in before.keys() - content.keys():
        (folder / name).unlink()
    for name, new in content.items():
        if before.get(name) != new:
            (folder / name).write_bytes(new)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Content, Content]:
    """A store, its content, and that of a store of the same sizes with other rows."""
    folder = tmp_path_factory.mktemp("damage")
    store_at(folder / "s", rows_of(TOTAL))
    store_at(folder / "foreign", rows_of(torch.arange(TOTAL) + 1), weights="ef")
    return folder / "s", content_of(folder / "s"), content_of(folder / "foreign")


def flipped(content: bytes, chance: random.Random, *, within: int | None = None) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        changed[chance.randrange(min(len(changed), within or len(changed)))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def any_file(content: Content, chance: random.Random) -> str:
    return chance.choice(sorted(content))


def any_shard(content: Content, chance: random.Random) -> str:
    return chance.choice([name for name in sorted(content) if name.startswith("rows-")])


def flip_anywhere(content: Content, chance: random.Random) -> Content:
    name = any_file(content, chance)
    return {**content, name: flipped(content[name], chance)}


def flip_in_a_header(content: Content, chance: random.Random) -> Content:
    name = any_shard(content, chance)
    return {**content, name: flipped(content[name], chance, within=700)}


def flip_in_the_first_bytes(content: Content, chance: random.Random) -> Content:
    name = any_file(content, chance)
    return {**content, name: flipped(content[name], chance, within=9)}


def flip_in_manifest_or_head(content: Content, chance: random.Random) -> Content:
    name = chance.choice(("manifest.json", "head.safetensors"))
    return {**content, name: flipped(content[name], chance)}


def cut(content: Content, chance: random.Random) -> Content:
    name = any_file(content, chance)
    return {**content, name: content[name][: chance.randrange(len(content[name]))]}


def lengthen(content: Content, chance: random.Random) -> Content:
    name = any_file(content, chance)
    return {**content, name: content[name] + chance.randbytes(chance.randint(1, 9))}


def empty(content: Content, chance: random.Random) -> Content:
    return {**content, any_file(content, chance): b""}


def delete(content: Content, chance: random.Random) -> Content:
    gone = any_file(content, chance)
    return {name: held for name, held in content.items() if name != gone}


def add(content: Content, chance: random.Random) -> Content:
    name = chance.choice(
        ("rows-00003.safetensors", "notes.txt", "rows-00001.safetensors.ab12.tmp", "plan.json")
    )
    return {**content, name: content[any_shard(content, chance)]}


def swap(content: Content, chance: random.Random) -> Content:
    first, second = chance.sample(sorted(content), 2)
    return {**content, first: content[second], second: content[first]}


def copy_over(content: Content, chance: random.Random) -> Content:
    first, second = chance.sample(sorted(content), 2)
    return {**content, first: content[second]}


def zero_a_page(content: Content, chance: random.Random) -> Content:
    name = any_file(content, chance)
    start = chance.randrange(len(content[name]))
    changed = (
        content[name][:start] + bytes(min(4096, len(content[name]) - start)) + content[name][start + 4096 :]
    )
    return {**content, name: changed}


MUTATIONS: tuple[Mutation, ...] = (
    flip_anywhere, flip_in_a_header, flip_in_the_first_bytes, flip_in_manifest_or_head, cut, lengthen, empty, delete,
    add, swap, copy_over, zero_a_page,
)  # fmt: skip


def foreign_shard(content: Content, chance: random.Random, foreign: Content) -> Content:
    name = any_file(foreign, chance)
    return {**content, name: foreign[name]}


def test_a_thousand_kinds_of_damage_are_found(made: tuple[Path, Content, Content]):
    folder, whole, foreign = made
    chance = random.Random(0)
    assert not list(faults_at(folder))
    for number in range(ROUNDS):
        mutations = (*MUTATIONS, lambda content, chance: foreign_shard(content, chance, foreign))
        harmed = mutations[number % len(mutations)](whole, chance)
        put(folder, harmed, whole)
        began = time.monotonic()
        found = list(faults_at(folder))
        assert time.monotonic() - began < LONGEST
        assert bool(found) == (harmed != whole), (number, found)
        assert all("\n" not in fault and len(fault) < 1000 for fault in found)
        put(folder, whole, harmed)
        if number % 10 == 0:
            assert not list(faults_at(folder)), number


def test_every_bit_of_a_header_counts(tmp_path: Path):
    store_at(tmp_path / "s", rows_of(1))
    shard = tmp_path / "s" / "rows-00000.safetensors"
    content = shard.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        shard.write_bytes(changed)
        assert list(faults_at(tmp_path / "s")), place


def test_all_faults_are_named(tmp_path: Path):
    folder = store_at(tmp_path / "s", rows_of(TOTAL)).path
    (folder / "rows-00000.safetensors").unlink()
    (folder / "rows-00001.safetensors").write_bytes(b"")
    (folder / "head.safetensors").write_bytes(b"x")
    (folder / "notes.txt").touch()
    assert list(faults_at(folder)) == [
        f"{folder}/head.safetensors is missing or damaged: its checksum differs from the manifest's",
        "rows-00000.safetensors: No such file or directory",
        "rows-00001.safetensors: it has no header",
        "notes.txt: it does not belong to the store",
    ]
    (folder / "manifest.json").write_bytes(b"{}")
    assert list(faults_at(folder)) == [
        f"the manifest.json of {folder} is damaged: it is no sealed JSON",
        "rows-00001.safetensors: it has no header",
    ]


def test_swapped_and_foreign_shards_are_told_from_damaged_ones(tmp_path: Path):
    folder = store_at(tmp_path / "s", rows_of(TOTAL)).path
    other = store_at(tmp_path / "t", rows_of(TOTAL), weights="ef").path
    shutil.copy(other / "rows-00001.safetensors", folder)
    assert list(faults_at(folder)) == ["rows-00001.safetensors: it belongs to another store or place"]


def test_rows_that_no_classifier_makes_are_faults(tmp_path: Path):
    rows = rows_of(6)
    rows.features[2] = float("nan")
    rows.labels[4] = 7
    rows.ids[5] = 0
    plan = StorePlan(ContentKey({}), NAMES, HEAD, {})
    with pytest.raises(InputError, match=r"make no feature store: sample 0 is there more than once in .*s;"):
        write_store(tmp_path / "s", [rows], plan)
    assert not list(tmp_path.iterdir())
    put_together(tmp_path / "s", rows, plan)
    assert list(faults_at(tmp_path / "s")) == [
        "rows-00000.safetensors: the label of sample 4 is not from 0 to 2",
        "rows-00000.safetensors: sample 2 has NaN or infinity",
        "sample 0 is there more than once",
    ]


def put_together(folder: Path, rows: Batch, plan: StorePlan) -> None:
    """A store as it is written, without a look at what came of it."""
    folder.mkdir()
    write_shard(folder / shard_name(0), rows, ShardNote(plan.key.sha256, 0))
    write_head(folder, plan.head)
    write_manifest(folder, plan, {shard_name(0): certify(folder / shard_name(0))})


def test_a_sound_store_is_opened_and_another_is_not(tmp_path: Path):
    assert sound_store(store_at(tmp_path / "s", rows_of(3)).path).size == 3
    (tmp_path / "s" / "rows-00000.safetensors").unlink()
    (tmp_path / "s" / "notes.txt").touch()
    sentence = r"2 faults in .*s: rows-00000.safetensors: No such file or directory; run the command that made it again"
    with pytest.raises(InputError, match=sentence):
        sound_store(tmp_path / "s")
    with pytest.raises(
        InputError, match=r"expected a feature store \(a folder with manifest.json\) at .*none"
    ):
        sound_store(tmp_path / "none")


def test_a_store_without_a_head_has_no_place_for_one(tmp_path: Path):
    folder = write_store(tmp_path / "s", [rows_of(3)], StorePlan(PLAN.key, NAMES, None, {})).path
    assert not list(faults_at(folder))
    (folder / "head.safetensors").write_bytes(b"x")
    assert list(faults_at(folder)) == ["head.safetensors: it does not belong to the store"]
