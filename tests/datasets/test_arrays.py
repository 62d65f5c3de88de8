"""Tests for images in arrays."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from maxsup_analysis.datasets import LabelledImages, open_data
from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Preprocessing
from tests.datasets.photographs import SMALL, pixels
from tests.datasets.same_source import assert_reads, prints

ARRAYS = [pixels(seed) for seed in range(4)]
LABELS = [1, 0, 3, 1]
COLOURS = np.stack(ARRAYS)
GREY = COLOURS[..., 0]


def idx(array: np.ndarray) -> bytes:
    """The IDX format from its description."""
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def saved_npz(folder: Path, images: np.ndarray, labels: object = LABELS) -> str:
    np.savez(folder / "pets.npz", images=images, labels=labels)  # type: ignore[arg-type]
    return str(folder / "pets.npz")


@pytest.mark.parametrize(
    ("images", "arrays"),
    [(COLOURS, ARRAYS), (COLOURS.transpose(0, 3, 1, 2), ARRAYS), (GREY, GREY), (GREY[..., None], GREY)],
    ids=["channels last", "channels first", "grey", "one channel"],
)
def test_bytes_of_another_size_are_resized(tmp_path: Path, images: np.ndarray, arrays: list[np.ndarray]):
    data = open_data(saved_npz(tmp_path, images), None)
    assert (data.name, data.split, data.class_names) == ("pets", "all", ("0", "1", "2", "3"))
    assert_reads(data, arrays, LABELS)


def test_bytes_of_the_right_size_stay_as_they_are(tmp_path: Path):
    how = Preprocessing((3, 12, 16), (0.5,) * 3, (1.0,) * 3, resize=20)
    found = open_data(saved_npz(tmp_path, COLOURS), None).reader(how).fetch([2, 0])
    assert np.array_equal(found.images, COLOURS[[2, 0]].transpose(0, 3, 1, 2))


def test_values_from_0_to_1_are_not_resized(tmp_path: Path):
    name = saved_npz(tmp_path, COLOURS / 255.0)
    data = open_data(name, None)
    found = data.reader(Preprocessing((3, 12, 16), (0.5,) * 3, (1.0,) * 3)).fetch([1])
    assert np.array_equal(found.images[0], (ARRAYS[1] / 255).astype(np.float32).transpose(2, 0, 1))
    with pytest.raises(
        InputError, match="the model takes images of 3 x 8 x 8 but those of pets have 3 x 12 x 16"
    ):
        data.reader(SMALL)


@pytest.mark.parametrize("name", ["labels.npy", "pets_labels.npy", "pets-labels.npy"])
def test_npy_with_labels_beside_it_is_mapped(tmp_path: Path, name: str):
    np.save(tmp_path / "pets.npy", COLOURS)
    np.save(tmp_path / name, np.array(LABELS)[:, None])
    (tmp_path / "classes.txt").write_text("ant\nbee\ncow\ndog\neel\n")
    data = open_data(str(tmp_path / "pets.npy"), None)
    assert isinstance(data, LabelledImages) and data.class_names == ("ant", "bee", "cow", "dog", "eel")
    assert_reads(data, ARRAYS, LABELS)
    # The file is mapped, and nobody writes to it.
    data.images[0] = 0
    assert np.array_equal(np.load(tmp_path / "pets.npy", allow_pickle=False), COLOURS)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dot", ["-", "."])
def test_a_pair_of_idx_files(tmp_path: Path, zipped: bool, dot: str):
    for stem, order in (("train", [0, 1, 2, 3]), ("t10k", [3, 2])):
        files = {
            f"{stem}-images{dot}idx3-ubyte": GREY[order],
            f"{stem}-labels{dot}idx1-ubyte": np.array(LABELS, np.uint8)[order],
        }
        for name, array in files.items():
            content = idx(array)
            (tmp_path / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)
    assert_reads(open_data(str(tmp_path), "test"), list(GREY[[3, 2]]), [1, 3])
    assert_reads(open_data(str(tmp_path), "train"), list(GREY), LABELS)
    file = tmp_path / (f"t10k-images{dot}idx3-ubyte" + ".gz" * zipped)
    assert_reads(open_data(str(file), None), list(GREY[[3, 2]]), [1, 3])
    with pytest.raises(InputError, match="has the splits test, train; name one of them with --split"):
        open_data(str(tmp_path), None)
    (tmp_path / (f"t10k-labels{dot}idx1-ubyte" + ".gz" * zipped)).unlink()
    with pytest.raises(InputError, match=r"expected the labels of .* beside it"):
        open_data(str(file), None)


def test_the_digests_are_of_every_byte(tmp_path: Path):
    before = prints(open_data(saved_npz(tmp_path, COLOURS), None))
    other = COLOURS.copy()
    other[3, 11, 15, 2] ^= 1
    assert not set(before) & set(prints(open_data(saved_npz(tmp_path, other), None)))
    relabelled = prints(open_data(saved_npz(tmp_path, COLOURS, [0, 1, 2, 3]), None))
    assert relabelled[0] != before[0] and relabelled[1:] == before[1:]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            COLOURS.astype(np.int64),
            LABELS,
            r"expected images N x H x W, .* got int64 of shape \(4, 12, 16, 3\)",
        ),
        (COLOURS[:, 0, 0], LABELS, r"got uint8 of shape \(4, 3\)"),
        (np.zeros((4, 5, 6, 7), np.uint8), LABELS, r"got uint8 of shape \(4, 5, 6, 7\)"),
        (
            COLOURS - 128.0,
            LABELS,
            r"expected values from 0 to 1 in .*, got -128 to .*before they are normalised",
        ),
        (np.full((4, 8, 8), np.nan), LABELS, r"expected values from 0 to 1 in .*, got nan to nan"),
        (COLOURS, [0, 1], "expected as many labels as images in .*, got 2 and 4"),
        (COLOURS, [0.5, 1, 2, 3], "expected a whole number for each sample as labels in .*, got float64"),
        (COLOURS, [-1, 1, 2, 3], "expected labels from 0 in .*, got -1"),
    ],
)
def test_what_is_no_labelled_array(tmp_path: Path, images: np.ndarray, labels: object, message: str):
    with pytest.raises(InputError, match=message):
        open_data(saved_npz(tmp_path, images, labels), None)


def test_files_that_are_not_arrays(tmp_path: Path):
    np.savez(tmp_path / "x.npz", pixels=COLOURS)
    with pytest.raises(InputError, match=r"expected the arrays images and labels in .*x\.npz, got pixels"):
        open_data(str(tmp_path / "x.npz"), None)
    np.save(tmp_path / "x.npy", np.array([{}, None]))
    np.save(tmp_path / "labels.npy", LABELS)
    for name in ("x.npy", "broken.npz"):
        (tmp_path / "broken.npz").write_bytes(b"PK no zip")
        with pytest.raises(InputError, match=f"expected arrays of numbers in .*{name}, got something else"):
            open_data(str(tmp_path / name), None)
    (tmp_path / "labels.npy").unlink()
    with pytest.raises(
        InputError, match=r"beside it, as x_labels\.npy, x-labels\.npy, labels\.npy; found none"
    ):
        open_data(str(tmp_path / "x.npy"), None)


def test_a_resized_image_is_one_of_bytes(tmp_path: Path):
    assert open_data(saved_npz(tmp_path, COLOURS), None).reader(SMALL).fetch([0]).images.dtype == torch.uint8
