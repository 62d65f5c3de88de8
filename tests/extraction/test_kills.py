"""Tests for runs that are killed at random moments: in the end every row once, and the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from maxsup_analysis.feature_store.request import partial_of
from tests.extraction.processes import start
from tests.extraction.setting import Setting, bytes_of, ids_of

ROWS = 1500
KILLS = 60
TORCHRUN = "import sys; from tests.extraction.test_kills import extract; extract(sys.argv[1], sys.argv[2])"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Setting, dict[str, str]]:
    setting = Setting.of(tmp_path_factory.mktemp("kills"), ROWS)
    store = setting.extract("whole.features")
    assert store is not None and ids_of(store.path) == list(range(ROWS))
    return setting, bytes_of(store.path)


def extract(folder: str, name: str) -> None:
    Setting.at(Path(folder)).extract(name)


def torchrun_says(rank: int, world: int) -> dict[str, str]:
    return {"TORCHELASTIC_RUN_ID": "x", "RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}


def killed_until(kills: int, ranks: int, whole: tuple[Setting, dict[str, str]], name: str) -> list[int]:
    """Kill runs at random moments until there were so many kills; how many shards there were at each.

    Now and then a run gets to its end: then it starts over, after a look at what it left.
    """
    setting, expected = whole
    target, found, rng = setting.folder / name, [], random.Random(name)
    while len(found) < kills:
        environments = [torchrun_says(rank, ranks) for rank in range(ranks)]
        arguments = (extract, str(setting.folder), name)
        runs = [
            start(setting.folder / "log", *arguments, environment=environment) for environment in environments
        ]
        wait_for_the_first_shard_or_a_moment(target, rng)
        for run in runs:
            run.kill()
        for run in runs:
            run.join(30)
            assert run.exitcode in (0, -signal.SIGKILL), (setting.folder / "log").read_text()
        if target.exists():
            assert bytes_of(target) == expected
            shutil.rmtree(target)
        if any(run.exitcode for run in runs):
            found.append(len(list(partial_of(target).glob("rows-*.safetensors"))))
    return found


def wait_for_the_first_shard_or_a_moment(target: Path, rng: random.Random) -> None:
    """Half of the kills come while shards are written, the others at any time from the very start."""
    end = time.monotonic() + 10
    if rng.random() < 0.5:
        before = len(list(partial_of(target).glob("rows-*.safetensors")))
        while len(list(partial_of(target).glob("rows-*.safetensors"))) == before and time.monotonic() < end:
            if target.exists():
                return
            time.sleep(0.001)
        time.sleep(rng.random() * 0.05)
    else:
        time.sleep(rng.random() * 0.6)


@pytest.mark.parametrize(("ranks", "kills"), [(1, KILLS), (2, KILLS)])
def test_kills_at_random_moments(whole: tuple[Setting, dict[str, str]], ranks: int, kills: int):
    setting, expected = whole
    name = f"{ranks}.features"
    found = killed_until(kills, ranks, whole, name)
    # The kills did come at different moments: before, between and after shards.
    assert len(set(found)) > 5, found
    store = setting.extract(name)
    assert store is not None and bytes_of(store.path) == expected
    assert not partial_of(store.path).exists()


def test_torchrun_on_one_machine(whole: tuple[Setting, dict[str, str]]):
    setting, expected = whole
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"),
        *(sys.executable, "-c", TORCHRUN, str(setting.folder), "t.features"),
    ]
    options = {"cwd": Path(__file__).parents[2], "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    partial = partial_of(setting.folder / "t.features")
    for _ in range(3):
        before, end = len(list(partial.glob("rows-*.safetensors"))), time.monotonic() + 60
        run = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
        while len(list(partial.glob("rows-*.safetensors"))) <= before and run.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.002)
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **options
    )
    assert done.returncode == 0, done.stdout
    assert bytes_of(setting.folder / "t.features") == expected
