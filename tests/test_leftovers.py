"""Tests for what killed writers leave: it goes at the next start, and nothing else does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from maxsup_analysis.files import whole_folder, write_durably
from maxsup_analysis.leftovers import (
    remove_leftover_folders,
    remove_leftovers,
    scratch_folder,
    sweep,
    temporary_file,
    temporary_folder,
)

KILLED = """
import os, sys
from pathlib import Path
from maxsup_analysis.files import whole_folder
from maxsup_analysis.leftovers import temporary_file

temporary_file(Path("settings.json"))
replace = os.replace

def die_between(source, target):
    replace(source, target)
    os.kill(os.getpid(), 9)

os.replace = die_between
with whole_folder(Path("store")) as folder:
    (folder / "new").touch()
"""


def killed(folder: Path) -> None:
    """What a process leaves that is killed in the middle of replacing a folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=folder, env=environment)
    assert done.returncode == -9


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_killed_writer_leaves_nothing_after_the_next_start(tmp_path: Path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "old").touch()
    killed(tmp_path)
    assert len(names(tmp_path)) == 2 and not (tmp_path / "store").exists()
    sweep(tmp_path)
    # The new folder was whole: its replacement is done, not undone.
    assert names(tmp_path) == ["store"] and names(tmp_path / "store") == ["new"]


def test_the_next_output_beside_it_sweeps(tmp_path: Path):
    (tmp_path / ".partial-maxsup-01234567").mkdir()
    with whole_folder(tmp_path / "other"):
        pass
    assert names(tmp_path) == ["other"]


def test_what_is_in_use_stays(tmp_path: Path):
    place, descriptor = temporary_file(tmp_path / "a")
    with temporary_folder(tmp_path) as folder:
        for _ in range(2):
            sweep(tmp_path)
            remove_leftovers(tmp_path / "a")
            remove_leftover_folders(tmp_path)
        assert place.exists() and folder.exists()
    os.close(descriptor)
    assert names(tmp_path) == [place.name]
    sweep(tmp_path)
    assert not names(tmp_path)


def test_only_the_leftovers_of_a_file_go(tmp_path: Path):
    kept = ["a", "a.0123456.tmp", "a.tmp", "ab.01234567.tmp", "b.01234567.tmp"]
    for name in (*kept, "a.01234567.tmp"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a")
    assert names(tmp_path) == kept


def test_a_name_that_is_taken_for_a_leftover_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Between making a file and locking it, another process may remove it."""
    from maxsup_analysis import leftovers

    lock, lost = leftovers._lock, []

    def losing(descriptor: int) -> None:
        if not lost:
            lost.append(next(tmp_path.iterdir()))
            lost[0].unlink()
        lock(descriptor)

    monkeypatch.setattr(leftovers, "_lock", losing)
    write_durably(tmp_path / "a", b"1")
    assert lost and (tmp_path / "a").read_bytes() == b"1" and names(tmp_path) == ["a"]


def test_a_scratch_folder_goes_by_itself_or_at_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / ".partial-maxsup-01234567" / "of").mkdir(parents=True)
    with scratch_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0 and names(tmp_path) == [folder.name]
    assert not names(tmp_path)
