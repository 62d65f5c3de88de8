"""Tests for images in a zip, with the map that the authors of MaxSup keep beside it or without."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from maxsup_analysis.datasets import open_data
from maxsup_analysis.errors import InputError
from tests.datasets.photographs import SMALL, encoded, pixels
from tests.datasets.same_source import assert_reads, by_workers, expected_rows, prints

ARRAYS = [pixels(seed) for seed in range(4)]
# As in the authors' val_map.txt: files of a flat zip in an order of their own.
LABELS = [2, 0, 1, 2]


def write_zip(path: Path, names: list[str], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("readme.txt", "no image")
        for name, array in zip(names, ARRAYS, strict=True):
            archive.writestr(name, encoded(array))
    return path


FLAT = [f"ILSVRC2012_val_0000000{number}.png" for number in range(4)]
FOLDERS = ["n02/a.png", "n00/b c.png", "n01/c.png", "n02/d.png"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("gap", ["\t", " "])
@pytest.mark.parametrize("prefix", ["", "val.zip@/"])
@pytest.mark.parametrize("map_name", ["val_map.txt", "images_map.txt"])
def test_labels_come_from_the_map(tmp_path: Path, method: int, gap: str, prefix: str, map_name: str):
    file = write_zip(tmp_path / "images.zip", FLAT, method)
    lines = [f"{prefix}{name}{gap}{label}" for name, label in zip(FLAT, LABELS, strict=True)]
    (tmp_path / map_name).write_text("\n".join(lines[::-1]) + "\n")
    data = open_data(str(file), "val")
    named = "val" if map_name == "val_map.txt" else "all"
    assert (data.name, data.split, data.class_names) == ("images", named, ("0", "1", "2"))
    assert_reads(data, ARRAYS[::-1], LABELS[::-1])


def test_classes_are_called_as_their_folders_where_each_has_one(tmp_path: Path):
    file = write_zip(tmp_path / "train.zip", FOLDERS)
    (tmp_path / "train_map.txt").write_text(
        "".join(f"{n}\t{k}\n" for n, k in zip(FOLDERS, LABELS, strict=True))
    )
    data = open_data(str(file), None)
    assert (data.split, data.class_names) == ("train", ("n00", "n01", "n02"))
    assert_reads(data, ARRAYS, LABELS)
    (tmp_path / "train_map.txt").write_text("".join(f"{n}\t0\n" for n in FOLDERS))
    assert open_data(str(file), None).class_names == ("0",)


@pytest.mark.parametrize("above", ["", "imagenet/val/"])
def test_without_a_map_classes_are_folders(tmp_path: Path, above: str):
    file = write_zip(tmp_path / "val.zip", [above + name for name in FOLDERS])
    data = open_data(str(file), None)
    assert (data.split, data.class_names) == ("val", ("n00", "n01", "n02"))
    assert_reads(data, [ARRAYS[k] for k in (1, 2, 0, 3)], [0, 1, 2, 2])
    assert np.array_equal(by_workers(data), expected_rows([ARRAYS[k] for k in (1, 2, 0, 3)]))


def test_digests(tmp_path: Path):
    file = write_zip(tmp_path / "val.zip", FOLDERS)
    before = prints(open_data(str(file), None))
    (tmp_path / "copy").mkdir()
    shutil.copy(file, tmp_path / "copy")
    assert open_data(str(tmp_path / "copy" / "val.zip"), None).fingerprint == before[0]
    os.utime(file, ns=(1, 1))
    touched = prints(open_data(str(file), None))
    assert touched[0] == before[0] and touched[1] != before[1] and touched[2] == before[2]


def test_what_does_not_fit(tmp_path: Path):
    file = write_zip(tmp_path / "val.zip", FLAT)
    with pytest.raises(
        InputError, match=r"expected a map of files to labels beside .*val\.zip \(val_map\.txt\)"
    ):
        open_data(str(file), None)
    (tmp_path / "val_map.txt").write_text(f"{FLAT[0]}\t0\nother.png\t1\nthird.png\t1\n")
    with pytest.raises(InputError, match=r"val\.zip does not hold other\.png and 1 more of .*val_map\.txt"):
        open_data(str(file), None)
    (tmp_path / "val_map.txt").write_text(f"{FLAT[0]}\tcat\n")
    with pytest.raises(InputError, match="expected lines of a path and a label in"):
        open_data(str(file), None)
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"val\.zip is not a whole zip file"):
        open_data(str(file), None)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_unreadable(tmp_path: Path, method: int):
    file = write_zip(tmp_path / "val.zip", FOLDERS, method)
    with zipfile.ZipFile(file) as archive:
        place = archive.getinfo(FOLDERS[0]).header_offset
    content = bytearray(file.read_bytes())
    content[place + 30 + len(FOLDERS[0]) + 50] ^= 255
    file.write_bytes(content)
    found = open_data(str(file), None).reader(SMALL).fetch(range(4))
    assert found.ids.tolist() == [0, 1, 3]
    assert [(one.name, one.reason) for one in found.unreadable] == [("n02/a.png", "damaged in the archive")]


def test_a_member_packed_otherwise_is_unreadable(tmp_path: Path):
    file = write_zip(tmp_path / "val.zip", FOLDERS, zipfile.ZIP_LZMA)
    found = open_data(str(file), None).reader(SMALL).fetch([0])
    assert found.unreadable[0].reason == "compressed by method 14, expected stored or deflated"


def test_a_member_that_is_longer_than_it_says_is_not_unpacked_whole(tmp_path: Path):
    file = tmp_path / "val.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("n00/a.png", encoded(ARRAYS[0]) + bytes(50_000_000))
    content = file.read_bytes()
    length = (50_000_000 + len(encoded(ARRAYS[0]))).to_bytes(4, "little")
    file.write_bytes(content.replace(length, (1000).to_bytes(4, "little")))
    found = open_data(str(file), None).reader(SMALL).fetch([0])
    assert found.unreadable[0].reason == "damaged in the archive"
