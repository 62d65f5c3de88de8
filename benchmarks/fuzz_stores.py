"""Damaged stores through the commands: `python benchmarks/fuzz_stores.py --manifests 300`.

Every kind of harm of `tests/feature_store/harm.py`, then random mutations of a manifest that is sealed again, through
`measure`, `compare`, `report` and `store verify`. A command may refuse with one line and exit code 2, or say what it
says of a sound store; what it may not is exit code 70, a traceback, more than one line, or more than 20 seconds
of the processor.
"""

import argparse
import copy
import io
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

# Instead of this folder, whose `coverage.py` others would import.
sys.path[0] = str(Path(__file__).parents[1])

from maxsup_analysis import cli  # noqa: E402
from maxsup_analysis.feature_store.seals import SEAL, sealed  # noqa: E402
from tests.feature_store.harm import HARMS, make, twin  # noqa: E402

COMMANDS = (
    ("measure", "STORE", "-g", "accuracy"), ("measure", "STORE", "-g", "nc,calibration", "--json"),
    ("compare", "A=STORE", "B=OTHER", "-g", "accuracy"),
    ("report", "STORE", "-o", "OUT", "-g", "accuracy", "--overwrite"), ("store", "verify", "STORE"),
    ("store", "info", "STORE", "--json"),
)  # fmt: skip
SLOW = 20.0  # seconds of the processor
STRANGE = (
    None, True, False, -1, 0, 1, 3, 2**53, 2**70, 10**400, 0.5, 1e308, "", "x", "0" * 64, "\ud800", "\x1b[2J\n",
    "\u202e", "../x", "/dev/zero", "=cmd|' /C calc'!A0", "x" * 100_000, [], {}, [[]], [None], {"a": {}}, {"": ""},
)  # fmt: skip


def ran(words: list[str]) -> tuple[int, str]:
    """Exit code and what is said on stderr."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["maxsup-analyze", *words]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            cli.main()
    except SystemExit as left:
        return int(left.code or 0), err.getvalue()
    finally:
        sys.argv = before
    return 0, err.getvalue()


def mutated(sound: dict, chance: random.Random) -> dict:
    """Some values exchanged, taken away or put twice, at random depths."""
    document = copy.deepcopy(sound)
    for _ in range(chance.choice((1, 1, 2, 4))):
        node: object = document
        while isinstance(node, dict | list) and node:
            key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
            below = node[key]
            if not isinstance(below, dict | list) or not below or chance.random() < 0.25:
                if chance.random() < 0.2:
                    del node[key]
                else:
                    node[key] = copy.deepcopy(chance.choice(STRANGE))
                break
            node = below
    return document


def look(what: str, store: Path, other: Path, output: Path, found: Counter, faults: list[str]) -> list[int]:
    """Exit codes of all commands; what is wrong with them goes to the faults."""
    codes, places = [], {"STORE": str(store), "OTHER": str(other), "OUT": str(output)}
    for command in COMMANDS:
        words = [re.sub("|".join(places), lambda match: places[match[0]], word) for word in command]
        began = time.process_time()
        code, said = ran(words)
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        wrong = code not in (0, 2) or "Traceback" in said or (code == 2 and len(errors) != 1)
        if wrong or time.process_time() - began > SLOW:
            faults.append(f"{what}: {' '.join(command)}: {code} {said[-300:]!r}")
        found[command[0], code] += 1
        codes.append(code)
    return codes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifests", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance, found, faults = random.Random(given.seed), Counter(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, foreign = make(folder)
        other, output = twin(folder), folder / "x.pdf"
        codes = look("a sound store", whole, other, output, Counter(), faults)
        assert codes == [0] * len(COMMANDS), (codes, faults)
        for kind, harm in HARMS.items():
            place = folder / "harmed"
            store, stranger = (Path(shutil.copytree(path, place / path.name)) for path in (whole, foreign))
            harm(store, stranger)
            codes = look(kind, store, other, output, found, faults)
            # `info` shows what the manifest says; whatever looks at rows refuses.
            if set(codes[:-1]) != {2}:
                faults.append(f"{kind}: exit codes {codes}")
            shutil.rmtree(place)
        document = json.loads((whole / "manifest.json").read_text())
        document.pop(SEAL)
        for number in range(given.manifests):
            change = mutated(document, chance)
            (whole / "manifest.json").write_bytes(sealed(change))
            codes = look(f"manifest {number}", whole, other, output, found, faults)
            if codes[4] == 0 and 2 in codes[:2]:
                faults.append(f"manifest {number}: verified, but refused: {codes}")
    for (command, code), times in sorted(found.items()):
        print(f"{command}: exit code {code}: {times}")
    print("\n".join(faults) or "no faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
