"""Tests for what strangers hand over, through whole commands, watched: a part of `benchmarks/attack_checkpoints.py`.

Nothing runs, asks, fetches or opens what is named; a refusal is one line; nothing takes long or much memory.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.checkpoints.commands import Ran, ran
from tests.checkpoints.watching import ALL, Attack, faults_of, laid

# Of each family one attack in so many, with one command each, in turn.
SHARE: Mapping[str, int] = {
    "own": 8, "timm train.py": 8, "timm folder": 8, "transformers": 8, "lightning": 8, "torchvision": 8, "sidecars": 6,
    "pieces": 3, "single files": 6, "features": 2, "stores": 8, "data": 6, "class maps": 5, "states": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Attack, Ran]]:
    home = tmp_path_factory.mktemp("attacks")
    every = (one for family in ALL for one in laid(home, family, 1, SHARE[family]))
    # A report of what is sound takes as long as all of the rest; `test_naming.py` has reports.
    armed = [one for one in every if one.command[0] != "report"]
    return list(zip(armed, ran([(list(one.command), str(one.folder)) for one in armed]), strict=True))


@pytest.mark.parametrize("family", ALL)
def test_nothing_of_an_attack_happens(family: str, outcomes: list[tuple[Attack, Ran]]):
    mine = [
        (one, found) for one, found in outcomes if one.folder.name.startswith(f"{family} ".replace(" ", "-"))
    ]
    assert len(mine) >= 3
    assert [(one.name, one.command, fault) for one, found in mine for fault in faults_of(one, found)] == []
    assert {found.code for _, found in mine} <= {0, 2}


def test_what_runs_is_seen(tmp_path: Path):
    """The user's own word runs what is refused above, and the watch says so."""
    (one,) = [one for one in laid(tmp_path, "own", 1, 10**6)]
    command = ("features", "own.pt", "--model", "trap_file.py:factory", "--data", "digits", "-j", "0")
    (found,) = ran([(list(command), str(one.folder))])
    told = " ".join(faults_of(one, found))
    assert "something ran" in told and "offences" in told
