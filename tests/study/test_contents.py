"""Tests for the name of a run's content: every field of its plan is in it, but for where it runs."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from maxsup_analysis.study import contents
from maxsup_analysis.study.contents import name_of, settings_of
from maxsup_analysis.study.reading import study_of
from maxsup_analysis.study.running import StudyFolder
from maxsup_analysis.training import TrainingPlan
from maxsup_analysis.training.plan import PLACES, first_difference

# Another value than the default of every field.
OTHERS: dict[str, object] = {
    "data": "fashion-mnist", "data_dir": Path("/elsewhere"), "split": "test", "test_split": "test", "train_samples": 7,
    "samples_per_class": 3, "imbalance": 2.0, "label_noise": 0.1, "label_noise_kind": "pair", "loss": "ls",
    "alpha": 0.2,
    "alpha_end": 0.3, "loss_args": {"margin": 6}, "model": "digits_mlp", "model_args": {"widths": [4, 5, 6]},
    "image_size": 9, "epochs": 16, "batch_size": 65, "accumulate": 2, "optimiser": "adamw", "learning_rate": 0.3,
    "momentum": 0.8, "weight_decay": 0.0, "decay_norms_and_biases": False, "schedule": "cosine", "warmup_epochs": 1,
    "step_epochs": 31, "step_factor": 0.2, "clip_norm": 1.0, "crop_padding": 1, "flip": True, "resized_crop": True,
    "erasing": 0.1, "mixup": 0.1, "cutmix": 0.1, "ema": 0.9, "amp": "bf16", "compile": True, "sync_batchnorm": True,
    "seed": 1, "device": "cpu", "threads": 2, "keep_every": 5, "workers": 3,
}  # fmt: skip
NAMES = [item.name for item in fields(TrainingPlan)]


@pytest.fixture(autouse=True)
def same_data(monkeypatch: pytest.MonkeyPatch):
    """What is on the disk is not what is looked at here."""
    monkeypatch.setattr(contents, "_data_state", lambda *given: "the data")


def test_every_field_has_another_value_here():
    assert list(OTHERS) == NAMES
    plan = TrainingPlan()
    assert all(getattr(plan, name) != value for name, value in OTHERS.items())


@pytest.mark.parametrize("name", NAMES)
def test_every_field_but_places_names_another_run(name: str):
    plan = TrainingPlan()
    other = replace(plan, **{name: OTHERS[name]})  # type: ignore[arg-type]
    assert (name_of(other) == name_of(plan)) == (name in PLACES)
    assert (name in settings_of(plan)) == (name not in PLACES)
    assert first_difference(other, plan.to_plain()) == (None if name in PLACES else name)


def test_cells_of_a_sweep_are_runs_of_their_own(tmp_path: Path):
    text = (
        "[factors.method]\nLS = { loss = 'ls' }\nMaxSup = { loss = 'maxsup' }\n"
        "[factors]\nalpha = [0.0, 0.05, 0.1, 0.2, 0.4]\nseed = [0, 1, 2]\n"
    )
    assert len({job.folder for job in StudyFolder(study_of(text), tmp_path).jobs}) == 30
