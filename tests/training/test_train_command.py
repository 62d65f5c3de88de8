"""Tests for the `train` command: a flag for every field, in the user's words."""

import inspect
import os
import signal
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from maxsup_analysis import cli
from maxsup_analysis.errors import InputError
from maxsup_analysis.train_command import train as command
from maxsup_analysis.training import TrainingPlan
from maxsup_analysis.training.learner import Learner


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command: exit code, stdout, stderr."""
    before = {known: signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)}

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["maxsup-analyze", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        captured = capsys.readouterr()
        return int(leaving.value.code or 0), captured.out, captured.err

    yield call
    for known, handler in before.items():
        signal.signal(known, handler)


def test_every_field_has_a_flag_of_the_same_default():
    parameters = inspect.signature(command).parameters
    assert set(parameters) - {"output", "overwrite"} == {item.name for item in fields(TrainingPlan)}
    for name, value in vars(TrainingPlan()).items():
        assert parameters[name].default == (value or None if name.endswith("_args") else value), name


def test_it_trains_says_what_came_of_it_and_names_the_checkpoint(run, tmp_path: Path):
    output = tmp_path / "x.pt"
    code, out, err = run("-o", output, "--train-samples", 60, "--epochs", 1, "--label-noise", 0.2, "--ema", 0.5,
                         "--test-split", "test", "--loss", "mbls", "--loss-arg", "margin=6",
                         "--model-arg", "widths=(4,4,4)", "--optimizer=adamw", "--learning_rate=0.01")  # fmt: skip
    assert (code, out.strip()) == (0, str(output)), err
    for words in ("of its training samples", "clean labels", "of the test samples", "averaged weights"):
        assert words in err
    about = torch.load(output, weights_only=True)["metadata"]["training"]
    assert (about["loss_args"], about["optimiser"], about["learning_rate"]) == ({"margin": 6}, "adamw", 0.01)
    code, out, err = run("-o", output, "--epochs", 1)
    assert (code, out) == (2, "") and "exists already" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--lr", 0), "expected --lr above 0, got 0.0"),
        (("--batch-size", 0), "expected --batch-size above 0, got 0"),
        (
            ("--schedule", "linear"),
            "expected --schedule one-cycle or cosine or step or constant, got 'linear'",
        ),
        (("--loss-arg", "margin"), "expected --loss-arg KEY=VALUE, got 'margin'"),
        (("--alpha", 1.5), "expected --alpha from 0 to below 1, got 1.5"),
        (("--warmup-epochs", 20), "expected --warmup-epochs below epochs, which are 15, got 20"),
    ],
)
def test_wrong_values_are_told_by_their_flag(run, tmp_path: Path, arguments: tuple, sentence: str):
    code, out, err = run("-o", tmp_path / "x.pt", *arguments)
    assert (code, out) == (2, "") and sentence in err and not list(tmp_path.iterdir())


def test_ctrl_c_says_what_is_kept_and_the_same_line_goes_on(
    run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    line = ("-o", tmp_path / "x.pt", "--train-samples", 128, "--epochs", 3)
    real, steps = Learner.step, []

    def step(self: Learner, batch, number: int):
        steps.append(number)
        if number == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, batch, number)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "step", step)
        code, _, err = run(*line)
    assert code == 130 and "1 epochs are kept in" in err and "to go on: maxsup-analyze train -o" in err
    assert (tmp_path / "x.pt.state").is_file()
    code, _, err = run(*line)
    assert code == 0 and "going on after 1 epochs" in err
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_overwriting_starts_over_where_another_training_was_interrupted(run, tmp_path: Path):
    (tmp_path / "x.pt.state").write_bytes(b"damaged")
    line = ("-o", tmp_path / "x.pt", "--train-samples", 64, "--epochs", 1)
    code, _, err = run(*line)
    assert code == 2 and "damaged file" in err
    assert run(*line, "--overwrite")[0] == 0


def test_errors_are_input_errors():
    with pytest.raises(InputError):
        TrainingPlan(epochs=0).require_sense()
