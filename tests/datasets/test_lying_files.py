"""Tests for data that are not what they say: nothing is lost unseen, nothing is made room for that is not there."""

import gzip
import json
import os
import random
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import datasets
import numpy as np
import pytest

from maxsup_analysis.datasets import open_data
from maxsup_analysis.datasets.classes import class_labels
from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Preprocessing
from tests.datasets.photographs import SMALL, class_folders, encoded, flat_png, pixels
from tests.datasets.test_tars import write_tar

PNG = encoded(pixels(1))
MOST_MEMORY = 300_000_000
pytestmark = pytest.mark.filterwarnings("ignore:Cannot pickle")


def opened_tar(folder: Path, *members: tuple[str, bytes]) -> int:
    return len(open_data(str(write_tar(folder / "x.tar", members)), None))


REFUSED_TARS = {
    "four samples of one key": (
        [(f"n01.{k}.{ending}", content) for k in range(4) for ending, content in (("png", PNG), ("cls", b"0"))],
        r"the sample n01 in .* has 4 images \(0\.png, 1\.png, 2\.png, 3\.png\)",
    ),
    "one member twice": (
        [("a.png", PNG), ("a.cls", b"0"), ("a.png", PNG), ("a.cls", b"1")], "the key a is in .* more than once",
    ),
    "one key apart": (
        [("a.png", PNG), ("a.cls", b"0"), ("b.png", PNG), ("b.cls", b"0"), ("a.png", PNG), ("a.cls", b"0")],
        "the key a is in .* more than once",
    ),
    "two images": ([("a.png", PNG), ("a.jpg", PNG), ("a.cls", b"0")], r"has 2 images \(png, jpg\); expected one"),
    "labels that disagree": (
        [("a.png", PNG), ("a.cls", b"0"), ("a.json", b'{"label": 1}')], r"a\.cls in .* says 0 and a\.json says 1",
    ),
    "a label without end": ([("a.png", PNG), ("a.cls", b" " * (2**20 + 1))], "too many for a label"),
    "a large label": (
        [("a.png", PNG), ("a.cls", b"1000000000000000")], "expected labels below 1,048,576 in .*, got 1000000000000000",
    ),
}  # fmt: skip
NO_NUMBERS = (b"9" * 5000, b"1e3", b"1_0", b"3.0", b"true", "\u0663".encode())
NO_LABELS = (
    b'{"label": Infinity}', b'{"label": 1.0}', b'{"label": true}', b'{"label": ' + b"9" * 5000 + b"}",
    b'{"label":' + b"[" * 100_000, b"[" * 100_000, b"3", b"\xff",
)  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED_TARS)
def test_samples_of_a_tar_that_would_be_lost_or_guessed(tmp_path: Path, kind: str):
    members, message = REFUSED_TARS[kind]
    with pytest.raises(InputError, match=message):
        opened_tar(tmp_path, *members)


@pytest.mark.parametrize(
    ("ending", "content"), [*(("cls", one) for one in NO_NUMBERS), *(("json", one) for one in NO_LABELS)]
)
def test_labels_of_a_tar_that_are_no_numbers(tmp_path: Path, ending: str, content: bytes):
    with pytest.raises(InputError, match="expected a whole number as the label of a in"):
        opened_tar(tmp_path, ("a.png", PNG), (f"a.{ending}", content))


def test_the_image_of_a_sample_is_the_one_with_a_plain_ending(tmp_path: Path, capsys: pytest.CaptureFixture):
    depth = encoded(pixels(9))
    write_tar(
        tmp_path / "x.tar", [("a.depth.png", depth), ("a.png", PNG), ("a.cls", b"0"), ("b.txt", b"no sample")]
    )
    data = open_data(str(tmp_path / "x.tar"), None)
    assert (len(data), data.called(0)) == (1, "x.tar/a.png")
    assert "2 left out of" in (said := capsys.readouterr().err) and "a.depth.png, b.txt" in said


def test_a_tar_that_declares_more_than_it_has(tmp_path: Path):
    entry = tarfile.TarInfo("a.png")
    entry.size = 8**11 - 1
    (tmp_path / "x.tar").write_bytes(entry.tobuf() + PNG)
    with pytest.raises(InputError):
        open_data(str(tmp_path / "x.tar"), None)


def test_what_a_folder_holds_beside_its_images_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture):
    root = class_folders(tmp_path / "pets", {"cat": 2, "dog": 1})
    for name in ("cat/about.txt", "cat/x.svg", "notes.md", "cat/no_ending", ".git/config"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"text")
    (root / "dog" / "image_without_ending").write_bytes(PNG)
    (root / "dog" / "a.jfif").write_bytes(encoded(pixels(3), "JPEG"))
    (root / "dog" / "a.apng").write_bytes(PNG)
    for ending, kind in (("avif", "AVIF"), ("jp2", "JPEG2000")):
        (root / "dog" / f"a.{ending}").write_bytes(encoded(pixels(3), kind))
    data = open_data(str(root), None)
    assert len(data) == 8 and not data.reader(SMALL).fetch(range(8)).unreadable
    assert (
        "note: 5 left out of" in (said := capsys.readouterr().err)
        and ".git/, notes.md, cat/about.txt, ..." in said
    )


def test_what_is_no_regular_file_is_named(tmp_path: Path):
    root = class_folders(tmp_path / "pets", {"cat": 1})
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "cat" / "zero.png").symlink_to("/dev/zero")
    data = open_data(str(root), None)
    found = data.reader(SMALL).fetch(range(3))
    assert [one.reason for one in found.unreadable] == ["no regular file"] * 2
    assert len(data.state(hash_contents=True)) == 64


@pytest.mark.parametrize("sides", [(9_400, 9_400), (2_100, 2_100)])
def test_images_with_fewer_bytes_than_any_photograph(tmp_path: Path, sides: tuple[int, int]):
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "0.png").write_bytes(flat_png(sides[0]))
    found = open_data(str(tmp_path), None).reader(SMALL).fetch([0])
    assert found.unreadable[0].reason.endswith("bytes, fewer than any photograph")


@pytest.mark.parametrize("resize", [None, 10])
@pytest.mark.parametrize("sides", [(1, 80_000_000), (80_000_000, 1), (1, 900_000)])
def test_the_narrowest_images(tmp_path: Path, sides: tuple[int, int], resize: int | None):
    from benchmarks.fuzz_data import flat_png as of_sides

    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "0.png").write_bytes(of_sides(*sides))
    how = Preprocessing((3, 224, 224), (0.5,) * 3, (0.5,) * 3, resize=resize)
    assert open_data(str(tmp_path), None).reader(how).fetch([0]).unreadable


def header(shape: object, kind: str) -> bytes:
    head = str({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head


def npz(folder: Path, images: bytes, labels: bytes) -> str:
    with zipfile.ZipFile(folder / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", images)
        archive.writestr("labels.npy", labels)
    return str(folder / "x.npz")


FOUR = header((4,), "<i8") + np.arange(4).tobytes()
LYING_ARRAYS = {
    "64 TB": (header((8_000_000_000_000,), "|u1"), header((8_000_000_000_000,), "<i8")),
    "64 TB of images": (header((4, 2**20, 2**20, 16), "|u1"), FOUR),
    "no bytes": (header((4, 0, 0, 3), "|u1"), FOUR),
    "no samples": (header((0, 8, 8), "|u1"), header((0,), "<i8")),
    "a negative length": (header((-1, 8, 8), "|u1"), FOUR),
    "no length": (header("x", "|u1"), FOUR),
    "objects": (header((4, 8, 8), "|O") + bytes(2048), FOUR),
    "too large a label": (
        header((1, 8, 8), "|u1") + bytes(64),
        header((1,), "<i8") + np.array([10**15]).tobytes(),
    ),
    "the largest label": (header((1, 8, 8), "|u1") + bytes(64), header((1,), "<u8") + b"\xff" * 8),
    "text": (header((1, 8, 8), "|u1") + bytes(64), header((1,), "<U5") + bytes(20)),
}


@pytest.mark.parametrize("kind", LYING_ARRAYS)
@pytest.mark.parametrize("file", ["npz", "npy"])
def test_arrays_that_declare_what_is_not_there(tmp_path: Path, kind: str, file: str):
    images, labels = LYING_ARRAYS[kind]
    (tmp_path / "x.npy").write_bytes(images)
    (tmp_path / "labels.npy").write_bytes(labels)
    name = npz(tmp_path, images, labels) if file == "npz" else str(tmp_path / "x.npy")
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as refusal:
            open_data(name, None)
        assert "\n" not in str(refusal.value) and tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (0, 2**32 - 1, 2**32 - 1), (2**31, 1, 1)])
def test_idx_files_that_declare_what_is_not_there(tmp_path: Path, shape: tuple[int, int, int]):
    content = bytes((0, 0, 8, 3)) + struct.pack(">III", *shape) + bytes(1000)
    for name, data in (("a-images-idx3-ubyte", content), ("b-images-idx3-ubyte.gz", gzip.compress(content))):
        stem = name.replace("images-idx3", "labels-idx1")
        (tmp_path / stem).write_bytes(data)
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=r"should hold|holds nothing"):
            open_data(str(tmp_path / name), None)


def test_masked_labels_are_no_labels():
    values = np.ma.masked_array([0, 1, 2], mask=[False, True, False])
    with pytest.raises(InputError, match="expected a label for each sample in x, got some that are masked"):
        class_labels(values, "x")
    assert class_labels(np.ma.masked_array([0, 1]), "x").tolist() == [0, 1]


def test_members_of_a_zip_with_one_name(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("cat/a.png", PNG)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("cat/a.png", PNG)
    with pytest.raises(InputError, match=r"has cat/a\.png more than once"):
        open_data(str(tmp_path / "x.zip"), None)


def test_a_map_names_every_image_once(tmp_path: Path, capsys: pytest.CaptureFixture):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in "abc":
            archive.writestr(f"{name}.png", PNG)
    (tmp_path / "x_map.txt").write_text("a.png 0\nb.png 1\n")
    assert len(open_data(str(tmp_path / "x.zip"), None)) == 2
    assert "note: 1 left out of" in (said := capsys.readouterr().err) and "not in x_map.txt: c.png" in said
    for text, message in (
        ("a.png 0\na.png 1\n", "lists a.png more than once"),
        (f"a.png {'9' * 5000}\n", "expected lines of a path"),
    ):
        (tmp_path / "x_map.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            open_data(str(tmp_path / "x.zip"), None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"image": [[[1]], [[2]]], "label": [0, 1]}, "expected encoded images in the column image"),
        ({"image": [PNG, PNG], "label": [None, 1]}, "expected a whole number for each sample"),
        ({"image": [PNG, PNG], "label": ["a", "b"]}, "expected a whole number for each sample"),
        ({"image": [PNG, PNG], "label": [[0], [0, 1]]}, "expected a whole number for each sample"),
        ({"image": [PNG, PNG], "label": [10**15, 1]}, "expected labels below"),
    ],
)
def test_columns_of_other_types(tmp_path: Path, content: dict[str, list[object]], message: str):
    datasets.Dataset.from_dict(content).save_to_disk(tmp_path / "x")
    with pytest.raises(InputError, match=message):
        open_data(str(tmp_path / "x"), None)


def test_one_of_several_columns_of_a_type(tmp_path: Path, capsys: pytest.CaptureFixture):
    kinds = {name: datasets.ClassLabel(names=["a", "b"]) for name in ("colour", "shape")}
    features = datasets.Features({"image": datasets.Image(), "mask": datasets.Image(), **kinds})
    cell = {"bytes": PNG, "path": None}
    made = datasets.Dataset.from_dict(
        {"image": [cell], "mask": [cell], "colour": [0], "shape": [1]}, features=features
    )
    made.save_to_disk(tmp_path / "x")
    with pytest.raises(
        InputError,
        match=r"has several columns of type ClassLabel \(colour, shape\); call the one to read label",
    ):
        open_data(str(tmp_path / "x"), None)
    made.rename_column("shape", "label").save_to_disk(tmp_path / "y")
    assert open_data(str(tmp_path / "y"), None).labels.tolist() == [1]
    assert "reading the column label" in capsys.readouterr().err


def test_names_that_are_no_text(tmp_path: Path):
    for name in (b"caf\xe9", b"a\nb", b"\xe2\x80\xaetxt"):
        folder = os.fsencode(tmp_path) + b"/pets/" + name
        os.makedirs(folder)
        Path(os.fsdecode(folder + b"/\xff.png")).write_bytes(PNG)
    data = open_data(str(tmp_path / "pets"), None)
    assert len(data.fingerprint) == 64 and json.dumps([data.called(k) for k in range(3)]).encode()


@pytest.mark.parametrize("kind", ["folder", "tar", "zipped", "arrays", "idx", "hugging_face"])
def test_some_rounds_of_the_fuzzer(kind: str):
    from benchmarks import fuzz_data

    make = getattr(fuzz_data, kind)
    ends = [fuzz_data.one(make, random.Random(seed).randrange(10**6)) for seed in range(12)]
    assert not [one for one in ends if one not in ("read", "refused")]
