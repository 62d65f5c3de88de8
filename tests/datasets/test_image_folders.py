"""Tests for folders of images: order, splits, links, and what changes their digests."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maxsup_analysis.class_order import Outputs, in_the_order_of
from maxsup_analysis.datasets import open_data
from maxsup_analysis.datasets.image_folders import image_folder
from maxsup_analysis.errors import InputError
from tests.datasets.photographs import class_folders, encoded, pixels
from tests.datasets.same_source import assert_reads, by_workers, expected_rows, prints

COUNTS = {"cat": 2, "dog": 3}
ARRAYS = [pixels(seed) for seed in range(5)]
LABELS = [0, 0, 1, 1, 1]


def test_classes_and_files_in_the_order_of_their_names(tmp_path: Path):
    data = open_data(str(class_folders(tmp_path / "pets", COUNTS)), None)
    assert (data.name, data.split, data.class_names) == ("pets", "all", ("cat", "dog"))
    assert [data.called(id_) for id_ in (0, 4)] == ["cat/0.png", "dog/2.png"]
    assert_reads(data, ARRAYS, LABELS)
    assert np.array_equal(by_workers(data), expected_rows(ARRAYS))


def test_classes_in_another_order(tmp_path: Path):
    data = open_data(str(class_folders(tmp_path / "pets", COUNTS)), None)
    renamed = data.with_classes(("dog", "cat"), [1, 0])
    assert renamed.labels.tolist() == [1, 1, 0, 0, 0] and renamed.class_names == ("dog", "cat")
    assert renamed.fingerprint != data.fingerprint
    assert renamed.state(hash_contents=False) == data.state(hash_contents=False)


@pytest.mark.parametrize(
    ("folder", "split", "found"),
    [
        ("val", "val", "val"),
        ("Val", "val", "Val"),
        ("validation", "val", "validation"),
        ("train", "train", "train"),
        ("train", None, "train"),
    ],
)
def test_a_split_by_any_of_its_names(tmp_path: Path, folder: str, split: str | None, found: str):
    class_folders(tmp_path / "train", {"cat": 1, "dog": 1})
    if folder != "train":
        class_folders(tmp_path / folder, COUNTS)
    data = open_data(str(tmp_path), split)
    assert data.split == found and len(data) == (2 if folder == "train" else 5)


def test_errors_word_for_word(tmp_path: Path):
    class_folders(tmp_path / "train", COUNTS)
    with pytest.raises(InputError) as refusal:
        open_data(str(tmp_path), "val")
    assert str(refusal.value) == (
        f"{tmp_path} has the splits train, none of them meant by 'val'; name one of them with --split"
    )
    (tmp_path / "train" / "eel").mkdir()
    with pytest.raises(InputError, match=r"the class folder .*eel has no images \(\.jpg, \.jpeg, \.png"):
        open_data(str(tmp_path), "train")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError) as refusal:
        open_data(str(tmp_path / "none"), None)
    assert str(refusal.value) == (
        f"expected a folder of images for each class in {tmp_path / 'none'}, found none; check --data"
    )


def test_links_are_followed_but_never_in_a_circle(tmp_path: Path):
    class_folders(tmp_path / "elsewhere", {"more": 2})
    root = class_folders(tmp_path / "pets", {"cat": 1, "dog": 1})
    (root / "eel").symlink_to(tmp_path / "elsewhere" / "more")
    (root / "cat" / "deeper").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "self").symlink_to(root / "cat")
    (root / "cat" / "up").symlink_to(root)
    (tmp_path / "elsewhere" / "more" / "back").symlink_to(root / "cat")
    (root / "dog" / "nowhere").symlink_to("nowhere")
    data = open_data(str(root), None)
    assert [data.called(id_) for id_ in range(4)] == [
        "cat/0.png", "cat/deeper/more/0.png", "cat/deeper/more/1.png", "dog/0.png",
    ]  # fmt: skip
    assert data.class_names == ("cat", "dog", "eel") and len(data) == 7


def test_folders_linked_to_each_other_do_not_multiply(tmp_path: Path):
    folders = [tmp_path / "class" / f"{number:02}" for number in range(12)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "0.png").write_bytes(encoded(pixels(1)))
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    class_folders(tmp_path / "other", {"a": 1})
    assert len(open_data(str(tmp_path), None)) == 13


def touch(root: Path) -> None:
    os.utime(root / "cat" / "0.png", ns=(1, 1))


def change_a_byte_in_secret(root: Path) -> None:
    file = root / "cat" / "0.png"
    times = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


CHANGES = {
    # What changes: the fingerprint, the state by times, the state by contents.
    "nothing": (lambda root: None, (False, False, False)),
    "added": (lambda root: (root / "cat" / "9.png").write_bytes(encoded(pixels(9))), (True, True, True)),
    "removed": (lambda root: (root / "cat" / "0.png").unlink(), (True, True, True)),
    "renamed": (lambda root: (root / "cat" / "0.png").rename(root / "cat" / "00.png"), (True, True, True)),
    "longer": (
        lambda root: (root / "cat" / "0.png").write_bytes(encoded(pixels(0)) + b" "),
        (True, True, True),
    ),
    "touched": (touch, (False, True, False)),
    "one byte": (change_a_byte_in_secret, (False, False, True)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_the_digests(tmp_path: Path, change: str):
    root = class_folders(tmp_path / "pets", COUNTS)
    before = prints(open_data(str(root), None))
    act: Callable[[Path], object]
    act, changed = CHANGES[change]
    act(root)
    after = prints(open_data(str(root), None))
    assert tuple(one != other for one, other in zip(before, after, strict=True)) == changed


def test_a_copy_elsewhere_has_the_same_fingerprint(tmp_path: Path):
    root = class_folders(tmp_path / "pets", COUNTS)
    shutil.copytree(root, tmp_path / "copy")
    assert open_data(str(root), None).fingerprint == open_data(str(tmp_path / "copy"), None).fingerprint


def test_listing_asks_for_the_status_of_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    status = os.stat
    for folder in range(3):
        (tmp_path / f"class{folder}").mkdir()
        for number in range(100):
            (tmp_path / f"class{folder}" / f"{number}.jpg").touch()

    def counted(path: object, *rest: object, **words: object) -> os.stat_result:
        asked.append(os.fspath(path))  # type: ignore[arg-type]
        return status(path, *rest, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", counted)
    # Not by `open_data`: on Python 3.11 checking a protocol at run time asks for its properties.
    data = image_folder(tmp_path, None)
    monkeypatch.undo()
    assert len(data) == 300 and not [path for path in asked if str(path).endswith(".jpg")]


def test_outputs_by_the_names_of_files(tmp_path: Path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / f"my {name}.png").write_bytes(encoded(pixels(1)))
    (tmp_path / "map.txt").write_text("my dog.png 0\nmy cat.png 1\n")
    data = in_the_order_of(open_data(str(tmp_path / "pets"), None), Outputs(2, file=tmp_path / "map.txt"))
    assert data.class_names == ("dog", "cat") and data.labels.tolist() == [1, 0]
