"""Tests for files that name code: each payload is live, and no command runs, asks, downloads or opens what it names."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from maxsup_analysis.features import Extraction, extract_features
from tests.checkpoints.commands import Ran, ran
from tests.checkpoints.naming import CARRIERS, PAYLOADS, own, trap, trust

DATA = ["--data", "digits", "-j", "0"]
COMMANDS = {
    "inspect": lambda path, store: ["inspect", path],
    "inspect --json": lambda path, store: ["inspect", "--json", path],
    "features": lambda path, store: ["features", path, "--split", "test", *DATA],
    "features as it is": lambda path, store: ["features", path],
    "list layers": lambda path, store: ["features", path, "--list-layers"],
    "measure": lambda path, store: ["measure", path, "--split", "test", *DATA],
    "compare": lambda path, store: ["compare", f"A={store}", f"B={path}"],
    "figure": lambda path, store: ["figure", "metrics", f"A={path}", "-o", "figure.svg"],
    "report": lambda path, store: ["report", path, "-o", "report.pdf"],
    "probe": lambda path, store: ["probe", path, *DATA],
}
OTHERS = [name for name in COMMANDS if not name.startswith("inspect")]


def cells() -> list[tuple[str, str, str]]:
    """Carrier, payload, command: of this package's format `inspect` and two others each, of the rest one each."""
    found = []
    for row, carrier in enumerate(CARRIERS):
        for column, payload in enumerate(PAYLOADS):
            place = row + column
            if carrier == "own":
                some = [list(COMMANDS)[place % 2], *(OTHERS * 2)[2 * place % len(OTHERS) :][:2]]
            else:
                some = [list(COMMANDS)[place % len(COMMANDS)]]
            found += [(carrier, payload, command) for command in some]
    return found


# The data alone are named: these commands take the data from the command line.
UNTOUCHED = {"features", "measure", "probe", "list layers"}


@dataclass(frozen=True)
class Armed:
    """A file that names something, and the canary of what it names."""

    path: Path
    canary: Path


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Armed]:
    found, home = {}, tmp_path_factory.mktemp("naming")
    for carrier in CARRIERS:
        for payload in PAYLOADS:
            folder = home / f"{carrier} {payload}".replace(" ", "-")
            folder.mkdir()
            canary = home / f"{folder.name}.canary"
            path = CARRIERS[carrier].write(folder, PAYLOADS[payload](trap(folder, canary)))
            found[carrier, payload] = Armed(path, canary)
    return found


@pytest.fixture(scope="module")
def outcomes(
    armed: dict[tuple[str, str], Armed], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str, str], Ran]:
    honest = own(tmp_path_factory.mktemp("honest"), ("small_cnn", {"channels": 1, "classes": 10}))
    store = str(extract_features(honest, None, Extraction()).path)
    lines = []
    for carrier, payload, command in cells():
        path = armed[carrier, payload].path
        lines.append((COMMANDS[command](path.name, store), str(path.parent)))
    return dict(zip(cells(), ran(lines), strict=True))


@pytest.fixture(scope="module")
def believed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """The canary of each payload in this package's format, and of each carrier, after a trusting program."""
    home, files, canaries = tmp_path_factory.mktemp("believed"), [], {}
    for carrier, payload in [*(("own", payload) for payload in PAYLOADS), *((c, "file") for c in CARRIERS)]:
        folder = home / f"{carrier}-{payload}".replace(" ", "-")
        folder.mkdir(exist_ok=True)
        canaries[carrier, payload] = home / f"{folder.name}.canary"
        named = PAYLOADS[payload](trap(folder, canaries[carrier, payload]))
        files.append((carrier, CARRIERS[carrier].write(folder, named)))
    trust(files)
    return canaries


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_trusting_program_runs_the_payload(payload: str, believed: dict[tuple[str, str], Path]):
    canary = believed["own", payload]
    opened = canary.with_suffix("") / "trap.pth.opened"
    assert canary.exists() or opened.exists()


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_trusting_program_runs_what_the_carrier_names(carrier: str, believed: dict[tuple[str, str], Path]):
    assert believed[carrier, "file"].exists()


@pytest.mark.parametrize(("carrier", "payload", "command"), cells())
def test_no_command_runs_what_a_file_names(
    carrier: str, payload: str, command: str, armed: dict, outcomes: dict[tuple[str, str, str], Ran]
):
    found = outcomes[carrier, payload, command]
    assert not armed[carrier, payload].canary.exists()
    assert found.offences == []
    if command.startswith("inspect"):
        assert (found.code, found.err) == (0, "")
        assert all(line.isprintable() for line in found.out.splitlines())
        if command == "inspect --json":
            json.loads(found.out, parse_constant=pytest.fail)
    elif carrier == "own data" and command in UNTOUCHED:
        assert found.code == 0
    else:
        assert found.code == 2, found.err
        (line,) = found.err.splitlines()
        assert line.startswith("error: ") and line.isprintable() and found.out == ""
        if carrier == "own":
            assert "which" in line and "--model" in line


def test_the_guard_sees_what_it_forbids(tmp_path: Path):
    """The user's own word runs code: the very file that is refused above."""
    canary = tmp_path / "canary"
    path = own(tmp_path, PAYLOADS["file beside it"](trap(tmp_path, canary)))
    (found,) = ran([(["features", path.name, "--model", "trap_file.py:factory"], str(tmp_path))])
    assert canary.exists() and any("trap_file.py" in offence for offence in found.offences)
