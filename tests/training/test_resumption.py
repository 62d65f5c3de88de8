"""Tests for interrupted trainings: whatever ends them and when, they end in the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from maxsup_analysis.errors import InputError
from maxsup_analysis.training import TrainingPlan, keeping, train
from maxsup_analysis.training.learner import Learner
from tests.training.softmax_regression import write_network

N, STEPS = 100, 3 * 3


@pytest.fixture
def plan(tmp_path: Path) -> TrainingPlan:
    """Everything that is drawn or carried along: dropout, batch statistics, mixing, erasing, the table of OLS, EMA."""
    (tmp_path / "code").mkdir()
    return TrainingPlan(
        model=f"{write_network(tmp_path / 'code')}:dropout", train_samples=N, batch_size=40, epochs=3, loss="ols",
        alpha=0.2, alpha_end=0.6, optimiser="adamw", learning_rate=0.01, ema=0.9, mixup=0.3, cutmix=1.0, erasing=0.3,
        crop_padding=1, flip=True, accumulate=2, label_noise=0.2,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def every_step_is_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keeping, "SPARING", 0.0)


def interrupted_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step after so many raises, in the middle of its work."""
    real, done = Learner.step, [0]

    def step(self: Learner, batch, number: int):
        if done[0] == steps:
            next(self.module.parameters()).data.zero_()
            raise KeyboardInterrupt
        done[0] += 1
        return real(self, batch, number)

    monkeypatch.setattr(Learner, "step", step)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 6, 8])
def test_an_interrupted_run_ends_in_the_same_bytes(
    plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
):
    whole = train(plan, tmp_path / "whole.pt")
    state = tmp_path / "x.state"
    with monkeypatch.context() as patched:
        interrupted_after(steps, patched)
        with pytest.raises(KeyboardInterrupt) as reason:
            train(plan, tmp_path / "x.pt", state=state, save_every=0.0)
    words = {1: "0 epochs and 1 steps", 3: "1 epochs", 5: "1 epochs and 2 steps"}
    assert words.get(steps, "epochs") in reason.value.__notes__[0] and str(state) in reason.value.__notes__[0]
    assert not (tmp_path / "x.pt").exists() and state.exists()
    again = train(plan, tmp_path / "x.pt", state=state, save_every=0.0)
    assert (tmp_path / "whole.pt").read_bytes() == (tmp_path / "x.pt").read_bytes()
    assert not list(tmp_path.glob("x.state*"))
    assert [epoch.to_plain() for epoch in again.history] == [epoch.to_plain() for epoch in whole.history]
    assert all(epoch.seconds > 0 for epoch in again.history)


def test_a_run_that_was_interrupted_again_and_again(plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    train(plan, tmp_path / "whole.pt")
    for _ in range(STEPS):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            interrupted_after(1, patched)
            train(plan, tmp_path / "x.pt", state=tmp_path / "x.state", save_every=0.0)
            raise KeyboardInterrupt
    train(plan, tmp_path / "x.pt", state=tmp_path / "x.state")
    assert (tmp_path / "whole.pt").read_bytes() == (tmp_path / "x.pt").read_bytes()


def left_after_two_steps(plan: TrainingPlan, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupted_after(2, patched)
        train(plan, state.with_suffix(".pt"), state=state, save_every=0.0)


def test_the_state_of_another_plan_is_refused_by_the_first_field(plan, tmp_path: Path, monkeypatch):
    state = tmp_path / "x.state"
    left_after_two_steps(plan, state, monkeypatch)
    other = replace(plan, learning_rate=0.02, seed=9)
    with pytest.raises(
        InputError,
        match=r"x\.state is the state of another training: learning_rate is 0\.01 there, 0\.02 here; go on",
    ):
        train(other, tmp_path / "x.pt", state=state)
    assert state.exists()
    train(other, tmp_path / "x.pt", state=state, replace_state=True)
    train(other, tmp_path / "y.pt")
    assert (tmp_path / "x.pt").read_bytes() == (tmp_path / "y.pt").read_bytes()


def test_a_state_goes_on_on_another_device_but_not_with_other_data(plan, tmp_path: Path, monkeypatch):
    state = tmp_path / "x.state"
    left_after_two_steps(plan, state, monkeypatch)
    data = torch.load  # Kept to show that nothing here is loaded by pickle.
    monkeypatch.setattr(torch, "load", None)
    train(replace(plan, device="cpu", workers=0), tmp_path / "x.pt", state=state)
    monkeypatch.setattr(torch, "load", data)
    left_after_two_steps(plan, state, monkeypatch)
    monkeypatch.setattr("maxsup_analysis.training.data.noisy_labels", lambda labels, K, **_: (labels + 1) % K)
    with pytest.raises(InputError, match="is the state of a training on other data of this name"):
        train(plan, tmp_path / "y.pt", state=state)


def test_a_state_for_another_network_is_refused(plan, tmp_path: Path, monkeypatch):
    state = tmp_path / "x.state"
    left_after_two_steps(plan, state, monkeypatch)
    code = tmp_path / "code" / "network.py"
    code.write_text(code.read_text().replace("32", "31"))
    with pytest.raises(InputError, match="the training state is of another model"):
        train(plan, tmp_path / "x.pt", state=state)


def test_a_full_disk_ends_the_run_with_a_line_and_what_was_kept(plan, tmp_path: Path, monkeypatch):
    state = tmp_path / "x.state"
    left_after_two_steps(plan, state, monkeypatch)
    (tmp_path / "x.pt.0a1b2c3d.tmp").touch()  # Of a writer that was killed.

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(InputError, match=r"No space left on device") as refusal:
            train(plan, tmp_path / "x.pt", state=state)
        assert "0 epochs and 2 steps of the next are kept" in refusal.value.__notes__[0]
        with pytest.raises(InputError, match=r"cannot write to .*z\.labels\.npz \(No space left"):
            train(plan, tmp_path / "z.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code", "x.pt.0a1b2c3d.tmp", "x.state"]
    train(plan, tmp_path / "x.pt", state=state)
    assert not list(tmp_path.glob("*.tmp"))
    train(plan, tmp_path / "whole.pt")
    assert (tmp_path / "x.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()


def test_two_runs_do_not_write_one_state(plan, tmp_path: Path):
    state = tmp_path / "x.state"
    with keeping.alone(state, needed=True), pytest.raises(InputError, match="another training writes to"):
        train(plan, tmp_path / "x.pt", state=state)
    train(plan, tmp_path / "x.pt", state=state)


def test_writing_takes_no_more_than_its_share_of_the_time(plan, tmp_path: Path, monkeypatch):
    """Where a writing takes as long as the whole run, there is one, after the first epoch."""
    monkeypatch.setattr(keeping, "SPARING", 20.0)
    written = []

    def slow(path: Path, tree: object) -> None:
        written.append(tree)
        time.sleep(0.2)

    monkeypatch.setattr(keeping, "write_state", slow)
    train(plan, tmp_path / "x.pt", state=tmp_path / "x.state")
    assert len(written) == 1


SCRIPT = """
import sys
from pathlib import Path
from maxsup_analysis.training import TrainingPlan, keeping, train

keeping.SPARING = 0.0
plan = TrainingPlan(epochs=int(sys.argv[1]), loss="ols", mixup=0.2, ema=0.9)
train(plan, Path(sys.argv[2]), state=Path(sys.argv[3]), save_every=0.05)
"""
EPOCHS = 12


def test_a_killed_process_goes_on_to_the_same_bytes(tmp_path: Path):
    output, state = tmp_path / "x.pt", tmp_path / "x.state"
    command = [sys.executable, "-c", SCRIPT, str(EPOCHS), str(output), str(state)]
    kills = random.Random(0)
    for _ in range(2):
        process = subprocess.Popen(command)
        before = state.stat().st_mtime_ns if state.exists() else 0
        while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.01)
        time.sleep(kills.uniform(0, 0.5))
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not output.exists()
    plan = TrainingPlan(epochs=EPOCHS, loss="ols", mixup=0.2, ema=0.9)
    train(plan, output, state=state)
    train(plan, tmp_path / "whole.pt")
    assert output.read_bytes() == (tmp_path / "whole.pt").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole.pt", "x.pt"]
