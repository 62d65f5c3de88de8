"""Tests for advice: no flag is named without the command that has it."""

import re

import pytest

from maxsup_analysis.advice import with_commands
from maxsup_analysis.cli import flags_of_commands


def test_the_flags_are_those_of_the_commands():
    flags = flags_of_commands()
    assert {"--split", "--class-map", "--class-order", "--data-dir"} <= set(flags["features"])
    assert "--splits" in flags["probe"] and "--split" not in flags["probe"]
    assert next(iter(flags)) == "features"


@pytest.mark.parametrize("command", ["measure", "probe", "ablate", "train", "report", "compare"])
@pytest.mark.parametrize("flag", ["--split", "--class-map", "--data-dir", "--image-size"])
def test_every_flag_is_one_of_the_command_or_its_command_is_named(command: str, flag: str):
    flags = flags_of_commands()
    said = with_commands(f"name it with {flag} X", command, flags)
    if flag in flags[command]:
        assert said == f"name it with {flag} X"
        return
    named = re.search(
        r"\((?:of \w+: (--[\w-]+)|.* is an option of `maxsup-analyze (\w+)`|.* is a key of the study: \w+)\)",
        said,
    )
    assert named is not None
    assert named[1] is None or named[1] in flags[command]
    assert named[2] is None or flag in flags[named[2]]


def test_what_is_no_flag_of_any_command_is_left_as_it_is():
    flags = flags_of_commands()
    assert with_commands("pip install --user x", "measure", flags) == "pip install --user x"
    assert with_commands("say --split", None, flags) == "say --split"
