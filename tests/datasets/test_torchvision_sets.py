"""Tests for torchvision's data sets by name."""

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.io
import torchvision
from PIL import Image

from maxsup_analysis.datasets import open_data
from maxsup_analysis.errors import InputError
from tests.datasets.photographs import pixels
from tests.datasets.same_source import assert_reads, by_workers, expected_rows, prints
from tests.datasets.test_arrays import idx

ARRAYS = [pixels(seed, 28, 28)[..., 0] for seed in range(4)]
LABELS = [9, 0, 5, 0]


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """The four files where torchvision's MNIST looks for them."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for stem, order in (("t10k", [0, 1, 2, 3]), ("train", [3])):
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx(np.stack(ARRAYS)[order]))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx(np.array(LABELS, np.uint8)[order]))
    return tmp_path


@pytest.mark.parametrize("split", ["test", "testing"])
def test_a_constructor_with_train(mnist: Path, split: str):
    data = open_data("torchvision:MNIST", split, mnist)
    assert (data.name, data.split, data.class_names[9]) == ("torchvision:MNIST", "test", "9 - nine")
    assert_reads(data, ARRAYS, LABELS)
    assert np.array_equal(by_workers(data), expected_rows(ARRAYS))
    assert len(open_data("torchvision:MNIST", "train", mnist)) == 1


def test_digests(mnist: Path):
    before = prints(open_data("torchvision:MNIST", "test", mnist))
    (mnist / "another set").touch()
    assert prints(open_data("torchvision:MNIST", "test", mnist)) == before
    os.utime(mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte", ns=(1, 1))
    touched = prints(open_data("torchvision:MNIST", "test", mnist))
    assert touched[0] == before[0] and touched[1] != before[1] and touched[2] == before[2]


def test_a_constructor_with_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = np.stack([pixels(seed, 32, 32) for seed in range(3)])
    content = {"X": rows.transpose(1, 2, 3, 0), "y": np.array([[1], [10], [3]])}
    scipy.io.savemat(tmp_path / "test_32x32.mat", content)
    monkeypatch.setattr("torchvision.datasets.svhn.check_integrity", lambda *_: True)
    # The digit 0 has the label 10 in the files.
    assert_reads(open_data("torchvision:SVHN", "test", tmp_path), list(rows), [1, 0, 3])
    with pytest.raises(
        InputError, match="torchvision:SVHN has the splits train, test, extra, none of them meant"
    ):
        open_data("torchvision:SVHN", "val", tmp_path)


class Splitless(torchvision.datasets.VisionDataset):
    """Images with several names a class, as in torchvision's ImageNet, whose validation split is `val`."""

    classes: ClassVar = [("tench", "Tinca tinca"), ("goldfish",)]

    def __init__(self, root: str, split: str = "train") -> None:
        if split not in ("train", "val"):
            raise ValueError(f"Unknown value {split!r} for argument split")
        super().__init__(root)
        self.targets = [1, 0]

    def __len__(self) -> int:
        return 2

    def __getitem__(self, number: int) -> Any:
        return Image.fromarray(pixels(number)), self.targets[number]


def test_a_split_that_is_called_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torchvision.datasets, "ImageNet", Splitless)
    data = open_data("torchvision:ImageNet", "validation", tmp_path)
    assert data.split == "val"
    assert data.class_names == ("tench, Tinca tinca", "goldfish")
    assert_reads(data, [pixels(0), pixels(1)], [1, 0])


def test_what_is_missing_is_named(tmp_path: Path):
    with pytest.raises(
        InputError, match="no data set of torchvision is called 'CIFAR11'; did you mean 'CIFAR10'"
    ):
        open_data("torchvision:CIFAR11", "test", tmp_path)
    with pytest.raises(InputError, match=r"torchvision:CIFAR10 cannot be opened in .*; put its files there"):
        open_data("torchvision:CIFAR10", "test", tmp_path)
    with pytest.raises(
        InputError, match="torchvision:CIFAR10 has the splits train, test; name one of them with --split"
    ):
        open_data("torchvision:CIFAR10", None, tmp_path)
    with pytest.raises(InputError, match="say where the files of torchvision:CIFAR10 are: --data-dir FOLDER"):
        open_data("torchvision:CIFAR10", "test")
