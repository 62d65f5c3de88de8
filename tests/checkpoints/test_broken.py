"""Tests for broken files: one line that says what is wrong, soon, and in little memory."""

from pathlib import Path

import pytest

from tests.checkpoints.broken import BROKEN, MAY_OPEN
from tests.checkpoints.opening import Outcome, inspected, outcomes

MOST_SECONDS = 10
MOST_MEGABYTES = 1024
SHOWN = (
    "cut_10",
    "nothing",
    "web_page",
    "flipped_record",
    "bomb_key_of_doubled_tuples",
    "header_strange_names",
    "queue",
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("broken")
    built = {}
    for name, build in BROKEN.items():
        home = folder / name
        home.mkdir()
        built[name] = build(home)
    return built


@pytest.fixture(scope="module")
def opened(paths: dict[str, Path]) -> dict[str, Outcome]:
    return outcomes("read", list(paths.values()))


def test_every_name_that_may_open_exists():
    assert set(BROKEN) >= MAY_OPEN


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_in_one_line(name: str, paths: dict[str, Path], opened: dict[str, Outcome]):
    outcome = opened[str(paths[name])]
    assert outcome.kind in ({"refused", "opened"} if name in MAY_OPEN else {"refused"}), outcome.message
    if outcome.kind == "refused":
        assert paths[name].name in outcome.message
        assert outcome.message.isprintable()
        assert len(outcome.message) < 1000


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_costs_little(name: str, paths: dict[str, Path], opened: dict[str, Outcome]):
    outcome = opened[str(paths[name])]
    assert outcome.seconds <= MOST_SECONDS
    assert outcome.peak < MOST_MEGABYTES


@pytest.mark.parametrize("name", SHOWN)
def test_the_command_line_says_what_is_wrong(name: str, paths: dict[str, Path]):
    done = inspected(paths[name])
    assert done.returncode in ({0, 2} if name in MAY_OPEN else {2})
    if done.returncode == 2:
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
    assert (done.stdout + done.stderr).replace("\n", "").replace("\t", "").isprintable()
