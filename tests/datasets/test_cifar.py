"""Tests for CIFAR by name, on small files in the original format."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from maxsup_analysis.datasets import DATASETS, load, open_data
from maxsup_analysis.errors import InputError
from tests.datasets.same_source import assert_reads


def original(folder: Path, *, fine: bool) -> dict[str, np.ndarray]:
    """The files as their description has them: rows of 1,024 red, then green, then blue bytes; gives them N H W 3."""
    names = {"train": ["train"], "test": ["test"]} if fine else {"train": [], "test": ["test_batch"]}
    names["train"] = names["train"] or [f"data_batch_{number}" for number in range(1, 6)]
    folder.mkdir()
    images = {}
    for split, files in names.items():
        parts = []
        for seed, file in enumerate(files):
            rows = np.random.default_rng([seed, len(split)]).integers(0, 256, (2, 3072), np.uint8)
            labels = [(seed + 3) % 10, seed]
            content = (
                {"data": rows, "fine_labels": [10 * one for one in labels]}
                if fine
                else {"data": rows, "labels": labels}
            )
            (folder / file).write_bytes(pickle.dumps(content))
            parts.append(
                [np.stack([row[:1024], row[1024:2048], row[2048:]], 1).reshape(32, 32, 3) for row in rows]
            )
        images[split] = np.concatenate(parts)
    words = (
        {"fine_label_names": list(DATASETS["cifar100"].classes)}
        if fine
        else {"label_names": list(DATASETS["cifar10"].classes)}
    )
    (folder / ("meta" if fine else "batches.meta")).write_bytes(pickle.dumps(words))
    return images


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digests of the real files are not those of these."""
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, *_: Path(path).is_file())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("inside", [False, True])
def test_cifar10(tmp_path: Path, inside: bool):
    folder = tmp_path / "cifar-10-batches-py"
    images = original(folder, fine=False)
    where = folder if inside else tmp_path
    train, test = load("cifar10", "train", where), load("cifar10", "test", where)
    assert train.images.dtype == torch.uint8 and tuple(train.images.shape) == (10, 3, 32, 32)
    assert np.array_equal(train.images.permute(0, 2, 3, 1), images["train"])
    assert train.labels.tolist() == [3, 0, 4, 1, 5, 2, 6, 3, 7, 4]
    assert_reads(test, list(images["test"]), [3, 0])
    assert (test.name, test.split, test.class_names[3]) == ("cifar10", "test", "cat")


@pytest.mark.usefixtures("unchecked")
def test_cifar100(tmp_path: Path):
    images = original(tmp_path / "cifar-100-python", fine=True)
    test = open_data("cifar100", "test", tmp_path)
    assert_reads(test, list(images["test"]), [30, 0])
    assert (len(test.class_names), test.class_names[30], len(load("cifar100", "train", tmp_path))) == (
        100,
        "dolphin",
        2,
    )


def test_files_that_are_not_the_real_ones_are_never_unpickled(tmp_path: Path):
    original(tmp_path / "cifar-10-batches-py", fine=False)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(
        InputError,
        match=r"expected cifar-10-batches-py with the files of CIFAR-10 for Python in .*missing or changed",
    ):
        load("cifar10", "test", tmp_path)
    assert not SPRUNG


SPRUNG: list[int] = []


class _Trap:
    def __reduce__(self) -> tuple:
        return SPRUNG.append, (1,)


def test_missing_files_name_the_flag(tmp_path: Path):
    with pytest.raises(
        InputError, match=r"expected cifar-100-python .*name the folder that has it with --data-dir"
    ):
        load("cifar100", "train", tmp_path)
    with pytest.raises(InputError, match="expected a split of cifar10: train or test, got 'val'"):
        load("cifar10", "val", tmp_path)


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def offline(*arguments: object, **options: object):
        raise RuntimeError("Error downloading cifar-10-python.tar.gz")

    monkeypatch.setattr("maxsup_analysis.datasets.cifar.CACHE", tmp_path)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", offline)
    with pytest.raises(
        InputError, match=r"CIFAR-10 is neither in .* nor could it be downloaded \(Error .*--data-dir"
    ):
        load("cifar10", "test")
