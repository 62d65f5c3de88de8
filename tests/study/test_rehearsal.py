"""Tests for rehearsals of studies: what is looked at once is looked at once."""

from pathlib import Path

import pytest

from maxsup_analysis.datasets import Samples, open_data
from maxsup_analysis.study import rehearsal
from maxsup_analysis.study.reading import study_of
from maxsup_analysis.study.running import StudyFolder
from maxsup_analysis.training.data import training_data

STUDY = """
[train]
epochs = 2
batch_size = 100
imbalance = 3.0
[factors]
seed = [0, 1, 2, 3]
train_samples = [300, 500]
"""


def test_a_split_is_opened_once_however_many_runs_draw_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened: list[str] = []

    def counted(data: str, split: str, folder: Path | None = None) -> Samples:
        opened.append(data)
        return open_data(data, split, folder)

    monkeypatch.setattr(rehearsal, "open_data", counted)
    monkeypatch.setattr(rehearsal, "_calibrated", lambda plan: rehearsal.Calibration(0.0, 1.0, 1))
    folder = StudyFolder(study_of(STUDY), tmp_path / "out")
    found = rehearsal.rehearse(folder, ("cpu",))
    assert opened == ["digits"]
    batches = [-(-len(training_data(job.cell.plan)) // 100) for job in folder.jobs]
    assert found.seconds == sum(2 * number for number in batches) and len(set(batches)) > 1
