"""Opens mutants of small checkpoints of every kind; prints how many were opened, refused, or failed, as Markdown.

Run from the root of the repository: python benchmarks/fuzz_checkpoints.py [count] [seed]
"""

import argparse
import sys
import time
from pathlib import Path

# Instead of this folder, whose `coverage.py` others would import.
sys.path[0] = str(Path(__file__).parents[1])

from tests.checkpoints.mutate import Tally, run  # noqa: E402
from tests.checkpoints.opening import entry  # noqa: E402

SHOWN = 20


def report(tally: Tally, seconds: float) -> None:
    total = sum(tally.counts.values())
    print("| outcome | mutants |\n|---|--:|")
    for outcome in ("opened", "refused", "failed"):
        print(f"| {outcome} | {tally.counts[outcome]:,} |")
    print(f"\n{total:,} mutants in {seconds:.0f} s, {total / max(seconds, 1e-9):,.0f} a second")
    for number, failure in sorted(tally.failures.items())[:SHOWN]:
        print(f"mutant {number}: {failure}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1_000_000)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    given = parser.parse_args()
    entry("parse")  # imported once, before the forks
    begun = time.monotonic()
    tally = run(given.count, given.seed)
    report(tally, time.monotonic() - begun)
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
