"""Tests for what may stand as seeds under one name: other seeds, and nothing else that differs."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from maxsup_analysis import cli
from maxsup_analysis.errors import InputError
from maxsup_analysis.repeats import Run, require_other_epochs, require_repeats
from tests.feature_store.stores import PLAN, rows_of, store_at

TRAINING = {
    "loss": "maxsup",
    "alpha": 0.1,
    "seed": 0,
    "epochs": 6,
    "epoch": 6,
    "device": "cpu",
    "samples": 600,
}
ABOUT = {
    "checkpoint": {"name": "a.pt", "sha256": "ab"}, "training": TRAINING, "data": "digits", "split": "test",
    "layer": "input of 12", "weights": {"key": "state_dict", "ema": False}, "preprocessing": {"size": [1, 8, 8]},
}  # fmt: skip


def run(name: str, *, sha256: str | None = None, training: dict | None = None, **about: object) -> Run:
    """A store whose provenance differs as told; every name is a checkpoint of its own, unless it is told."""
    checkpoint = {"name": f"{name}.pt", "sha256": sha256 or name}
    plan = {**TRAINING, **(training or {})}
    return Run(Path(f"runs/{name}.features"), {**ABOUT, "checkpoint": checkpoint, "training": plan, **about})


def refusal(*runs: Run) -> str:
    with pytest.raises(InputError) as refused:
        require_other_epochs("MaxSup", runs)
        require_repeats("MaxSup", runs)
    return str(refused.value)


def test_seeds_are_repeats():
    runs = [run(str(seed), training={"seed": seed, "device": f"cuda:{seed}"}) for seed in range(3)]
    require_other_epochs("MaxSup", runs)
    require_repeats("MaxSup", runs)
    # Nothing is known of these, so that nothing speaks against them.
    require_repeats("x", [Run(Path("a.npz"), {}), Run(Path("b.npz"), {"source": "b.npz"})])


def test_epochs_of_one_run_are_no_seeds():
    runs = [run(f"ce.epoch-{epoch}", training={"epoch": epoch}) for epoch in (2, 4, 6)]
    assert refusal(*runs) == (
        "expected runs of MaxSup that differ in their seed alone, got epochs 2, 4, 6 of one run (seed 0); give each a "
        "name of its own, such as ce.epoch-2=runs/ce.epoch-2.features ce.epoch-4=runs/ce.epoch-4.features"
    )


@pytest.mark.parametrize(
    ("about", "said"),
    [
        (
            {"weights": {"key": "state_dict_ema", "ema": True}},
            "of one checkpoint (plain and averaged weights)",
        ),
        ({"layer": "input of 3"}, "of one checkpoint (two layers)"),
        ({"split": "train"}, "of one checkpoint (two data sets or splits); name one of them"),
        ({"data": "letters"}, "of one checkpoint (two data sets or splits); name one of them"),
        ({"preprocessing": {"size": [1, 9, 9]}}, "of one checkpoint (images prepared in two ways)"),
    ],
)
def test_two_stores_of_one_checkpoint_are_no_seeds(about: dict, said: str):
    assert said in refusal(run("a", sha256="same"), run("b", sha256="same", **about))


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"alpha": 0.2}, "with alpha 0.1 and runs/b.features with alpha 0.2"),
        ({"loss": "ls"}, "with loss maxsup and"),
        ({"epoch": 4}, "with epoch 6 and runs/b.features with epoch 4"),
        ({"epochs": 90}, "with epochs 6 and"),
    ],
)
def test_two_plans_are_no_seeds(training: dict, said: str):
    assert said in refusal(run("a"), run("b", training={"seed": 1, **training}))


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"layer": "input of 3"}, "two layers"),
        ({"weights": {"ema": True}}, "averaged"),
        ({"split": "val"}, "splits"),
        ({"data_sha256": "02"}, "splits"),
    ],
)
def test_seeds_are_looked_at_in_one_way(about: dict, said: str):
    assert said in refusal(run("a"), run("b", training={"seed": 1}, **about))


def test_runs_that_were_stopped_when_they_were_best_are_seeds():
    """A trainer that does not say how long it was to train."""
    plans = [{"loss": "ls", "epoch": epoch} for epoch in (7, 9)]
    runs = [
        Run(Path(f"{n}.features"), {"training": plan, "checkpoint": {"sha256": n}})
        for n, plan in enumerate(plans)
    ]
    require_other_epochs("LS", runs)
    require_repeats("LS", runs)


def test_names_that_are_proposed_differ_and_are_words_of_a_shell():
    one, other = (
        Run(Path(f"{folder}/my ce.features"), run(folder, training={"epoch": n}).provenance)
        for n, folder in enumerate(("a", "b"))
    )
    words = shlex.split(refusal(one, other).partition("such as ")[2])
    assert words == ["my ce-1=a/my ce.features", "my ce-2=b/my ce.features"]


EPOCHS = [{"seed": 0, "epochs": 6, "epoch": epoch} for epoch in (3, 6)]
PLANS = [{"seed": seed, "epochs": 6, "alpha": alpha} for seed, alpha in ((0, 0.1), (1, 0.2))]


@pytest.mark.parametrize(
    ("trainings", "said"), [(EPOCHS, "epochs 3, 6 of one run"), (PLANS, "with alpha 0.1")]
)
def test_compare_and_report_refuse_what_is_no_repeat(tmp_path: Path, trainings: list[dict], said: str):
    stores = []
    for number, training in enumerate(trainings):
        about = {
            "checkpoint": {"name": "ce.pt", "sha256": str(number)},
            "training": training,
            "data": "digits",
        }
        rows = replace(rows_of(9), features=rows_of(9).features + number)
        stores.append(
            store_at(tmp_path / f"{number}.features", rows, plan=replace(PLAN, provenance=about)).path
        )
    named = "CE=" + ",".join(map(str, stores))
    for words in (["compare", named, named.replace("CE", "LS")], ["report", named, "-o", tmp_path / "r.pdf"]):
        result = CliRunner().invoke(cli.app, [*map(str, words), "-g", "accuracy"])
        assert isinstance(result.exception, InputError) and said in str(result.exception)
    assert not (tmp_path / "r.pdf").exists()
