"""Opens tiny folders of transformers whose JSON files are mutants; counts what opens, is refused, or fails.

Run from the root of the repository: python benchmarks/fuzz_transformers.py [count] [seed]
"""

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

# Instead of this folder, whose `coverage.py` others would import.
sys.path[0] = str(Path(__file__).parents[1])

from maxsup_analysis.checkpoints import open_checkpoint  # noqa: E402
from maxsup_analysis.classifiers import classifier_of  # noqa: E402
from maxsup_analysis.errors import InputError  # noqa: E402
from tests.hugging_face.mutants import mutated  # noqa: E402
from tests.hugging_face.nets import SIDES, TINY  # noqa: E402
from tests.hugging_face.producer import network, written  # noqa: E402
from tests.hugging_face.test_pairs import PROCESSORS, stated  # noqa: E402

FILES = ("config.json", "preprocessor_config.json")
# Nothing may take longer, in seconds.
PATIENCE = 20


def outcome(folder: Path) -> str:
    """What comes of opening a folder, and of describing it as JSON."""
    try:
        checkpoint = open_checkpoint(folder)
        json.dumps(checkpoint.about, allow_nan=False).encode()
        checkpoint.inspection.to_text().encode()
        classifier_of(checkpoint)
    except InputError as reason:
        str(reason).encode()
        return "failed: several lines" if "\n" in str(reason) else "refused"
    return "opened"


def mutant(original: Path, target: Path, chance: random.Random) -> None:
    texts = {name: (original / name).read_text() for name in FILES}
    name = chance.choice(FILES)
    texts[name] = mutated(json.loads(texts[name]), chance)
    target.mkdir()
    (target / "model.safetensors").hardlink_to(original / "model.safetensors")
    for file, text in texts.items():
        (target / file).write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=6_000)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    given = parser.parse_args()
    chance, counts, begun = random.Random(given.seed), Counter[str](), time.monotonic()
    with tempfile.TemporaryDirectory() as root:
        folders = [
            written(Path(root) / kind, network(kind), stated(PROCESSORS.get(kind, "ViT"), SIDES[kind]))
            for kind in TINY
        ]
        for number in range(given.count):
            target, start = Path(root) / str(number), time.monotonic()
            mutant(chance.choice(folders), target, chance)
            try:
                found = outcome(target)
            except Exception:
                found = "failed"
                print(f"mutant {number}:\n{traceback.format_exc(limit=-3)}")
            counts["slow" if time.monotonic() - start > PATIENCE else found] += 1
    print("| outcome | mutants |\n|---|--:|")
    for name, count in sorted(counts.items()):
        print(f"| {name} | {count:,} |")
    print(f"\n{given.count:,} mutants in {time.monotonic() - begun:.0f} s")
    return 1 if set(counts) - {"opened", "refused"} else 0


if __name__ == "__main__":
    sys.exit(main())
