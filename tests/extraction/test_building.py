"""Tests for a store in the making: resumed, divided, locked, and never mixed."""

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from maxsup_analysis.errors import InputError
from maxsup_analysis.extraction import Extractor
from maxsup_analysis.feature_store.building import building, planned
from maxsup_analysis.feature_store.checks import faults
from maxsup_analysis.feature_store.request import partial_of
from maxsup_analysis.features import Extraction, extract_features, prepared
from maxsup_analysis.ranks import Ranks, ranks_of
from tests.extraction.setting import Setting, bytes_of, ids_of, write_images


class Cut(BaseException):
    """The moment at which a run ends."""


def cut_after(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    """Runs end when so many shards are written."""
    written, write = [], Extractor._write

    def write_and_end(self: Extractor, build, shard) -> None:
        if len(written) == shards:
            raise Cut
        write(self, build, shard)
        written.append(shard.number)

    monkeypatch.setattr(Extractor, "_write", write_and_end)


@pytest.mark.parametrize("count", [1, 2, 5, 36, 37, 38, 200])
def test_every_row_once_in_order(tmp_path: Path, count: int):
    setting = Setting.of(tmp_path, count)
    store = setting.extract()
    assert store is not None and ids_of(store.path) == list(range(count)) and store.size == count
    assert not list(faults(store)) and not partial_of(store.path).exists()
    assert torch.equal(torch.cat([rows.labels for rows in store]), torch.arange(count) % 10)


def test_a_run_that_is_cut_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, monkeypatch, capsys):
    setting = Setting.of(tmp_path, 200)
    whole = setting.extract("whole.features")
    with monkeypatch.context() as patch, pytest.raises(Cut) as cut:
        cut_after(patch, 3)
        setting.extract()
    partial = partial_of(tmp_path / "s.features")
    assert cut.value.__notes__ == [f"3 of 6 shards are done and kept in {partial}"]
    assert not (tmp_path / "s.features").exists() and len(list(partial.glob("rows-*"))) == 3
    times = {path.name: path.stat().st_mtime_ns for path in partial.glob("rows-*")}
    store = setting.extract()
    assert "going on: 3 shards are there, 3 to do" in capsys.readouterr().err
    assert store is not None and whole is not None and bytes_of(store.path) == bytes_of(whole.path)
    assert {name: (store.path / name).stat().st_mtime_ns for name in times} == times


def test_a_store_is_reused_and_says_so(tmp_path: Path, capsys):
    setting = Setting.of(tmp_path, 50)
    first = setting.extract()
    assert first is not None
    before = {path.name: path.stat().st_mtime_ns for path in first.path.iterdir()}
    for overwrite in (False, True):
        again = setting.extract(overwrite=overwrite)
        assert again is not None and again.key == first.key
        assert "nothing has changed: using the features in" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in first.path.iterdir()} == before


@pytest.mark.parametrize("part", ["rows-00001.safetensors", "manifest.json", "head.safetensors"])
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_only_what_is_harmed_is_made_anew(tmp_path: Path, part: str, harm: str):
    setting = Setting.of(tmp_path, 200)
    store = setting.extract()
    assert store is not None
    whole, path = bytes_of(store.path), store.path / part
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.unlink() if harm == "gone" else path.write_bytes(content if harm == "flip" else content[:-9])
    before = {path.name: path.stat().st_mtime_ns for path in store.path.glob("rows-*")}
    again = setting.extract()
    assert again is not None and bytes_of(again.path) == whole and not partial_of(again.path).exists()
    kept = {name for name, time in before.items() if (again.path / name).stat().st_mtime_ns == time}
    assert kept == {path.name for path in again.path.glob("rows-*")} - {part}


def test_other_content_is_never_mixed(tmp_path: Path, monkeypatch):
    setting = Setting.of(tmp_path, 100)
    storage = replace(setting.how.storage, dtype="float16")
    setting.extract()
    with pytest.raises(
        InputError, match=r"s.features exists already and differs in: dtype \(float32, now float16\); cho"
    ):
        setting.extract(storage=storage)
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_after(patch, 1)
        setting.extract("t.features")
    with pytest.raises(
        InputError, match=r"holds an unfinished extraction of other content, .*: dtype \(float32, now"
    ):
        setting.extract("t.features", storage=storage)
    for name in ("s.features", "t.features"):
        store = setting.extract(name, overwrite=True, storage=storage)
        assert store is not None and store.columns["features"] == "float16" and not list(faults(store))
        assert sorted(tmp_path.glob(f"{name}*")) == [store.path]


def test_what_is_no_store_is_not_overwritten(tmp_path: Path):
    setting = Setting.of(tmp_path, 5)
    (tmp_path / "s.features").mkdir()
    (tmp_path / "s.features" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is no feature store and is not overwritten"):
            setting.extract(overwrite=overwrite)
    assert (tmp_path / "s.features" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("count", [1, 2, 5, 4095, 4096, 4097])
def test_any_number_of_ranks_makes_the_same_store(tmp_path: Path, count: int):
    setting = Setting.of(tmp_path, count, batch_size=512)
    setting = Setting(tmp_path, replace(setting.how, storage=replace(setting.how.storage, shard=1024)))
    alone = setting.extract("alone.features")
    assert alone is not None
    for world in (1, 2, 3):
        stores = [setting.extract(f"{world}.features", rank=f"{rank}/{world}") for rank in range(world)]
        finished = [store for store in stores if store is not None]
        assert finished and bytes_of(finished[0].path) == bytes_of(alone.path)
        assert sorted(ids_of(finished[0].path)) == list(range(count))


def test_another_number_of_ranks_goes_on(tmp_path: Path):
    setting = Setting.of(tmp_path, 400)
    alone = setting.extract("alone.features")
    assert setting.extract(rank="1/3") is None
    done = {path.name for path in partial_of(tmp_path / "s.features").glob("rows-*")}
    assert done == {f"rows-{number:05d}.safetensors" for number in range(1, 11, 3)}
    assert setting.extract(rank="0/2") is None
    store = setting.extract(rank="1/2")
    assert store is not None and alone is not None and bytes_of(store.path) == bytes_of(alone.path)


def test_what_a_rank_is():
    assert ranks_of("3/8", {}) == Ranks(3, 8) and ranks_of(None, {}) == Ranks(0, 1)
    torchrun = {"TORCHELASTIC_RUN_ID": "x", "RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}
    assert ranks_of(None, torchrun) == Ranks(2, 4, 0) and ranks_of("0/1", torchrun) == Ranks(0, 1)
    # Variables of Slurm are also there for single processes and for arrays over checkpoints.
    assert ranks_of(None, {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_ARRAY_TASK_ID": "3"}) == Ranks(
        0, 1
    )
    for wrong in ("8/8", "-1/2", "1", "1/0", "a/b"):
        with pytest.raises(InputError, match="expected --rank RANK/WORLD, such as 0/4 to 3/4, got"):
            ranks_of(wrong, {})
    shards = [number for rank in range(5) for number in Ranks(rank, 5).shards(12)]
    assert sorted(shards) == list(range(12))


@pytest.mark.parametrize("other", [Ranks(0, 1), Ranks(1, 2), Ranks(0, 2)])
def test_a_second_run_at_the_same_time_is_refused_or_shares(tmp_path: Path, other: Ranks):
    setting = Setting.of(tmp_path, 100)
    ready = prepared(setting.checkpoint, tmp_path / "s.features", replace(setting.how, rank="0/2"))
    with building(ready.request, ready.ranks):
        if other == Ranks(1, 2):
            assert setting.extract(rank="1/2") is None
        else:
            with pytest.raises(
                InputError, match=r"another run \(rank 0 of 2\) is making s.features at this moment; wait"
            ):
                setting.extract(rank=f"{other.rank}/{other.world}")
    assert setting.extract() is not None


def _race(checkpoint: Path, output: Path, how: Extraction, started, answers) -> None:
    torch.set_num_threads(1)
    started.wait()
    try:
        store = extract_features(checkpoint, output, how)
        answers.put("whole" if store is not None else "part")
    except InputError as refusal:
        answers.put(str(refusal))


def test_of_two_runs_at_once_none_harms_the_other(tmp_path: Path):
    setting = Setting.of(tmp_path, 100)
    alone = setting.extract("alone.features")
    assert alone is not None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["maxsup_analysis.features", "tests.extraction.test_building"])
    for attempt in range(6):
        started, answers = context.Barrier(2), context.SimpleQueue()
        output = tmp_path / f"{attempt}.features"
        arguments = (setting.checkpoint, output, setting.how, started, answers)
        runs = [context.Process(target=_race, args=arguments) for _ in range(2)]
        for run in runs:
            run.start()
        for run in runs:
            run.join(60)
            assert run.exitcode == 0
        said = sorted(answers.get() for _ in runs)
        assert said[-1] == "whole", said
        assert said[0] == "whole" or "is making" in said[0], said
        assert bytes_of(output) == bytes_of(alone.path)
    assert not list(tmp_path.glob("*.partial"))


def test_shards_made_elsewhere_count(tmp_path: Path):
    """On machines without a shared file system each rank makes its part, and the shards are brought together."""
    (tmp_path / "here").mkdir()
    setting = Setting.of(tmp_path, 200)
    alone = setting.extract("alone.features")
    assert setting.extract("here/s.features", rank="0/2") is None
    assert setting.extract("there.features", rank="1/2") is None
    for shard in partial_of(tmp_path / "there.features").glob("rows-*"):
        shard.rename(partial_of(tmp_path / "here" / "s.features") / shard.name)
    store = setting.extract("here/s.features")
    assert store is not None and alone is not None and bytes_of(store.path) == bytes_of(alone.path)


def test_a_changed_image_is_noticed_in_an_unfinished_store(tmp_path: Path, monkeypatch):
    setting = Setting.of(tmp_path, 100)
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_after(patch, 1)
        setting.extract()
    write_images(tmp_path / "images.npz", 100, seed=1)
    with pytest.raises(
        InputError, match=r"holds an unfinished extraction of other content, which differs in: data;"
    ):
        setting.extract()


def test_the_plan_says_in_clear_what_an_unfinished_store_is(tmp_path: Path, monkeypatch):
    setting = Setting.of(tmp_path, 100)
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_after(patch, 1)
        setting.extract()
    plan = json.loads((partial_of(tmp_path / "s.features") / "plan.json").read_text())
    assert plan["samples"] == 100 and plan["ingredients"]["architecture"] == "small_cnn"


def folder_in(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), folder_in])
def test_a_plan_or_shard_that_is_no_file_keeps_nobody_waiting(tmp_path: Path, monkeypatch, put):
    setting = Setting.of(tmp_path, 100)
    partial = partial_of(tmp_path / "s.features")
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_after(patch, 1)
        setting.extract()
    for name in ("plan.json", "rows-00001.safetensors"):
        (partial / name).unlink(missing_ok=True)
        put(partial / name)
    assert planned(partial) is None
    if put is folder_in:
        with pytest.raises(InputError, match=r"cannot write to .*Is a directory"):
            setting.extract()
        return
    store = setting.extract()
    assert store is not None and store.size == 100 and not list(faults(store))
