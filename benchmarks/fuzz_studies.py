"""Mutants of study files through `ablate --dry-run`; prints how many are planned, refused or failed, as Markdown.

Each runs in a process of its own under a limit on memory and time, as the command would, up to the training of its
first batches where that is asked for.

Run from the root of the repository: python benchmarks/fuzz_studies.py [count] [seed] [--train]
"""

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# Instead of this folder, whose `coverage.py` others would import.
sys.path[0] = str(Path(__file__).parents[1])

from maxsup_analysis import cli  # noqa: E402
from maxsup_analysis.architectures.build import library_names  # noqa: E402
from maxsup_analysis.datasets import open_data  # noqa: E402
from maxsup_analysis.study import rehearsal  # noqa: E402
from tests.study.mutants import mutant  # noqa: E402

SECONDS, MEMORY = 20, 8 << 30
OUTCOMES = {0: "planned", 2: "refused"}


def outcome(text: str, *, train: bool) -> tuple[str, str]:
    """What becomes of a study file: planned, refused or failed, and the last line that it was told in."""
    with tempfile.TemporaryDirectory() as folder:
        path, said = Path(folder) / "study.toml", Path(folder) / "said"
        path.write_text(text, encoding="utf-8")
        child = os.fork()
        if child == 0:
            _run(path, said, train=train)
        _, status = os.waitpid(child, 0)
        lines = said.read_text(encoding="utf-8", errors="replace").splitlines()
        left = sorted(one.name for one in Path(folder).iterdir())
    code = os.waitstatus_to_exitcode(status)
    words = lines[-1] if lines else ""
    if code == 2 and (len(lines) != 1 or not words.startswith("error: ")):
        return "failed", f"{len(lines)} lines: {words}"
    if left != ["said", "study.toml"]:
        return "failed", f"wrote {left}"
    return OUTCOMES.get(code, "failed"), f"{code}: {words}"


def _run(path: Path, said: Path, *, train: bool) -> None:
    """The command, in the process that was made for it."""
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.argv = ["maxsup-analyze", "ablate", str(path), "--dry-run"]
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if not train:
        rehearsal._calibrated = lambda plan: rehearsal.Calibration(1.0, 1.0, 1)
    try:
        cli.main()
    except SystemExit as leaving:
        sys.stderr.flush()
        os._exit(leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1)
    os._exit(99)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=2_400)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("--train", action="store_true")
    given = parser.parse_args()
    library_names()  # imported once, before the forks
    open_data("digits", "train")
    begun, counts, failures = time.monotonic(), Counter[str](), {}
    for number in range(given.count):
        kind, words = outcome(mutant(number, given.seed), train=given.train)
        counts[kind] += 1
        if kind == "failed":
            failures[number] = words
    print("| outcome | studies |\n|---|--:|")
    for kind in ("planned", "refused", "failed"):
        print(f"| {kind} | {counts[kind]:,} |")
    print(f"\n{given.count:,} studies in {time.monotonic() - begun:.0f} s")
    for number, words in failures.items():
        print(f"mutant {number}: {words[:300]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
