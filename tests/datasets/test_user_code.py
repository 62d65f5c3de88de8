"""Tests for data sets that the user's own code makes."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from maxsup_analysis.datasets import open_data
from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Preprocessing
from tests.datasets.photographs import SMALL, pixels
from tests.datasets.same_source import assert_reads, by_workers, expected_rows, prints

ARRAYS = [pixels(seed) for seed in range(3)]
LABELS = [1, 0, 1]
CODE = """
import numpy as np, torch
from PIL import Image
from tests.datasets.photographs import pixels

FORMS = {
    "pil": Image.fromarray,
    "array": lambda array: array,
    "bytes": lambda array: torch.from_numpy(array).permute(2, 0, 1),
    "floats": lambda array: torch.from_numpy(array).permute(2, 0, 1) / 255,
    "normalised": lambda array: torch.from_numpy(array).permute(2, 0, 1) / 25 - 3,
    "text": lambda array: "no image",
    "broken": lambda array: 1 / 0,
}

class Pets(torch.utils.data.Dataset):
    def __init__(self, form, labels=(1, 0, 1)):
        self.form, self.kinds = FORMS[form], labels
    def __len__(self):
        return 3
    def __getitem__(self, number):
        return self.form(pixels(number)), self.kinds[number]

def make(split, data_dir=None):
    return Pets(split)

def listed(split):
    pets = Pets(split)
    pets.targets, pets.classes = torch.tensor([0, 2, 1]), ["ant", "bee", "cow"]
    return pets

def named():
    pets = Pets("pil")
    pets.fingerprint = "version 7"
    return pets

def greedy(root):
    return None

def nothing():
    return None

def failing():
    raise OSError("disk on fire")

def unlabelled():
    return [pixels(0)]
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "my_pets.py").write_text(CODE)
    return tmp_path / "my_pets.py"


@pytest.mark.parametrize("form", ["pil", "array", "bytes"])
def test_images_in_several_forms(code: Path, form: str):
    data = open_data(f"{code}:make", form)
    assert (data.split, data.class_names) == (form, ("0", "1"))
    assert_reads(data, ARRAYS, LABELS)
    assert np.array_equal(by_workers(data), expected_rows(ARRAYS))


def test_values_from_0_to_1_are_taken_as_they_are(code: Path):
    data = open_data(f"{code}:make", "floats")
    found = data.reader(Preprocessing((3, 12, 16), (0.5,) * 3, (1.0,) * 3)).fetch([2, 0])
    assert found.images.dtype == torch.float32
    assert np.array_equal(found.images, (np.stack(ARRAYS)[[2, 0]] / np.float32(255)).transpose(0, 3, 1, 2))
    (unreadable,) = data.reader(SMALL).fetch([1]).unreadable
    assert unreadable.reason == "values of 3 x 12 x 16 from 0 to 1, the model takes 3 x 8 x 8"


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("normalised", "values from -3 to .*, expected 0 to 1"),
        ("text", "str, expected a PIL image"),
    ],
)
def test_what_is_no_image(code: Path, form: str, reason: str):
    found = open_data(f"{code}:make", form).reader(SMALL).fetch([0, 1])
    assert not len(found.ids) and [one.name for one in found.unreadable] == ["image 0", "image 1"]
    assert re.search(reason, found.unreadable[0].reason)


def test_listed_labels_and_classes(code: Path):
    data = open_data(f"{code}:listed", "pil")
    assert data.labels.tolist() == [0, 2, 1] and data.class_names == ("ant", "bee", "cow")
    # Labels that are listed are not looked for in items, which may be broken.
    broken = open_data(f"{code}:listed", "broken")
    assert broken.reader(SMALL).fetch([0]).unreadable[0].reason == "ZeroDivisionError: division by zero"


def test_a_module_by_name(code: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(code.parent))
    monkeypatch.delitem(sys.modules, "my_pets", raising=False)
    assert_reads(open_data("my_pets:make", "pil"), ARRAYS, LABELS)
    monkeypatch.delitem(sys.modules, "my_pets", raising=False)


def test_digests(code: Path):
    before = prints(open_data(f"{code}:make", "pil"))
    assert prints(open_data(f"{code}:make", "pil")) == before
    code.write_text(CODE.replace("(1, 0, 1)", "(1, 0, 0)"))
    relabelled = prints(open_data(f"{code}:make", "pil"))
    assert not set(relabelled) & set(before)
    code.write_text(CODE.replace("pixels(number)", "pixels(number + 1)"))
    assert not set(prints(open_data(f"{code}:make", "pil"))) & {*before, *relabelled}


def test_a_fingerprint_of_its_own_is_its_state(code: Path):
    before = prints(open_data(f"{code}:named", None))
    code.write_text(CODE + "\n# Another version of the code.\n")
    assert prints(open_data(f"{code}:named", None)) == before
    code.write_text(CODE.replace("version 7", "version 8"))
    assert prints(open_data(f"{code}:named", None))[1] != before[1]


@pytest.mark.parametrize(
    ("function", "split", "message"),
    [
        ("make", None, r"my_pets\.py:make takes split, which is not given .*; give --split"),
        ("greedy", "test", r"takes root, which is not given .*; give that a default value"),
        ("nothing", None, r"expected .*:nothing to give items by number .*, got NoneType without any"),
        (
            "failing",
            None,
            r"my_pets\.py:failing failed with OSError: disk on fire; call it in Python by itself first",
        ),
        (
            "unlabelled",
            None,
            r"expected \(image, label\) as item 0 of .*:unlabelled, got .*; give it a label",
        ),
        ("maek", "pil", "did you mean 'make'"),
        ("make", "broken", r"expected \(image, label\) as item 0 .*ZeroDivisionError"),
    ],
)
def test_what_does_not_fit(code: Path, function: str, split: str | None, message: str):
    with pytest.raises(InputError, match=message):
        open_data(f"{code}:{function}", split)
