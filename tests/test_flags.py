"""Tests for command lines of any kind: an exit code that is known, one line at most, and nothing written unasked."""

from pathlib import Path

import pytest

from tests.flags import PLACES, commands, furnish, line, outcome

COUNT, SEED = 60, 20_240_602


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("flags") / "work"
    made.mkdir()
    furnish(made)
    return made


def test_lines_end_as_users_expect(folder: Path):
    there = {path.relative_to(folder) for path in folder.rglob("*")}
    asked = {"out", "run.features", "report.pdf", *PLACES}
    for number in range(COUNT):
        found = outcome(line(number, SEED), folder, folder.parent / "said")
        assert found.fault is None, (number, line(number, SEED), found)
    strays = {path.relative_to(folder) for path in folder.rglob("*")} - there
    assert {path.parts[0] for path in strays} <= asked


def test_every_command_and_flag_is_drawn():
    drawn = [line(number, SEED) for number in range(4_000)]
    firsts = {tuple(words[: len(name)]) for words in drawn for name in commands()}
    assert set(commands()) <= firsts
    words = {word for one in drawn for word in one}
    flags = [
        set(one.opts) for command in commands().values() for one in command.params if one.opts[0][:1] == "-"
    ]
    assert all(one & words for one in flags)
