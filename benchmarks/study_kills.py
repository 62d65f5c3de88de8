"""A study killed again and again, then finished: `python benchmarks/study_kills.py --kills 20`.

The study of this file is run once in peace. Then it is run in another folder, and its whole process group killed with
SIGKILL after a random time, as often as asked; then it is run to its end. Checkpoints have to be the same bytes, tables
the same text, and no file may be left over, in the system's folder of temporary files either.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = """
title = "Killed"
[train]
epochs = 100
train_samples = 600
ema = 0.99
mixup = 0.2
[factors]
loss = ["ce", "ols", "disturb_label"]
seed = [0, 1, 2, 3]
"""
TABLES = ("cells.csv", "means.csv", "effects.csv")


def command(study: Path, output: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "maxsup_analysis",
        "ablate",
        str(study),
        "-o",
        str(output),
        "--device",
        "cpu",
    ]


def killed_after(study: Path, output: Path, seconds: float) -> bool:
    """Whether the run was still going when it was killed, with everything that it started."""
    run = subprocess.Popen(
        command(study, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        return True
    return False


def contents(output: Path) -> dict[str, bytes]:
    """What has to be the same: checkpoints and tables."""
    found = {
        str(path.relative_to(output)): path.read_bytes() for path in output.glob("cells/*/checkpoint.pt")
    }
    return found | {name: (output / name).read_bytes() for name in TABLES}


def leftovers(output: Path) -> list[str]:
    """States and temporary files of runs that are done."""
    return [
        str(path)
        for path in output.rglob("*")
        if path.name.endswith((".state", ".tmp", "error.json")) or ".partial-" in path.name
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        study, peace, war, scratch = (
            Path(folder) / name for name in ("study.toml", "peace", "war", "scratch")
        )
        scratch.mkdir()
        os.environ["TMPDIR"] = str(scratch)
        study.write_text(STUDY)
        began = time.monotonic()
        subprocess.run(
            command(study, peace), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        whole = time.monotonic() - began
        # A folder of torch's compiler, in every process that imports it.
        usual = set(scratch.iterdir())
        print(f"in peace: {whole:.0f} s; torch itself leaves {sorted(path.name for path in usual)}")
        kills = 0
        while kills < given.kills:
            # The first seconds go into starting: some lives do nothing, most end in the middle of training.
            seconds = chance.uniform(4, 12)
            if not killed_after(study, war, seconds):
                break
            kills += 1
            done = len(list(war.glob("cells/*/*.measured.json")))
            begun = len(list(war.glob("cells/*/*.state")))
            print(f"kill {kills} after {seconds:.1f} s: {done} cells measured, {begun} in the making")
        subprocess.run(command(study, war), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        first, second = contents(peace), contents(war)
        assert first.keys() == second.keys(), first.keys() ^ second.keys()
        different = [name for name in first if first[name] != second[name]]
        print(f"{kills} kills; {len(first)} files compared, {len(different)} differ: {different}")
        left = [*leftovers(war), *map(str, set(scratch.iterdir()) - usual)]
        print(f"left over: {left}")
        if different or left:
            sys.exit(1)


if __name__ == "__main__":
    main()
