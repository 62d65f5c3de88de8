"""Tests for studies on a cluster: submitit's executor on this machine stands for Slurm."""

import sys
from pathlib import Path

import pytest

from maxsup_analysis.errors import InputError
from maxsup_analysis.study import slurm
from maxsup_analysis.study.reading import study_of
from maxsup_analysis.study.running import StudyFolder, status_of

STUDY = """
[train]
epochs = 1
train_samples = 200
model_args = { widths = [2, 2, 2] }
[factors]
learning_rate = [0.1, 1e30]
[measure]
metrics = ["accuracy"]
"""


def test_one_job_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slurm, "LOOK", 0.1)
    folder = StudyFolder(study_of(STUDY), tmp_path)
    folder.prepare(STUDY)
    failures = slurm.run_on_slurm(folder.jobs, {"timeout_min": 5}, tmp_path / "slurm", "cpu", cluster="local")
    assert [status_of(job) for job in folder.jobs] == ["done", "failed"]
    assert (
        list(failures) == ["learning_rate=1e+30"]
        and "the training loss became" in failures["learning_rate=1e+30"]
    )
    again = slurm.run_on_slurm(folder.jobs[:1], {}, tmp_path / "slurm", "cpu", cluster="local")
    assert again == {}


def test_what_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=r"--slurm: .*gpus"):
        slurm.run_on_slurm([], {"gpus_pernode": 1}, tmp_path, "cpu", cluster="local")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"--slurm needs submitit; `pip install 'maxsup-analysis\[slurm\]'`"):
        slurm.run_on_slurm([], {}, tmp_path, "cpu")
