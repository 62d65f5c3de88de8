"""What strangers hand over, through every command, watched: `python benchmarks/attack_checkpoints.py --commands 3`.

Each attack of `tests/checkpoints/stated_attacks.py` and `handed_over.py` in a folder of its own, beside code and a
pickle that are traps; each command in a process of its own,
with an audit hook and nobody at the terminal. A command may
refuse with one line and exit code 2, or do its work; it may not run, ask for, open or fetch what is named, nor take
10 seconds of the processor or 1 GB.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

# Instead of this folder, whose `coverage.py` others would import.
sys.path[0] = str(Path(__file__).parents[1])

from tests.checkpoints.commands import Ran, ran  # noqa: E402
from tests.checkpoints.watching import ALL, Attack, faults_of, laid  # noqa: E402

# Commands that are given to the processes at a time.
CHUNK = 150


def met(armed: list[Attack]) -> Iterator[tuple[Attack, Ran]]:
    """What comes of each, in their order."""
    for start in range(0, len(armed), CHUNK):
        part = armed[start : start + CHUNK]
        yield from zip(
            part, ran([(list(one.command), str(one.folder)) for one in part], workers=2), strict=True
        )


def main() -> None:
    """Every attack, the figures, and what is wrong."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--commands", type=int, default=3, help="so many commands an attack, in turn")
    asked.add_argument("--every", type=int, default=1, help="each so many-th attack")
    asked.add_argument("--times", action="store_true", help="a line for every command")
    asked.add_argument("--only", nargs="*", default=ALL, choices=ALL, help="families")
    options = asked.parse_args()
    codes: Counter[int] = Counter()
    slowest, largest, wrong = 0.0, 0.0, 0
    with tempfile.TemporaryDirectory() as home:
        armed = [
            one
            for family in options.only
            for one in laid(Path(home), family, options.commands, options.every)
        ]
        for one, outcome in met(armed):
            codes[outcome.code] += 1
            slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.megabytes)
            what = f"{one.folder.name} ({one.name}): {' '.join(one.command)[:200]}"
            if options.times:
                print(
                    f"{outcome.seconds:5.1f} s {outcome.megabytes:5.0f} MB, {outcome.code} {what}", flush=True
                )
            for fault in faults_of(one, outcome):
                wrong += 1
                print(f"{what}: {fault}", flush=True)
    print(
        f"{sum(codes.values())} commands, exit codes {dict(codes)}, slowest {slowest:.1f} s, most {largest:.0f} MB"
    )
    print(f"{wrong} faults")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
