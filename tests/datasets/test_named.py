"""Tests for data sets by name: fixed splits, the IDX format, and files that are not what they should be."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from maxsup_analysis.datasets import DEBIAN_FASHION_MNIST, load, open_data, read_idx
from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Preprocessing


def idx(array: np.ndarray) -> bytes:
    """The IDX format from its description: two zeros, type 8 (bytes), dimensions, big-endian sizes, data."""
    return (
        bytes((0, 0, 8, array.ndim))
        + np.array(array.shape, ">u4").tobytes()
        + array.astype(np.uint8).tobytes()
    )


def fashion_mnist(folder: Path, *, zipped: bool) -> np.ndarray:
    images = np.arange(3 * 28 * 28).reshape(3, 28, 28) % 256
    for name, array in (("t10k-images-idx3-ubyte", images), ("t10k-labels-idx1-ubyte", np.array([9, 0, 5]))):
        path = folder / (name + ".gz" * zipped)
        path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    return images


def test_digits_are_split_once_and_for_all():
    from sklearn.datasets import load_digits

    train, test = load("digits", "train"), load("digits", "test")
    images, digits = load_digits(return_X_y=True)
    assert (len(train.labels), len(test.labels)) == (1197, 600)
    assert np.allclose(np.concatenate([train.images, test.images])[:, 0] * 16, np.reshape(images, (-1, 8, 8)))
    assert np.array_equal(np.concatenate([train.labels, test.labels]), digits)


@pytest.mark.parametrize("zipped", [True, False])
def test_idx_files_zipped_or_not(tmp_path: Path, zipped: bool):
    images = fashion_mnist(tmp_path, zipped=zipped)
    data = load("fashion-mnist", "test", tmp_path)
    assert data.labels.tolist() == [9, 0, 5] and data.class_names[9] == "Ankle boot"
    assert np.allclose(data.images[:, 0].numpy() * 255, images)


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x00\x08", idx(np.zeros((2, 2, 2))), idx(np.zeros(3))[:-1], b"\x1f\x8bx"]
)
def test_a_file_that_is_not_idx_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(InputError, match="labels"):
        read_idx(tmp_path / "labels", dimensions=1)


def test_a_missing_file_names_the_flag(tmp_path: Path):
    with pytest.raises(InputError, match=r"expected t10k-images-idx3-ubyte or .*\.gz in .*--data-dir"):
        load("fashion-mnist", "test", tmp_path)


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def offline(*arguments: object, **options: object):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr("maxsup_analysis.datasets.named.DEBIAN_FASHION_MNIST", tmp_path / "nowhere")
    monkeypatch.setattr("torchvision.datasets.FashionMNIST", offline)
    with pytest.raises(InputError, match=r"neither on this machine nor could it be downloaded.*--data-dir"):
        load("fashion-mnist", "test")


def test_subsets_and_fingerprints():
    data = load("digits", "test")
    assert data.first(None) is data and len(data.first(7).labels) == 7
    assert data.fingerprint == load("digits", "test").fingerprint != data.first(599).fingerprint
    with pytest.raises(InputError, match="expected 1 to 600 samples"):
        data.first(601)


def test_a_reader_gives_rows_as_they_are():
    data = load("digits", "test")
    found = data.reader(Preprocessing((1, 8, 8), (0.5,), (2.0,))).fetch([5, 0, 5])
    assert found.ids.tolist() == [5, 0, 5] and not found.unreadable and not found.rotated
    assert torch.equal(found.images, data.images[[5, 0, 5]])
    assert data.called(17) == "image 17" and len(data) == 600


def test_images_of_another_size_are_refused_word_for_word():
    with pytest.raises(InputError) as refusal:
        load("digits", "test").reader(Preprocessing((1, 28, 28), (0.5,), (2.0,)))
    assert str(refusal.value) == (
        "the model takes images of 1 x 28 x 28 but those of digits have 1 x 8 x 8; pass --data for the data it was "
        "trained on, or say with --image-size, --mean and --std what it takes"
    )


def test_the_state_is_of_the_images_only():
    data = load("digits", "test")
    renamed = data.with_classes(tuple("abcdefghij"), list(range(9, -1, -1)))
    assert renamed.labels.tolist() == [9 - label for label in data.labels.tolist()]
    assert renamed.state(hash_contents=False) == data.state(hash_contents=True)
    assert renamed.fingerprint != data.fingerprint


def test_a_split_has_to_be_said():
    with pytest.raises(InputError, match="digits has the splits train, test; name one of them with --split"):
        open_data("digits", None)
    with pytest.raises(InputError, match="did you mean 'digits'"):
        open_data("digit", "test")
    with pytest.raises(
        InputError, match="expected a data set or a folder of images, found nothing at no/where"
    ):
        open_data("no/where", "test")


@pytest.mark.skipif(not DEBIAN_FASHION_MNIST.is_dir(), reason="Fashion-MNIST is not installed")
def test_fashion_mnist_the_whole_way(tmp_path: Path):
    from maxsup_analysis.features import Extraction, extract_features
    from maxsup_analysis.pipeline import compare_named, open_named
    from maxsup_analysis.training import TrainingPlan, train

    for loss in ("ce", "ls"):
        plan = TrainingPlan(data="fashion-mnist", loss=loss, epochs=2, train_samples=2000)
        train(plan, tmp_path / f"{loss}.pt")
        store = extract_features(tmp_path / f"{loss}.pt", None, Extraction())
        assert store is not None and store.size == 10_000
    compared = compare_named(open_named([str(tmp_path)]))
    assert compared.levels["accuracy"]["CE"].value > 0.5
    assert compared.difference("nll", "LS").verdict == "higher"
