"""An extraction killed again and again, then finished: `python benchmarks/feature_kills.py --kills 20`.

A checkpoint of a small network, and images whose reader takes half a millisecond for each. In one folder features are
extracted in peace. In another all processes of `features -j 2` are ended at a random moment of their work, by turns
with SIGKILL and with two Ctrl-C at once, as often as asked; then it is run to its end. The stores have to be the same
bytes, and nothing may be left over: not beside the store, not in the system's folder of temporary files, which is a new
one here, nothing of torch's or Python's in shared memory, and no process.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import torch

from maxsup_analysis.architectures.small import small_cnn
from maxsup_analysis.checkpoints import save_checkpoint

SHARED_MEMORY = Path("/dev/shm")
# How torch and Python call what they put there; other programs may come and go meanwhile.
SHARED = ("torch_", "sem.", "psm_", "pymp-")
SAMPLES = 10_000
WORKERS = 2
DATA = """
import time
import numpy as np

class Slow:
    fingerprint = "1"
    targets = [number % 10 for number in range({samples})]

    def __len__(self):
        return {samples}

    def __getitem__(self, number):
        time.sleep({seconds})
        return np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8), number % 10

def make():
    return Slow()
"""
ARCHITECTURE = {"name": "small_cnn", "arguments": {"channels": 1, "classes": 10, "widths": [8, 8, 8]}}
PREPROCESSING = {"size": [1, 8, 8], "mean": [0.5], "std": [0.25], "resize": None}


def write_files(folder: Path, seconds: float) -> None:
    """The checkpoint and the code of the data."""
    torch.manual_seed(0)
    classes = [str(label) for label in range(10)]
    metadata = {
        "architecture": ARCHITECTURE,
        "preprocessing": PREPROCESSING,
        "training": {},
        "classes": classes,
    }
    save_checkpoint(folder / "net.pt", small_cnn(1, 10, (8, 8, 8)).state_dict(), metadata)
    (folder / "slow.py").write_text(DATA.format(samples=SAMPLES, seconds=seconds))


def begin(folder: Path, output: Path) -> subprocess.Popen:
    """`features` with two workers, in a session of its own."""
    options = [
        "--data",
        folder / "slow.py:make",
        "-o",
        output,
        "-j",
        str(WORKERS),
        "-b",
        "16",
        "--device",
        "cpu",
    ]
    command = [sys.executable, "-m", "maxsup_analysis", "features", folder / "net.pt", *options]
    with (folder / "log").open("w") as log:
        return subprocess.Popen([*map(str, command)], stdout=log, stderr=log, start_new_session=True)


def finish(folder: Path, output: Path) -> None:
    """The same to its end."""
    if begin(folder, output).wait() != 0:
        sys.exit((folder / "log").read_text())


def kill(run: subprocess.Popen, by: signal.Signals) -> bool:
    """All that runs there, with two signals at once; whether it was still going."""
    if run.poll() is not None:
        return False
    for _ in range(2):
        with suppress(ProcessLookupError):
            os.killpg(run.pid, by)
    run.wait()
    return True


def processes(run: subprocess.Popen) -> list[str]:
    """Those of a run that are there now."""
    return subprocess.run(["pgrep", "-s", str(run.pid)], capture_output=True, text=True).stdout.split()


def outliving(run: subprocess.Popen) -> list[str]:
    """The processes that a killed run left; workers whose parent died may take a second to see it."""
    end = time.monotonic() + 5
    while (found := processes(run)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def shared() -> set[str]:
    return {name for name in names(SHARED_MEMORY) if name.startswith(SHARED)}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def contents(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir()}


def make_war(folder: Path, output: Path, kills: int, chance: random.Random, span: float) -> list[str]:
    """Kill one run after the other while it works; the processes that outlived one."""
    partial, outlived = output.with_name(f"{output.name}.partial"), []
    number = 0
    while number < kills:
        run = begin(folder, output)
        while len(processes(run)) <= WORKERS and run.poll() is None:
            time.sleep(0.05)
        time.sleep(chance.uniform(0, span))
        by = signal.SIGKILL if number % 2 else signal.SIGINT
        if not kill(run, by):
            if run.returncode:
                sys.exit((folder / "log").read_text())
            shutil.rmtree(output)
            continue
        number += 1
        outlived += outliving(run)
        in_folder = names(partial) if partial.exists() else set()
        shards = sum(name.endswith(".safetensors") for name in in_folder)
        temporary = [name for name in in_folder if name.endswith(".tmp")]
        scratch = sorted(names(Path(os.environ["TMPDIR"])))
        print(f"kill {number} ({by.name}): {shards} shards, {len(temporary)} .tmp, scratch {scratch}")
    return outlived


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0005, help="what the reader takes for an image")
    parser.add_argument(
        "--span",
        type=float,
        default=6.0,
        help="the latest moment of a kill, counted from when its workers are there",
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scratch, peace, war = folder / "scratch", folder / "peace", folder / "war"
        for part in (scratch, peace, war):
            part.mkdir()
        os.environ["TMPDIR"] = str(scratch)
        write_files(folder, given.seconds)
        began = time.monotonic()
        finish(folder, peace / "s.features")
        print(f"in peace: {time.monotonic() - began:.1f} s; torch itself leaves {sorted(names(scratch))}")
        # A folder of torch's compiler, in every process that imports it.
        usual = names(scratch)
        before = shared()
        outlived = make_war(folder, war / "s.features", given.kills, random.Random(given.seed), given.span)
        finish(folder, war / "s.features")
        first, second = contents(peace / "s.features"), contents(war / "s.features")
        left = sorted((names(war) - {"s.features"}) | (names(scratch) - usual) | (shared() - before))
        different = [name for name in first.keys() | second.keys() if first.get(name) != second.get(name)]
        print(f"{given.kills} kills; {len(first)} files compared, {len(different)} differ: {different}")
        print(f"left over: {left}; processes that outlived a kill: {outlived}")
        if different or left or outlived:
            sys.exit(1)


if __name__ == "__main__":
    main()
