"""Tests for outputs: on the disk before they have their name, whole or absent, and a full disk is named."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from maxsup_analysis.errors import InputError, is_out_of_memory, sentence_of
from maxsup_analysis.feature_store import SHARD
from maxsup_analysis.feature_store.building import building
from maxsup_analysis.feature_store.exporting import export_store
from maxsup_analysis.feature_store.request import Request
from maxsup_analysis.files import whole_file, whole_folder, write_durably
from maxsup_analysis.ranks import Ranks
from tests.disks import small_disk
from tests.feature_store.stores import PLAN, rows_of, store_at

Event = tuple[str, str]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What is synced and renamed from here on, in its order: ("sync", path) and ("name", path)."""
    found: list[Event] = []
    sync = os.fsync

    def synced(descriptor: int) -> None:
        found.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def naming(rename: Callable) -> Callable:
        def renamed(source, target) -> None:
            found.append(("from", os.fspath(source)))
            rename(source, target)
            found.append(("name", os.fspath(target)))

        return renamed

    monkeypatch.setattr(os, "fsync", synced)
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, naming(getattr(os, name)))
    return found


def require_durable(events: list[Event], path: Path) -> None:
    """The contents were synced before they got their name, and the name after it."""
    named = max(place for place, event in enumerate(events) if event == ("name", str(path)))
    kind, source = events[named - 1]
    assert kind == "from"
    assert ("sync", source) in events[:named] or Path(path).is_dir()
    assert ("sync", str(path.parent)) in events[named:]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, events: list[Event]):
    write_durably(tmp_path / "a", b"1", b"2")
    require_durable(events, tmp_path / "a")


def test_an_output_is_on_the_disk_before_it_has_its_name(tmp_path: Path, events: list[Event]):
    with whole_file(tmp_path / "a.pdf") as partial:
        partial.write_bytes(b"1")
    require_durable(events, tmp_path / "a.pdf")
    with whole_folder(tmp_path / "folder") as partial:
        (partial / "x").write_bytes(b"1")
    require_durable(events, tmp_path / "folder")


def test_every_file_of_a_store_is_on_the_disk_before_the_store_has_its_name(
    tmp_path: Path, events: list[Event]
):
    target = tmp_path / "s.features"
    with building(Request(target, PLAN, samples=SHARD + 5), Ranks()) as build:
        build.write(0, rows_of(SHARD), ())
        build.write(1, rows_of(SHARD + 5).rows(slice(SHARD, None)), ())
        assert build.finish() is not None
    files = {file.name for file in target.iterdir()}
    assert files == {"manifest.json", "head.safetensors", "rows-00000.safetensors", "rows-00001.safetensors"}
    for name in files:
        require_durable(events, build.folder / name)
    require_durable(events, target)
    names = [path for kind, path in events if kind == "name"]
    assert names[-1] == str(target) and names[-2] == str(build.folder / "manifest.json")


def test_a_store_that_is_written_whole_is_on_the_disk(tmp_path: Path, events: list[Event]):
    store_at(tmp_path / "s", rows_of(5))
    require_durable(events, tmp_path / "s")


@pytest.mark.parametrize("ending", [".npz", ".pt", ".parquet", ""])
def test_an_export_to_a_full_disk_names_the_file_and_the_remedy(tmp_path: Path, ending: str):
    store = store_at(tmp_path / "s", rows_of(4 * SHARD))
    with small_disk(tmp_path / "disk", "256k") as disk:
        with pytest.raises(InputError) as refused:
            export_store(store.path, disk / f"out{ending}")
        assert str(refused.value) == (
            f"cannot write to {disk}/out{ending} (No space left on device); make room there, or choose another output "
            "with -o"
        )
        assert not list(disk.iterdir())


def test_a_full_disk_is_never_without_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int, part: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space") as failed:
        write_durably(tmp_path / "a", b"1")
    said = f"cannot write to {tmp_path}/a (No space left on device); make room there"
    assert sentence_of(failed.value) == said and not list(tmp_path.iterdir())
    nameless = sentence_of(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert nameless is not None and "make room" in nameless and "the system:" not in nameless


def _of_numpy() -> object:
    return np.empty(2**62, np.uint8)


def _of_torch() -> object:
    return torch.empty(2**62, dtype=torch.uint8)


def _of_python() -> object:
    return bytes(2**62)


def _of_the_system() -> object:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


@pytest.mark.parametrize("allocate", [_of_numpy, _of_torch, _of_python, _of_the_system])
def test_memory_that_runs_out_is_one_sentence(allocate: Callable[[], object]):
    with pytest.raises((MemoryError, RuntimeError, OSError)) as failed:
        allocate()
    assert isinstance(failed.value, Exception)
    said = sentence_of(failed.value)
    assert said is not None and said.startswith("memory ran out (") and "\n" not in said


@pytest.mark.parametrize("look", [os.stat, open, os.listdir, os.mkdir])
def test_a_name_that_no_file_can_have_is_one_sentence(look: Callable[[str], object]):
    with pytest.raises(ValueError, match="null") as failed:
        look("a\0b")
    said = sentence_of(failed.value)
    assert said is not None and said.startswith("expected the name of a file, got one with a NUL byte")


def test_a_name_that_is_no_text_is_one_sentence():
    with pytest.raises(UnicodeEncodeError) as failed:
        "\udcff.parquet".encode()
    said = sentence_of(failed.value)
    assert said is not None and said.startswith("expected names of text")


def test_other_errors_are_no_lack_of_memory():
    others = (RuntimeError("shapes"), OSError(errno.EIO, "io"), ValueError("out of range"))
    assert not any(map(is_out_of_memory, others))


@pytest.mark.parametrize("name", ["/", "."])
def test_an_output_has_a_name(name: str):
    with pytest.raises(InputError, match="expected an output with a name"), whole_file(Path(name)):
        pass
