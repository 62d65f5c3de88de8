"""Attacks laid out in folders, the commands that meet them, and what is wrong with what comes of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.checkpoints.commands import Ran
from tests.checkpoints.data_attacks import class_maps, data, states
from tests.checkpoints.handed_over import features, pieces, single_files, stores
from tests.checkpoints.naming import own, trap
from tests.checkpoints.stated_attacks import FAMILIES, SMALL, Write

MOST_SECONDS, MOST_MEGABYTES = 10.0, 1000.0
DIGITS = ("--data", "digits", "-j", "0")
Command = tuple[str, ...]
# FILE is what the attack wrote, own.pt an honest checkpoint beside it. A report draws UMAP, which alone takes seconds.
OF_CHECKPOINTS: tuple[Command, ...] = (
    ("inspect", "FILE"), ("features", "FILE", "--split", "test", *DIGITS), ("measure", "FILE"), ("inspect", "--json",
    "FILE"),
    ("compare", "A=FILE", "B=FILE"), ("features", "FILE"), ("figure", "metrics", "A=FILE", "-o", "figure.svg"),
    ("report", "FILE", "-o", "report.pdf"), ("probe", "FILE", *DIGITS), ("measure", "FILE", "--split", "test", *DIGITS),
    ("features", "FILE", "--list-layers"),
)  # fmt: skip
OF_STORES: tuple[Command, ...] = (
    ("store", "verify", "FILE"), ("store", "info", "FILE"), ("measure", "FILE", "-g", "accuracy", "--json"),
    ("store", "export", "FILE", "-o", "out.npz"), ("store", "merge", "FILE", "-o", "merged"), ("store", "info",
    "--json", "FILE"),
    ("compare", "A=FILE", "B=FILE", "-g", "accuracy"), ("measure", "FILE", "-g", "accuracy", "--csv", "out.csv"),
    ("figure", "metrics", "A=FILE", "-o", "out.svg"), ("store", "export", "FILE", "-o", "out.parquet"),
)  # fmt: skip
OF_FEATURES: tuple[Command, ...] = (
    ("store", "import", "FILE", "-o", "made"), ("measure", "FILE", "-g", "accuracy"), ("inspect", "FILE"),
)  # fmt: skip
OF_DATA: tuple[Command, ...] = (
    ("features", "own.pt", "--data", "FILE", "-j", "0"), ("probe", "own.pt", "--data", "FILE", "-j", "0"),
    ("train", "--data", "FILE", "--epochs", "1", "-o", "new.pt", "-j", "0"),
)  # fmt: skip
OF_CLASS_MAPS: tuple[Command, ...] = (
    ("features", "own.pt", "--split", "test", *DIGITS, "--class-map", "FILE"),
)
OF_STATES: tuple[Command, ...] = (
    ("train", "--data", "digits", "--train-samples", "60", "--epochs", "1", "-o", "FILE", "-j", "0"),
)
COMMANDS: Mapping[str, tuple[Command, ...]] = {
    **dict.fromkeys((*FAMILIES, "pieces", "single files"), OF_CHECKPOINTS), "features": OF_FEATURES,
    "stores": OF_STORES,
    "data": OF_DATA, "class maps": OF_CLASS_MAPS, "states": OF_STATES,
}  # fmt: skip

EVERY: Mapping[str, Callable[[], dict[str, Write]]] = {
    **FAMILIES, "pieces": pieces, "single files": single_files, "features": features, "stores": stores, "data": data,
    "class maps": class_maps, "states": states,
}  # fmt: skip
ALL = tuple(EVERY)


@dataclass(frozen=True)
class Attack:
    """One command on what a stranger hands over. canary: there, when something ran."""

    name: str
    folder: Path
    command: Command
    canary: Path


def laid(home: Path, family: str, commands: int, every: int = 1) -> Iterator[Attack]:
    """Each `every`-th attack of a family, with so many commands, in turn."""
    mine = COMMANDS[family]
    for number, (name, write) in list(enumerate(EVERY[family]().items()))[::every]:
        folder, canary = home / f"{family} {number}".replace(" ", "-"), home / f"{number}.canary"
        folder.mkdir()
        trap(folder, canary)
        (folder / "trap_data").mkdir()
        (folder / "trap_classes.txt").write_text("a\n")
        if family in ("data", "class maps"):
            own(folder, SMALL)
        file = write(folder)
        for place in range(min(commands, len(mine))):
            command = mine[(number // every * commands + place) % len(mine)]
            yield Attack(name, folder, tuple(word.replace("FILE", file) for word in command), canary)


def faults_of(attack: Attack, found: Ran) -> Iterator[str]:
    """What may not be, a sentence each."""
    lines = found.err.splitlines()
    if attack.canary.exists() or (attack.folder / "PWNED").exists():
        yield "something ran"
    if found.offences:
        yield f"offences {found.offences[:3]}"
    if found.code not in (0, 2):
        yield f"exit code {found.code}: {found.err[-300:]}"
    refusals = [line for line in lines if line.startswith("error: ")]
    if found.code == 2 and (len(refusals) != 1 or lines[-1:] != refusals):
        yield f"not one line: {found.err[:500]!r}"
    if not all(line.replace("\t", "").isprintable() for line in (*lines, *found.out.splitlines())):
        yield f"not printable: {found.err[:300]!r} {found.out[:300]!r}"
    # A report that is made draws what takes seconds of any store.
    drawn = attack.command[0] == "report" and found.code == 0
    if not drawn and (found.seconds > MOST_SECONDS or found.megabytes > MOST_MEGABYTES):
        yield f"{found.seconds:.1f} s, {found.megabytes:.0f} MB"
