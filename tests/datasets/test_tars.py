"""Tests for WebDataset's tars."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from maxsup_analysis.datasets import open_data
from maxsup_analysis.errors import InputError
from tests.datasets.photographs import SMALL, encoded, pixels
from tests.datasets.same_source import assert_reads, by_workers, expected_rows, prints

ARRAYS = [pixels(seed) for seed in range(6)]
LABELS = [2, 0, 1, 1, 0, 2]


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def sample(number: int) -> list[tuple[str, bytes]]:
    key = f"part.one/{number:04}"
    if number % 2:
        return [(f"{key}.cls", b"%d\n" % LABELS[number]), (f"{key}.png", encoded(ARRAYS[number]))]
    about = json.dumps({"label": LABELS[number], "caption": "x"}).encode()
    return [(f"{key}.input.PNG", encoded(ARRAYS[number])), (f"{key}.json", about)]


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    for number in range(3):
        members = [one for place in (2 * number, 2 * number + 1) for one in sample(place)]
        write_tar(tmp_path / "shards" / f"val-{number:03}.tar", members)
    return tmp_path / "shards"


@pytest.mark.parametrize("pattern", ["", "/val-{000..002}.tar", "/*.tar", "/val-00{0,1,2}.tar"])
def test_a_folder_or_a_pattern_of_tars(tars: Path, pattern: str):
    data = open_data(f"{tars}{pattern}", "val")
    assert (data.name, data.split, data.class_names) == ("shards", "val", ("0", "1", "2"))
    assert data.called(3) == "val-001.tar/part.one/0003.png"
    assert_reads(data, ARRAYS, LABELS)


def test_one_tar_with_names_beside_it(tars: Path):
    (tars / "classes.txt").write_text("ant\nbee\ncow\n")
    data = open_data(f"{tars}/val-001.tar", None)
    assert (data.name, data.split, data.class_names) == ("val-001", "val", ("ant", "bee", "cow"))
    assert_reads(data, ARRAYS[2:4], LABELS[2:4])
    assert len(open_data(str(tars), None)) == 6


def test_workers_do_not_disturb_each_other(tars: Path):
    assert np.array_equal(by_workers(open_data(str(tars), None)), expected_rows(ARRAYS))


def test_digests(tars: Path):
    before = prints(open_data(str(tars), None))
    os.utime(tars / "val-001.tar", ns=(1, 1))
    touched = prints(open_data(str(tars), None))
    assert touched[0] == before[0] and touched[1] != before[1] and touched[2] == before[2]
    write_tar(tars / "val-003.tar", sample(0))
    assert not set(prints(open_data(str(tars), None))) & {*before, *touched}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            [("a.png", encoded(ARRAYS[0]))],
            r"the image a in .*x\.tar has no label; expected a\.cls or a\.json",
        ),
        ([("a.png", b""), ("a.cls", b"cat")], "expected a whole number as the label of a in"),
        ([("a.png", b""), ("a.json", b"{}")], "expected a whole number as the label of a in"),
        ([("a.png", b""), ("a.cls", b"-1")], r"expected labels from 0 in .*, got -1"),
        ([("a.txt", b"")], r"expected images \(KEY\.jpg with KEY\.cls\) in .*x\.tar, found none"),
    ],
)
def test_what_is_no_labelled_sample(tmp_path: Path, members: list[tuple[str, bytes]], message: str):
    write_tar(tmp_path / "x.tar", members)
    with pytest.raises(InputError, match=message):
        open_data(str(tmp_path / "x.tar"), None)


def test_a_compressed_a_cut_off_and_a_missing_tar(tars: Path):
    (tars / "x.tar.gz").write_bytes(gzip.compress((tars / "val-000.tar").read_bytes()))
    with pytest.raises(InputError) as refusal:
        open_data(f"{tars}/x.tar.gz", None)
    assert str(refusal.value) == (
        f"{tars}/x.tar.gz is compressed, and its images cannot be read by their place; decompress it first"
    )
    (tars / "x.tar.gz").rename(tars / "x.tar")
    with pytest.raises(InputError, match=r"x\.tar is not a whole tar file without compression"):
        open_data(f"{tars}/x.tar", None)
    (tars / "y.tar").write_bytes((tars / "val-000.tar").read_bytes()[:700])
    with pytest.raises(InputError, match=r"y\.tar is not a whole tar file"):
        open_data(f"{tars}/y.tar", None)
    with pytest.raises(InputError, match=r"expected a tar file at .*val-003\.tar, found no file there"):
        open_data(f"{tars}/val-{{000..004}}.tar", None)


@pytest.mark.parametrize("where", ["{}", "{}/*.tar", "{}/val-{{000..001}}.tar"])
def test_a_pipe_that_is_called_a_tar_keeps_nobody_waiting(tars: Path, where: str):
    (tars / "val-001.tar").unlink()
    os.mkfifo(tars / "val-001.tar")
    with pytest.raises(InputError, match=r"expected a tar file at .*val-001\.tar, found no file there"):
        open_data(where.format(tars), None)


def test_a_tar_that_shrinks_afterwards(tars: Path):
    data = open_data(f"{tars}/val-000.tar", None)
    with open(tars / "val-000.tar", "r+b") as file:
        file.truncate(530)
    found = data.reader(SMALL).fetch([0, 1])
    assert [one.reason[:16] for one in found.unreadable] == ["the archive ends"] * 2
