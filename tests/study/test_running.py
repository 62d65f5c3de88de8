"""Tests for studies end to end: trained once, failures kept, tables that agree with the cells, exit codes."""

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from maxsup_analysis.errors import InputError
from maxsup_analysis.study.cell_run import CHECKPOINT, failure_of, run_job
from maxsup_analysis.study.kept import kept
from maxsup_analysis.study.publishing import publish
from maxsup_analysis.study.reading import study_of
from maxsup_analysis.study.running import StudyFolder, run_cells, slots_of, status_of
from tests import disks

STUDY = """
title = "Tiny"
description = "One paragraph.\\n\\nAnother."
[train]
epochs = 2
train_samples = 120
model_args = { widths = [4, 5, 6] }
[factors]
loss = ["ce", "maxsup"]
seed = [0, 1]
[measure]
metrics = ["accuracy", "d_within_unbiased", "nc1_pinv"]
"""


def folder_of(text: str, path: Path) -> StudyFolder:
    folder = StudyFolder(study_of(text), path)
    folder.prepare(text)
    return folder


@pytest.fixture(autouse=True, scope="module")
def few_figures() -> Iterator[None]:
    """UMAP alone takes longer than all of the rest, and has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maxsup_analysis.study.publishing.OF_RUNS", ("logits",))
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = folder_of(STUDY, tmp_path_factory.mktemp("studies") / "tiny")
    assert run_cells(folder.jobs, ["cpu", "cpu"]) == {}
    publish(folder)
    return folder


@pytest.fixture
def copied(done: StudyFolder, tmp_path: Path) -> Path:
    return shutil.copytree(done.path, tmp_path / "copy")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_tables_are_means_over_the_cells(done: StudyFolder):
    cells, means = rows(done.path / "cells.csv"), rows(done.path / "means.csv")
    assert [(row["loss"], row["seed"]) for row in cells] == [
        ("ce", "0"),
        ("ce", "1"),
        ("maxsup", "0"),
        ("maxsup", "1"),
    ]
    for row in means:
        values = [float(cell[f"test: {row['metric']}"]) for cell in cells if cell["loss"] == row["loss"]]
        assert float(row["value"]) == pytest.approx(np.mean(values), rel=1e-12)
        assert float(row["seed_error"]) == pytest.approx(np.std(values, ddof=1) / 2**0.5, rel=1e-9, abs=1e-15)
        assert row["runs"] == "2"
    by_metric = {(row["metric"], row["loss"]): float(row["value"]) for row in means}
    for row in rows(done.path / "effects.csv"):
        gap = by_metric[row["metric"], "maxsup"] - by_metric[row["metric"], "ce"]
        assert (row["level"], row["baseline"]) == ("maxsup", "ce") and float(row["value"]) == pytest.approx(
            gap
        )


def test_everything_is_written_and_nothing_is_left_over(done: StudyFolder):
    names = {path.name for path in done.path.iterdir()}
    assert names >= {
        "report.pdf",
        "report.html",
        "study.toml",
        "cells.csv",
        "means.csv",
        "effects.csv",
        "cells",
    }
    assert not [path for path in done.path.rglob("*") if path.suffix in (".state", ".tmp")]
    html = (done.path / "report.html").read_text()
    assert "Another." in html and "maxsup" in html and "4 of 4 runs" in html


def test_finished_cells_are_never_done_again(done: StudyFolder, monkeypatch: pytest.MonkeyPatch):
    before = {path: path.stat().st_mtime_ns for path in done.path.rglob("*") if path.is_file()}
    monkeypatch.setattr(
        "maxsup_analysis.study.workers._Worker.__init__", lambda *_: pytest.fail("a process began")
    )
    again = folder_of(STUDY.replace("Tiny", "Renamed"), done.path)
    assert {status_of(job) for job in again.jobs} == {"done"} and run_cells(again.jobs, ["cpu"]) == {}
    changed = {path.name for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert changed == {"study.toml"}


def test_other_words_for_the_same_runs_find_them(done: StudyFolder):
    named = STUDY.replace('loss = ["ce", "maxsup"]', "").replace(
        "[measure]", '[factors.method]\nA = { loss = "ce" }\nB = { loss = "maxsup" }\n[measure]'
    )
    renamed = StudyFolder(study_of(named), done.path)
    assert {status_of(job) for job in renamed.jobs} == {"done"}
    other = StudyFolder(study_of(STUDY.replace("epochs = 2", "epochs = 3")), done.path)
    assert {status_of(job) for job in other.jobs} == {"to do"}


def test_more_metrics_are_measured_without_training(copied: Path):
    folder = folder_of(STUDY.replace('"accuracy",', '"accuracy", "nll",'), copied)
    before = {job.folder: (job.folder / CHECKPOINT).stat().st_mtime_ns for job in folder.jobs}
    assert {status_of(job) for job in folder.jobs} == {"to measure"}
    assert run_cells(folder.jobs, ["cpu"]) == {}
    assert {place: (place / CHECKPOINT).stat().st_mtime_ns for place in before} == before
    measured = kept(folder.jobs[0].folder, folder.jobs[0].parts[0])
    assert measured is not None and "nll" in measured.estimates


def test_influences_survive_the_disk(done: StudyFolder):
    measured = kept(done.jobs[0].folder, done.jobs[0].parts[0])
    assert measured is not None and measured.samples is not None
    item = measured.estimates["accuracy"]
    assert item.influence is not None
    influence, total = item.influence.numpy(), 0.0
    for k in range(10):
        inside = influence[measured.samples.labels == k]
        total += len(inside) / (len(inside) - 1) * ((inside - inside.mean()) ** 2).sum()
    assert item.standard_error == pytest.approx(total**0.5, rel=1e-9)


def test_a_cell_that_fails_is_kept_with_its_error_and_the_others_go_on(copied: Path):
    text = STUDY.replace("seed = [0, 1]", "seed = [0]\nlearning_rate = [0.2, 1e30]")
    folder = folder_of(text, copied)
    failures = run_cells(folder.jobs, ["cpu", "cpu"])
    assert set(failures) == {"loss=ce,seed=0,learning_rate=1e+30", "loss=maxsup,seed=0,learning_rate=1e+30"}
    for job in folder.jobs:
        if job.cell.name in failures:
            assert failure_of(job.folder) == failures[job.cell.name] and status_of(job) == "failed"
            assert "\n" not in failures[job.cell.name] and "loss became" in failures[job.cell.name]
    results = publish(folder)
    assert sum(result.failure is None for result in results.cells) == 2
    assert "2 of 4 runs" in (copied / "report.html").read_text()
    assert [bool(row["failure"]) for row in rows(copied / "cells.csv")] == [False, True, False, True]


def test_damaged_measurements_are_named(copied: Path):
    folder = folder_of(STUDY, copied)
    (folder.jobs[0].folder / "test.measured.json").write_text("{")
    with pytest.raises(
        InputError, match=r"test.measured.json is damaged .*; remove it, and it is measured again"
    ):
        status_of(folder.jobs[0])


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="was not written by a study; choose another folder with -o"):
        StudyFolder(study_of(STUDY), tmp_path).prepare(STUDY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_slots():
    study = study_of(STUDY)
    assert slots_of("cpu", 3, study) == ["cpu"] * 3
    assert len(slots_of("auto", None, study)) >= 1
    with pytest.raises(InputError, match="--jobs above 0"):
        slots_of("cpu", 0, study)
    with pytest.raises(InputError, match="there is no device 'cuda:7' on this machine"):
        slots_of("cuda:7", None, study)


def ablate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maxsup_analysis", "ablate", *map(str, arguments), "--device", "cpu"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_command_says_what_failed_with_its_exit_code(copied: Path, tmp_path: Path):
    file = tmp_path / "study.toml"
    file.write_text(STUDY.replace("seed = [0, 1]", "seed = [0]\nlearning_rate = [0.2, 1e30]"))
    run = ablate(file, "-o", copied)
    assert run.returncode == 1 and "failed: the training loss became" in run.stderr
    assert run.stdout.splitlines()[-1] == str(copied / "report.pdf")
    dry = ablate(file, "-o", copied, "--dry-run")
    assert dry.returncode == 0 and "4 cells: 2 done, 2 failed" in dry.stdout
    file.write_text("[train]\nepoch = 3")
    wrong = ablate(file)
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert "line 2: [train] has no key 'epoch'; did you mean 'epochs'?" in wrong.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_killed_and_called_again_it_ends_in_the_same_bytes(
    done: StudyFolder, tmp_path: Path, number: signal.Signals
):
    file, output = tmp_path / "study.toml", tmp_path / "out"
    file.write_text(STUDY)
    command = [
        sys.executable,
        "-m",
        "maxsup_analysis",
        "ablate",
        str(file),
        "-o",
        str(output),
        "--device",
        "cpu",
    ]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(output.glob("cells/*/*.measured.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(run.pid, number)
    _, said = run.communicate(timeout=30)
    if number == signal.SIGINT:
        assert run.returncode == 130
        assert "of 4 cells are done" in said and "to go on: maxsup-analyze ablate" in said
    assert ablate(file, "-o", output).returncode == 0
    for job in done.jobs:
        other = output / "cells" / job.folder.name / CHECKPOINT
        assert other.read_bytes() == (job.folder / CHECKPOINT).read_bytes()
    for name in ("cells.csv", "means.csv", "effects.csv"):
        assert (output / name).read_text() == (done.path / name).read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that two cells fit on, and no third."""
    with disks.small_disk(tmp_path / "disk", "400k") as mounted:
        yield mounted


def test_a_full_disk_harms_no_finished_cell_and_with_room_it_goes_on(
    done: StudyFolder, tmp_path: Path, small_disk: Path
):
    file, output = tmp_path / "study.toml", small_disk / "out"
    file.write_text(STUDY)
    run = ablate(file, "-o", output)
    assert run.returncode == 2 and "No space left on device" in run.stderr
    assert all("cannot write to" in line for line in run.stderr.splitlines() if "No space" in line)
    assert "; make room" in run.stderr.splitlines()[-1]
    finished = list(output.glob("cells/*/test.measured.json"))
    assert 0 < len(finished) < 4
    before = {
        path: path.read_bytes() for cell in finished for path in cell.parent.glob("*.*") if path.is_file()
    }
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert ablate(file, "-o", output).returncode == 0
    assert {path: path.read_bytes() for path in before} == before
    for name in ("cells.csv", "means.csv", "effects.csv"):
        assert (output / name).read_text() == (done.path / name).read_text()


def test_settings_say_what_a_cell_is(done: StudyFolder):
    found = json.loads((done.jobs[2].folder / "settings.json").read_text())
    assert found["levels"] == {"loss": "maxsup", "seed": "0"} and found["plan"]["loss"] == "maxsup"


def test_a_disk_that_fills_under_an_open_file_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("maxsup_analysis.study.cell_run.train", full)
    job = folder_of(STUDY, tmp_path / "study").jobs[0]
    assert run_job(job, "cpu").failure == f"cannot write to {job.folder} (No space left on device)"
    assert failure_of(job.folder) == f"cannot write to {job.folder} (No space left on device)"
