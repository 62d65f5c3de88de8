"""Tests for study files: what a good one means, and one clear line with its number for every bad one."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxsup_analysis.errors import InputError
from maxsup_analysis.study.asking import require_data
from maxsup_analysis.study.description import SEED
from maxsup_analysis.study.places import line_of
from maxsup_analysis.study.reading import read_study, study_of

GOOD = """\
title = "Two losses"
description = '''
[train] in prose is no table
epoch = nothing
'''

[train]
data = "digits"
epochs = 3

[factors]
seed = [0, 1]
alpha = [0.1, 0.2]

[factors.method]
CE = { loss = "ce" }
"LS, warm" = { loss = "ls", warmup_epochs = 1 }

[measure]
splits = ["test", "train"]

[compare]
baselines = { alpha = 0.2 }
"""


def test_a_study_is_every_combination():
    study = study_of(GOOD)
    assert (study.title, len(study.cells)) == ("Two losses", 8)
    assert {cell.name for cell in study.cells} == {
        f"seed={seed},alpha={alpha},method={method}"
        for seed in (0, 1)
        for alpha in (0.1, 0.2)
        for method in ("CE", "LS, warm")
    }
    cell = next(cell for cell in study.cells if cell.name == "seed=1,alpha=0.2,method=LS, warm")
    plan = cell.plan
    assert (plan.seed, plan.alpha, plan.loss, plan.warmup_epochs, plan.epochs) == (1, 0.2, "ls", 1, 3)
    assert SEED not in cell.combination and cell.combination == {"alpha": "0.2", "method": "LS, warm"}
    assert study.varied == {"alpha": ("0.2", "0.1"), "method": ("CE", "LS, warm")}
    assert study.measure.splits == ("test", "train")


def test_a_list_of_cells_is_a_factor_too():
    study = study_of(
        '[train]\nepochs = 2\n[[cells]]\nname = "a"\nloss = "ls"\n[[cells]]\nloss = "maxsup"\nalpha = 0.2\n'
        "[factors]\nseed = [0, 1, 2]\n"
    )
    assert [cell.name for cell in study.cells] == [
        f"cell={c},seed={s}" for c in ("a", "2") for s in (0, 1, 2)
    ]
    assert {(cell.plan.loss, cell.plan.alpha) for cell in study.cells} == {("ls", None), ("maxsup", 0.2)}


def test_an_empty_file_is_one_run_of_the_defaults():
    (cell,) = study_of("").cells
    assert (cell.name, cell.plan.data, cell.plan.loss) == ("run", "digits", "ce")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[train\nepochs = 3", "study.toml is not TOML: .*line 1"),
        ("titel = 'x'", "study.toml, line 1: a study has no key 'titel'; did you mean 'title'?"),
        (
            "[train]\ndata = 'digits'\nepoch = 3",
            "study.toml, line 3: [train] has no key 'epoch'; did you mean 'epochs'?",
        ),
        ("[train]\nepochs = 'three'", "line 2: expected a whole number for epochs, got 'three'"),
        ("[train]\nepochs = true", "line 2: expected a whole number for epochs, got true"),
        ("[train]\nflip = 1", "line 2: expected true or false for flip, got 1"),
        ("[train]\ndevice = 'cpu'", "line 2: [train] has no key 'device'"),
        ("train = 3", "line 1: expected a table for train, got 3"),
        ("[factors]\nalpha = []", "line 2: the factor 'alpha' has no levels"),
        ("[factors]\nalpha = [0.1, 0.1]", "line 2: the factor 'alpha' has 0.1 twice"),
        ("[factors]\nalhpa = [0.1]", "line 2: .*no key 'alhpa'; did you mean 'alpha'?"),
        (
            "[factors]\nalpha = 0.1",
            "line 2: expected an array of values, or a table of named levels for alpha",
        ),
        ("[factors]\nalpha = [0.1, 'x']", "line 2: expected a number for alpha, got 'x'"),
        (
            "[factors]\nloss = ['ce', 'ls']\n[factors.method]\nA = { loss = 'ls' }",
            "line 3: the factors 'loss' and 'method' both set 'loss'",
        ),
        (
            "[factors]\nseed = [0]\n[compare]\nbaselines = { sed = 0 }",
            "line 4: .*no key 'sed'; did you mean 'seed'?",
        ),
        (
            "[factors.m]\nCE = {loss = 'ce'}\n[compare]\nbaselines = { m = 'CEE' }",
            "line 4: 'CEE' is no level of 'm'; did you mean 'CE'? there are: CE",
        ),
        ("[train]\nloss = 'ls'\nalpha = 1.5", "line 3: the cell run: .*alpha.*1.5"),
        ("[train]\nloss = 'ls'\n[factors]\nalpha = [0.1, 1.5]", "line 4: the cell alpha=1.5: .*alpha.*1.5"),
        ("[train]\nloss = 'maxsupp'", "line 2: .*no loss is called 'maxsupp'; did you mean 'maxsup'?"),
        ("[train]\nepochs = 0", "line 2: the cell run: .*epochs.*0"),
        ("[[cells]]\nname = 'a'\n[[cells]]\nname = 'a'", "line 3: two cells are called 'a'"),
        ("[measure]\nsplit = ['test']", "line 2: [measure] has no key 'split'; did you mean 'splits'?"),
        ("[measure]\nsplits = 'test'", "line 2: expected an array of text for splits, got 'test'"),
        (
            "[factors]\nseed = [" + ",".join(map(str, range(10_001))) + "]",
            "make 10,001 cells, more than 10,000",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, sentence: str):
    pattern = ".*".join(re.escape(part) for part in sentence.split(".*"))
    with pytest.raises(InputError, match=pattern) as raised:
        study_of(text)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"expected a study file at .*none.toml: No such file or directory"):
        read_study(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="it is not UTF-8 text"):
        read_study(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "reports").glob("*.toml")), ids=lambda p: p.stem
)
def test_every_preset_can_be_read(path: Path):
    study = read_study(path)
    assert study.title and study.description and len(study.cells) >= 9


@given(st.lists(st.sampled_from(["[a]", "[a.b]", "[[c]]", "x = 1", '"y z" = 2', "# x = 3", "", "q = '''"])))
def test_lines_are_found_whatever_stands_around_them(parts: list[str]):
    text = "\n".join([*parts, "'''" if sum("'''" in part for part in parts) % 2 else "", "[last]", "key = 1"])
    assert line_of(text, "last", "key") == text.count("\n") + 1
    assert line_of(text, "last", "nothing") == text.count("\n")


PRESETS = (
    "alpha-sweep", "corruptions", "fashion-mnist", "label-noise", "long-tail", "table1-components", "table2-features",
    "table15-schedules",
)  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_run(name: str):
    study = read_study(Path(__file__).parents[2] / "reports" / f"{name}.toml")
    assert study.title and study.description and len(study.cells) >= 9
    require_data(study)
