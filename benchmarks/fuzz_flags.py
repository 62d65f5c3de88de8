"""Random command lines; prints how they ended, as Markdown, and those that a user would complain of.

Run from the root of the repository: python benchmarks/fuzz_flags.py [count] [seed]
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# Instead of this folder, whose `coverage.py` others would import.
sys.path[0] = str(Path(__file__).parents[1])

from tests.flags import PLACES, furnish, line, outcome  # noqa: E402

# Where lines are asked to write: -o, beside a checkpoint, and a report's own name.
ASKED = ("out", "run.features", "report.pdf", *PLACES[4:8])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1_000)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    given = parser.parse_args()
    begun, counts, longest, faults = time.monotonic(), Counter[int](), 0.0, 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "work"
        folder.mkdir()
        furnish(folder)
        there = {str(path.relative_to(folder)) for path in folder.rglob("*")}
        for number in range(given.count):
            words = line(number, given.seed)
            found = outcome(words, folder, Path(place) / "said")
            counts[found.code] += 1
            longest = max(longest, found.seconds)
            if found.fault:
                faults += 1
                print(f"{number}: {found.fault}: {ascii(words)[:200]}: {found.said[-200:]!a}", flush=True)
        left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        strays = [name for name in left if name not in there and not name.startswith(ASKED)]
    for name in strays:
        faults += 1
        print(f"written unasked: {name!a}")
    print("| exit code | lines |\n|--:|--:|")
    for code, count in sorted(counts.items()):
        print(f"| {code} | {count:,} |")
    print(
        f"\n{given.count:,} lines in {time.monotonic() - begun:.0f} s, the longest {longest:.1f} s of a processor"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
