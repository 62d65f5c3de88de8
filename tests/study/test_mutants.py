"""Tests for study files that were changed: each is a study, or one line says why it is none."""

import os
import re
from pathlib import Path

import pytest

from maxsup_analysis.errors import InputError
from maxsup_analysis.study.asking import require_data
from maxsup_analysis.study.description import Study
from maxsup_analysis.study.reading import read_study, study_of
from maxsup_analysis.study.running import StudyFolder
from tests.study.mutants import mutant

COUNT, SEED = 320, 20_240_601


def test_mutants_are_studies_or_are_refused_in_one_line(tmp_path: Path):
    read = 0
    for number in range(COUNT):
        try:
            study = study_of(mutant(number, SEED))
            require_data(study)
            assert len({job.folder for job in StudyFolder(study, tmp_path / "none").jobs}) <= len(study.cells)
            read += 1
        except InputError as reason:
            assert "\n" not in str(reason), number
    assert COUNT / 20 < read < COUNT / 2
    assert not list(tmp_path.iterdir())


def test_a_number_always_makes_the_same_mutant():
    assert [mutant(number, 1) for number in range(40)] == [mutant(number, 1) for number in range(40)]
    assert len({mutant(number, 1) for number in range(40)}) > 35


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[train]\nflip = [0, 1, 2]", "line 2: expected true or false for flip, got [0, 1, 2]"),
        ("[train]\nalpha = [0.05, 0.1]", "line 2: expected a number for alpha, got [0.05, 0.1]"),
        ("[train]\nalpha = {}", "line 2: expected a number for alpha, got {}"),
        ("[train]\nschedule = ['step']", "line 2: expected 'one-cycle' or 'cosine' or .* got ['step']"),
        ("[train]\namp = {a = 1}", "line 2: expected 'bf16' or 'fp16' for amp, got {'a': 1}"),
        ("[factors]\nalpha = [[0.1]]", "line 2: expected a number for alpha, got [0.1]"),
        ("[factors.m]\nA = { alpha = [1] }", "line 2: expected a number for alpha, got [1]"),
        ("[[cells]]\nname = ['a']", "line 2: expected text as the name of a cell, got ['a']"),
        ("[measure]\nseverities = [[1]]", "line 2: expected an array of a whole number for severities, got [[1]]"),
        ("[compare]\nbaselines = [1]", "line 2: expected a table for baselines, got [1]"),
        ("title = 2024-01-02", "line 1: expected numbers, text, .* date or time 2024-01-02"),
        ("title = 'a'\n[train]\ndata = \"a\\u0000b\"", "line 3: expected text, got the control character U+0000"),
        ("[train]\nseed = 18446744073709551616", "line 2: expected whole numbers of 64 bits"),
        ("[train]\nseed = " + "9" * 5000, "is not TOML: it has a number of thousands of digits"),
        ("[train]\nbatch_size = 9000000000", "line 2: .*expected batch_size below 2,147,483,648, got 9000000000"),
        ("[train]\nthreads = 5000", "line 2: .*expected threads below 1,024, got 5000"),
        ("[train]\nmodel_args = { a = " + "[" * 20 + "]" * 20 + "}", "line 2: expected at most 16 tables or arrays"),
        ("x = " + "[" * 100_000, "more than 16 tables or arrays in each other"),
        (".".join("a" * 100_000) + " = 1", "more than 16 tables or arrays in each other"),
        ("[factors]\n'' = { a = {} }", "line 2: '' cannot be the name of a factor"),
        ("[factors.metric]\na = { loss = 'ls' }", "line 1: 'metric' cannot be the name of a factor"),
    ],
)  # fmt: skip
def test_values_that_no_field_takes_are_named_with_their_line(text: str, sentence: str):

    pattern = ".*".join(re.escape(part) for part in sentence.split(".*"))
    with pytest.raises(InputError, match=pattern):
        study_of(text)


@pytest.mark.parametrize("kind", ["folder", "pipe", "huge", "zero byte"])
def test_what_is_no_text_is_not_read(kind: str, tmp_path: Path):

    path = tmp_path / "study.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        path.write_text("#" * 2_000_000)
    else:
        path = Path("study\0.toml")
    with pytest.raises(InputError, match="expected a study file at "):
        read_study(path)


def test_a_byte_order_mark_is_no_part_of_a_study(tmp_path: Path):
    (tmp_path / "study.toml").write_bytes(b"\xef\xbb\xbftitle = 'x'\r\n[train]\r\nepochs = 2\r\n")
    study: Study = read_study(tmp_path / "study.toml")
    assert (study.title, study.plan.epochs) == ("x", 2)
