"""Tests for Hugging Face data sets on disk."""

import builtins
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from maxsup_analysis.datasets import open_data
from maxsup_analysis.errors import InputError
from tests.datasets.photographs import SMALL, encoded, pixels
from tests.datasets.same_source import assert_reads, by_workers, expected_rows, prints

# The library names a data set that it makes by the digest of a pickle of dill's, which warns where other tests have
# left it in a state in which it pickles itself. The digest does not matter here.
pytestmark = pytest.mark.filterwarnings("ignore:Cannot pickle")

ARRAYS = [pixels(seed) for seed in range(4)]
LABELS = [1, 0, 2, 1]
FILES = [encoded(one) for one in ARRAYS]
NAMES = ("ant", "bee", "cow")


def rows(image: str = "image", label: str = "label", files: Sequence[bytes] = FILES) -> datasets.Dataset:
    features = datasets.Features({
        "caption": datasets.Value("string"), image: datasets.Image(), label: datasets.ClassLabel(names=list(NAMES)),
    })  # fmt: skip
    content = {
        "caption": ["x"] * 4,
        image: [{"bytes": file, "path": None} for file in files],
        label: LABELS,
    }
    return datasets.Dataset.from_dict(content, features=features)


@pytest.mark.parametrize(("image", "label"), [("image", "label"), ("img", "fine_label"), ("picture", "kind")])
def test_one_data_set(tmp_path: Path, image: str, label: str):
    rows(image, label).save_to_disk(tmp_path / "pets")
    data = open_data(str(tmp_path / "pets"), None)
    assert (data.name, data.split, data.class_names) == ("pets", "all", NAMES)
    assert_reads(data, ARRAYS, LABELS)
    assert np.array_equal(by_workers(data), expected_rows(ARRAYS))


@pytest.mark.parametrize("split", ["val", "valid", "validation"])
def test_splits(tmp_path: Path, split: str):
    parts = datasets.DatasetDict({"train": rows().select([0]), "validation": rows()})
    parts.save_to_disk(tmp_path / "pets")
    data = open_data(str(tmp_path / "pets"), split)
    assert (data.name, data.split, len(data)) == ("pets", "validation", 4)
    for wrong in (None, "extra", "test"):
        with pytest.raises(InputError) as refusal:
            open_data(str(tmp_path / "pets"), wrong)
        meant = f", none of them meant by {wrong!r}" if wrong else ""
        assert str(refusal.value) == (
            f"{tmp_path / 'pets'} has the splits train, validation{meant}; name one of them with --split"
        )


def test_columns_that_are_only_named(tmp_path: Path):
    content = {"image": FILES, "labels": LABELS}
    datasets.Dataset.from_dict(content).save_to_disk(tmp_path / "pets")
    data = open_data(str(tmp_path / "pets"), None)
    assert data.class_names == ("0", "1", "2")
    assert_reads(data, ARRAYS, LABELS)
    assert len(set(prints(data))) == 3


def test_an_orientation_is_not_applied_and_damage_is_named(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(ARRAYS[0]).save(file, "PNG", exif=exif)
    rows(files=[file.getvalue(), b"", FILES[2], b"text"]).save_to_disk(tmp_path / "pets")
    found = open_data(str(tmp_path / "pets"), None).reader(SMALL).fetch(range(4))
    assert found.rotated == 1 and found.ids.tolist() == [0, 2]
    assert np.array_equal(found.images, expected_rows([ARRAYS[0], ARRAYS[2]]))
    assert [(one.name, one.reason[:12]) for one in found.unreadable] == [
        ("image 1", "an empty fil"), ("image 3", "not an image"),
    ]  # fmt: skip


def test_images_kept_as_paths(tmp_path: Path):
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, array in zip(paths, ARRAYS, strict=True):
        path.write_bytes(encoded(array))
    content = {"image": [str(path) for path in paths], "label": LABELS}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    made = datasets.Dataset.from_dict(content, features=features)
    made.save_to_disk(tmp_path / "pets")
    data = open_data(str(tmp_path / "pets"), None)
    assert_reads(data, ARRAYS, LABELS)
    assert len(data.fingerprint) == 64


def test_digests(tmp_path: Path):
    rows().save_to_disk(tmp_path / "pets")
    before = prints(open_data(str(tmp_path / "pets"), None))
    os.utime(next((tmp_path / "pets").glob("*.arrow")), ns=(1, 1))
    touched = prints(open_data(str(tmp_path / "pets"), None))
    assert touched[0] == before[0] and touched[1] != before[1] and touched[2] == before[2]


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    datasets.Dataset.from_dict({"text": ["a"], "label": [0]}).save_to_disk(tmp_path / "text")
    with pytest.raises(
        InputError, match=r"expected a column of type Image, or called image or img, .*got text, label"
    ):
        open_data(str(tmp_path / "text"), None)
    rows().save_to_disk(tmp_path / "pets")
    for file in (tmp_path / "pets").glob("*.arrow"):
        file.write_bytes(b"no arrow")
    with pytest.raises(InputError, match="pets is not a whole data set"):
        open_data(str(tmp_path / "pets"), None)
    real = builtins.__import__

    def without(name: str, *rest: Any, **words: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'maxsup-analysis\[datasets\]'"):
        open_data(str(tmp_path / "pets"), None)
