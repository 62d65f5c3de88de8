"""Tests for a disk that fails at any step: one clear sentence, and the store that comes of it in the end is whole."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from maxsup_analysis import features
from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import open_store
from maxsup_analysis.feature_store.checks import faults
from maxsup_analysis.feature_store.request import partial_of
from tests import disks
from tests.extraction.setting import Setting, bytes_of

STEPS = ("open", "write", "fsync", "replace", "rename")
CODES = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EINTR)


class FailingDisk:
    """Lets the n-th call of a step on the store fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: str, number: int, code: int) -> None:
        self.seen, self.number, self.code = 0, number, code
        original = getattr(os, step)

        def failing(*arguments, **options):
            if self.concerns(arguments) and not is_probe(step, arguments):
                self.seen += 1
                if self.seen == self.number:
                    raise OSError(self.code, os.strerror(self.code))
            return original(*arguments, **options)

        monkeypatch.setattr(os, step, failing)

    def concerns(self, arguments: tuple) -> bool:
        first = arguments[0]
        name = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else os.fspath(first)
        return ".features" in str(name) and not str(name).endswith(".lock")

    @property
    def failed(self) -> bool:
        return self.seen >= self.number


def is_probe(step: str, arguments: tuple) -> bool:
    """Whether filelock tries if the folder can hold a file without a name, and goes on where it cannot."""
    return step == "open" and len(arguments) > 1 and arguments[1] & os.O_TMPFILE == os.O_TMPFILE


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Setting, dict[str, str]]:
    setting = Setting.of(tmp_path_factory.mktemp("whole"), 200)
    store = setting.extract("whole.features")
    assert store is not None
    return setting, bytes_of(store.path)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", [1, 2, 3, 5, 7, 8, 9])
def test_a_failing_step_is_one_sentence_and_the_next_run_ends_well(
    whole, monkeypatch, step: str, number: int
):
    setting, expected = whole
    name = f"{step}{number}.features"
    with monkeypatch.context() as patch:
        disk = FailingDisk(patch, step, number, CODES[number % len(CODES)])
        try:
            setting.extract(name)
        except InputError as refusal:
            assert disk.failed and "cannot write to" in str(refusal) and "\n" not in str(refusal)
    target = setting.folder / name
    assert not target.exists() or not list(faults(open_store(target)))
    store = setting.extract(name)
    assert store is not None and bytes_of(store.path) == expected
    assert not partial_of(target).exists() and not list(setting.folder.glob("*.replaced"))


def test_a_step_that_fails_is_met_at_every_kind(whole, monkeypatch):
    """The steps above are really taken: the first of each kind fails the run, but renames of folders at its end."""
    setting, _ = whole
    for step in STEPS:
        with monkeypatch.context() as patch, pytest.raises(InputError, match="No space left on device"):
            FailingDisk(patch, step, 1, errno.ENOSPC)
            setting.extract(f"first-{step}.features")


def test_writes_that_take_less_than_they_were_given(whole, monkeypatch):
    setting, expected = whole
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, part: write(descriptor, bytes(part[:1000])))
    store = setting.extract("short.features")
    assert store is not None and bytes_of(store.path) == expected


def test_a_shard_that_does_not_read_back(whole, monkeypatch):
    setting, expected = whole
    from maxsup_analysis.feature_store import building

    certify, target = building.certify, "unread.features.partial"

    def failing(path: Path):
        # While there is nothing to go on with every shard is missing; when the store is finished all are read.
        if target in str(path) and path.exists() and path.name == "rows-00002.safetensors":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return certify(path)

    with (
        monkeypatch.context() as patch,
        pytest.raises(InputError, match=r"\(Input/output error\); what is done is kept"),
    ):
        patch.setattr(building, "certify", failing)
        setting.extract("unread.features")
    store = setting.extract("unread.features")
    assert store is not None and bytes_of(store.path) == expected


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 256 kB."""
    with disks.small_disk(tmp_path / "disk", "256k") as mounted:
        yield mounted


def test_a_full_disk(tmp_path: Path, small_disk: Path, monkeypatch):
    setting = Setting.of(tmp_path, 3000)
    with pytest.raises(
        InputError, match=r"disk has 0.00 GB free but 3,000 rows take 0.00 GB; make room, choose another"
    ):
        setting.extract("disk/s.features")
    assert not list(small_disk.iterdir())
    # Somebody else fills it while it runs.
    monkeypatch.setattr(features, "require_room", lambda *arguments: None)
    with pytest.raises(
        InputError, match=r"cannot write to .*partial \(No space left on device\); what is done is kept"
    ):
        setting.extract("disk/s.features")
    kept = len(list(partial_of(small_disk / "s.features").glob("rows-*.safetensors")))
    assert 0 < kept < 82 and not list(partial_of(small_disk / "s.features").glob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    store = setting.extract("disk/s.features")
    assert store is not None and store.size == 3000 and not list(faults(store))
