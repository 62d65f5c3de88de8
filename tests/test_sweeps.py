"""Tests for sweeps: threads and clusters change no number, keep the order, and say what went wrong in one line."""

import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import reduce
from operator import add
from pathlib import Path

import pytest
import torch
from dask import config
from distributed import LocalCluster
from hypothesis import given
from hypothesis import strategies as st

from maxsup_analysis import InputError, Measurements, measure_representation, sweeps
from maxsup_analysis.feature_store import Batch, ContentKey, StorePlan, write_store
from maxsup_analysis.gathering import within_scatter
from maxsup_analysis.representation import Head, represent
from maxsup_analysis.rows import RowBlocks, Rows
from maxsup_analysis.sums import RUN, added
from maxsup_analysis.sweeps import DaskBlocks, ThreadedBlocks, blocks_of
from tests.clouds import cloud

K = 4
DATA = cloud(K, 5, [130, 1, 90, 170], seed=3)
FEATURES, LABELS = torch.from_numpy(DATA.features), torch.from_numpy(DATA.labels)
HEAD = Head(torch.from_numpy(DATA.weight), torch.from_numpy(DATA.bias))
NAMES = tuple("abcd")


@dataclass(frozen=True)
class Reader:
    """Rows start to stop of the data."""

    start: int
    stop: int
    logits: bool = True

    def __call__(self) -> Rows:
        part = slice(self.start, self.stop)
        ids = torch.arange(self.start, self.stop).numpy()
        logits = HEAD.logits(FEATURES[part]) if self.logits else None
        return Rows(ids, LABELS[part], FEATURES[part], logits)


@dataclass(frozen=True)
class Failing:
    """A reader that fails, after what was read later has failed too."""

    name: str
    after: threading.Event | None = None
    then: threading.Event | None = None

    def __call__(self) -> Rows:
        if self.after is not None:
            assert self.after.wait(10)
        if self.then is not None:
            self.then.set()
        raise InputError(f"{self.name} is damaged")


def readers(size: int, *, logits: bool = True) -> tuple[Reader, ...]:
    N = len(LABELS)
    return tuple(Reader(start, min(start + size, N), logits) for start in range(0, N, size))


def first_id(rows: Rows) -> int:
    return int(rows.ids[0])


def measured(blocks: sweeps.Blocks, head: Head | None = HEAD) -> Measurements:
    return measure_representation(represent(blocks, class_names=NAMES, head=head))


def agree(first: Measurements, second: Measurements, tolerance: float) -> None:
    for name, item in first.items():
        other = second[name]
        assert item.reason == other.reason
        for mine, theirs in ((item.value, other.value), (item.standard_error, other.standard_error)):
            assert mine == theirs or math.isclose(mine, theirs, rel_tol=tolerance) or mine != mine, name
            assert math.isnan(mine) == math.isnan(theirs), name
    assert first.samples is not None and second.samples is not None
    assert (first.samples.ids == second.samples.ids).all()
    assert (first.samples.labels == second.samples.labels).all()


# How sums are added


@given(st.integers(0, 5000))
def test_every_part_is_added_once_and_in_order(number: int):
    parts = [f"{part} " for part in range(number)]
    assert added(parts) == ("".join(parts) or None)


def test_parts_are_added_in_runs_of_runs():
    parts = torch.randn(RUN * RUN + RUN + 3, generator=torch.manual_seed(0), dtype=torch.float64).unbind()
    level = list(parts)
    while len(level) > 1:
        level = [reduce(add, level[start : start + RUN]) for start in range(0, len(level), RUN)]
    assert added(parts) == level[0]


# Threads


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_threads_change_no_bit(threads: int, size: int):
    plain = represent(RowBlocks(tuple(reader() for reader in readers(size))), class_names=NAMES, head=HEAD)
    threaded = represent(ThreadedBlocks(readers(size), threads), class_names=NAMES, head=HEAD)
    for mine, theirs in (
        (plain.means.features, threaded.means.features),
        (plain.means.directions, threaded.means.directions),
    ):
        assert all(torch.equal(getattr(mine, part.name), getattr(theirs, part.name)) for part in fields(mine))
    assert torch.equal(within_scatter(plain), within_scatter(threaded))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_no_measurement(threads: int):
    plain = measured(RowBlocks(tuple(reader() for reader in readers(13))))
    threaded = measured(ThreadedBlocks(readers(13), threads))
    agree(plain, threaded, 0)
    for name, item in plain.items():
        mine, theirs = item.influence, threaded[name].influence
        assert (mine is None and theirs is None) or (
            mine is not None and theirs is not None and torch.equal(mine, theirs)
        )


@pytest.mark.parametrize("K", [10, 21])
def test_the_threads_of_torch_change_no_bit_of_what_is_stored_in_float32(tmp_path: Path, K: int):
    """Products in float32 are rounded otherwise with another number of threads: sweeps take one."""
    data = cloud(K, 512, [40] * K, seed=5)
    columns = (torch.from_numpy(part) for part in (data.labels, data.features, data.logits))
    labels, features, logits = columns
    batch = Batch(torch.arange(len(labels)), labels, features.float(), logits.float())
    names = tuple(map(str, range(K)))
    here = write_store(tmp_path / "store", [batch], StorePlan(ContentKey({}), names, None, {}))
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        found.append(measure_representation(here.represent()))
    torch.set_num_threads(before)
    agree(found[0], found[1], 1e-13)
    agree(found[0], found[2], 1e-13)


def test_results_are_in_the_order_of_the_blocks():
    assert list(ThreadedBlocks(readers(7), 3).map(first_id)) == list(range(0, len(LABELS), 7))


def test_of_two_blocks_that_fail_the_first_is_named():
    second_failed = threading.Event()
    failing = (Failing("first", after=second_failed), Failing("second", then=second_failed))
    blocks = ThreadedBlocks((*readers(200), *failing, *readers(1)), 4)
    with pytest.raises(InputError, match="first is damaged"):
        list(blocks.map(first_id))


def test_blocks_after_a_failure_are_not_read():
    read = []

    def reader() -> Rows:
        read.append(True)
        return Reader(0, 1)()

    with pytest.raises(InputError, match="first is damaged"):
        list(ThreadedBlocks((Failing("first"), *[reader] * 50), 2).map(first_id))
    assert len(read) <= 2


def test_a_sweep_that_is_left_leaves_no_thread():
    before = set(threading.enumerate())
    results = ThreadedBlocks(readers(1), 4).map(first_id)
    next(results)
    assert set(threading.enumerate()) - before
    results.close()  # type: ignore[attr-defined]
    assert not set(threading.enumerate()) - before


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_blocks_than_threads_are_in_memory(threads: int):
    lock, alive, most = threading.Lock(), 0, 0

    def look(rows: Rows) -> int:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        # Long enough for the others to come in, were they allowed to.
        threading.Event().wait(0.005)
        with lock:
            alive -= 1
        return len(rows.labels)

    assert sum(ThreadedBlocks(readers(10), threads).map(look)) == len(LABELS)
    assert most <= threads


def test_no_more_results_than_threads_wait_for_a_slow_reader_of_them():
    begun: list[int] = []

    def note(rows: Rows) -> int:
        begun.append(first_id(rows))
        return len(begun)

    results = ThreadedBlocks(readers(1), 3).map(note)
    for taken in range(1, 20):
        next(results)
        assert len(begun) <= taken + 3
    results.close()  # type: ignore[attr-defined]


def test_the_threads_of_torch_stay_as_they_were():
    before = torch.get_num_threads()
    measured(ThreadedBlocks(readers(50)))
    assert torch.get_num_threads() == before


def test_no_blocks_have_no_sum():
    assert ThreadedBlocks(()).total(first_id) is None
    with pytest.raises(InputError, match="expected at least one sample, got none"):
        represent(blocks_of([]), class_names=NAMES)


# A cluster


@contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """The address of a scheduler with worker processes of one thread each; ports are free ones."""
    cluster = LocalCluster(
        n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    )
    try:
        yield cluster.scheduler_address
    finally:
        cluster.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two worker processes."""
    with local_cluster(2) as address:
        yield address


def store(folder: Path, *, head: Head | None, logits: bool):
    """A store of two shards in float32."""
    N = 4096 + 300
    batch = Batch(
        torch.arange(N),
        LABELS.repeat(20)[:N],
        FEATURES.repeat(20, 1)[:N].float(),
        HEAD.logits(FEATURES).repeat(20, 1)[:N].float() if logits else None,
    )
    return write_store(folder / "store", [batch], StorePlan(ContentKey({}), NAMES, head, {}))


@pytest.mark.parametrize(("head", "logits"), [(HEAD, True), (None, False)])
def test_a_store_measured_on_a_cluster(tmp_path: Path, cluster: str, head: Head | None, logits: bool):
    here = store(tmp_path, head=head, logits=logits)
    agree(measure_representation(here.represent()), measure_representation(here.represent(cluster)), 1e-12)


def test_more_shards_than_a_run_measured_on_a_cluster(cluster: str):
    agree(measured(ThreadedBlocks(readers(20))), measured(DaskBlocks(readers(20), cluster)), 1e-12)


def test_a_cluster_adds_runs_of_runs_to_the_same_bits(cluster: str):
    for size in (1, 50):
        local = represent(ThreadedBlocks(readers(size)), class_names=NAMES)
        remote = represent(DaskBlocks(readers(size), cluster), class_names=NAMES)
        assert torch.equal(within_scatter(local), within_scatter(remote))
        assert torch.equal(local.means.features.offsets, remote.means.features.offsets)


def test_results_of_a_cluster_are_in_order(cluster: str):
    assert list(DaskBlocks(readers(7), cluster).map(first_id)) == list(range(0, len(LABELS), 7))


def test_what_is_wrong_with_the_data_is_said_by_a_cluster_too(cluster: str):
    with pytest.raises(InputError, match=r"expected labels from 0 to 1, got [23] for sample"):
        represent(DaskBlocks(readers(100), cluster), class_names=("a", "b"))


def test_a_store_that_workers_do_not_see(tmp_path: Path, cluster: str):
    here = store(tmp_path, head=None, logits=False)
    # As if the workers had another disk.
    elsewhere = tuple(
        replace(reader, path=tmp_path / "elsewhere" / reader.path.name) for reader in here.readers
    )
    with pytest.raises(InputError) as error:
        list(DaskBlocks(elsewhere, cluster).map(first_id))
    assert "cannot read the feature store" in str(error.value)
    assert "on a file system that all workers share, under the same absolute path" in str(error.value)
    assert "\n" not in str(error.value)


def test_no_blocks_need_no_cluster():
    assert DaskBlocks((), "tcp://127.0.0.1:9").total(first_id) is None


@pytest.mark.parametrize("scheduler", ["tcp://127.0.0.1:9", "no such file.json", "tcp://127.0.0.1:no"])
def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch, scheduler: str):
    monkeypatch.setattr(sweeps, "PATIENCE", 1)
    with pytest.raises(InputError) as error:
        represent(DaskBlocks(readers(100), scheduler), class_names=NAMES)
    assert str(error.value) == (
        f"expected a Dask scheduler at {scheduler} (an address such as tcp://host:8786, or its scheduler file), "
        "reached none within 1 seconds; start one with `dask scheduler`, and workers with `dask worker ADDRESS`"
    )


def test_a_scheduler_that_is_not_there_leaves_no_thread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweeps, "PATIENCE", 1)
    before = set(threading.enumerate())
    with pytest.raises(InputError):
        DaskBlocks(readers(100), "tcp://127.0.0.1:9").total(first_id)
    assert not [thread.name for thread in threading.enumerate() if thread not in before]


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweeps, "PATIENCE", 1)
    with (
        local_cluster(0) as address,
        pytest.raises(InputError, match="has no workers after 1 seconds; start one with `dask scheduler`"),
    ):
        represent(DaskBlocks(readers(100), address), class_names=NAMES)


def kill(rows: Rows) -> int:
    os._exit(1)


def test_workers_that_die():
    # A task is otherwise tried on three more workers.
    with (
        config.set({"distributed.scheduler.allowed-failures": 0}),
        local_cluster(1) as address,
        pytest.raises(
            InputError, match=r"workers of the Dask cluster died \(the last was tcp://127.*give them more"
        ),
    ):
        DaskBlocks(readers(1000), address).total(kill)


def test_workers_of_another_version(monkeypatch: pytest.MonkeyPatch, cluster: str):
    monkeypatch.setattr(sweeps, "__version__", "0.0.1")
    with pytest.raises(InputError, match=r"expected maxsup-analysis 0\.0\.1 on every worker, tcp://127"):
        represent(DaskBlocks(readers(100), cluster), class_names=NAMES)


def test_without_dask_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(
        InputError, match=r"--dask needs Dask; install it with `pip install 'maxsup-analysis\[dask\]'`"
    ):
        represent(DaskBlocks(readers(100), "tcp://127.0.0.1:9"), class_names=NAMES)
