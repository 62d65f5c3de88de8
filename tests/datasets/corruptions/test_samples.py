"""Tests for samples that are corrupted as they are read: order, batch, worker and subset change nothing."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maxsup_analysis.datasets import (
    CORRUPTIONS,
    CorruptedSamples,
    Samples,
    corrupted,
    load,
    open_data,
    subset,
)
from maxsup_analysis.datasets.corruptions import corruption_in
from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import FeatureStore
from maxsup_analysis.features import Extraction, default_store, extract_features
from maxsup_analysis.loading import Loader
from maxsup_analysis.preprocessing import Preprocessing
from maxsup_analysis.training import TrainingPlan, train
from tests.datasets.photographs import SMALL, class_folders
from tests.datasets.same_source import prints

DIGITS = load("digits", "test")
AS_THEY_ARE = Preprocessing((1, 8, 8), (0.5,), (1.0,))


def read(samples: Samples, ids: Sequence[int], how: Preprocessing = AS_THEY_ARE) -> torch.Tensor:
    return samples.reader(how).fetch(ids).images


@given(
    kind=st.sampled_from(["gaussian_noise", "snow", "glass_blur", "elastic_transform"]),
    order=st.permutations(range(8)),
    cut=st.integers(1, 7),
)
def test_order_and_batch_change_nothing(kind: str, order: list[int], cut: int):
    noisy = corrupted(DIGITS, kind, 3)
    rows = read(noisy, range(8))
    parts = torch.cat([read(noisy, order[:cut]), read(noisy, order[cut:])])
    assert torch.equal(parts, rows[order])


@given(ids=st.lists(st.integers(0, 599), min_size=1, max_size=5), seed=st.integers(0, 3))
def test_a_subset_of_corrupted_is_a_corrupted_subset(ids: list[int], seed: int):
    chosen = torch.tensor(ids)
    one = subset(corrupted(DIGITS, "gaussian_noise", 4, seed), chosen)
    other = corrupted(subset(DIGITS, chosen), "gaussian_noise", 4, seed)
    everything = range(len(ids))
    assert torch.equal(read(one, everything), read(other, everything)) and prints(one) == prints(other)
    assert torch.equal(read(one, everything), read(corrupted(DIGITS, "gaussian_noise", 4, seed), ids))
    assert [one.called(i) for i in everything] == [f"image {number}" for number in ids]


def test_what_is_done_is_what_the_table_says():
    for images in (DIGITS.images, (DIGITS.images * 255).round().to(torch.uint8)):
        clean = replace(DIGITS, images=images)
        found = read(corrupted(clean, "motion_blur", 2, seed=9), [17])[0]
        values = images[17].permute(1, 2, 0).numpy().astype(np.float64)
        picture = values / 255 if images.dtype == torch.uint8 else values
        expected = np.rint(CORRUPTIONS["motion_blur"](picture, 2, seed=9, number=17) * 255)
        scale = 1 if images.dtype == torch.uint8 else 255
        assert found.dtype == images.dtype
        assert np.allclose(found.permute(1, 2, 0).numpy().astype(np.float64) * scale, expected, atol=1e-4)


def test_photographs_are_corrupted_at_the_size_of_the_model(tmp_path: Path):
    clean = open_data(str(class_folders(tmp_path, {"a": 2, "b": 3})), None)
    noisy = corrupted(clean, "contrast", 5)
    assert (noisy.name, noisy.split, noisy.class_names) == (
        clean.name,
        f"{clean.split}+contrast:5",
        ("a", "b"),
    )
    for before, after in zip(read(clean, range(5), SMALL), read(noisy, range(5), SMALL), strict=True):
        values = before.double()
        mean = values.mean((1, 2), keepdim=True)
        assert after.dtype == torch.uint8
        assert (after - (mean + 0.15 * (values - mean))).abs().max() <= 0.5 + 1e-9


def test_images_that_cannot_be_read_are_passed_on(tmp_path: Path):
    folder = class_folders(tmp_path, {"a": 3})
    (folder / "a" / "1.png").write_bytes(b"")
    reader = corrupted(open_data(str(folder), None), "fog", 1).reader(SMALL)
    found = reader.fetch([2, 1, 0])
    assert found.ids.tolist() == [2, 0] and [one.id for one in found.unreadable] == [1]
    assert torch.equal(found.images[1], reader.fetch([0]).images[0])
    assert len(reader.fetch([1]).images) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_read_the_same(workers: int):
    noisy = corrupted(DIGITS, "impulse_noise", 5)
    reader = pickle.loads(pickle.dumps(noisy.reader(AS_THEY_ARE)))
    parts = [list(range(start, start + 10)) for start in range(0, 60, 10)]
    found = torch.cat([fetched.images.clone() for fetched in Loader(reader, workers).batches(parts)])
    assert torch.equal(found, read(noisy, range(60)))


def test_digests_tell_corruptions_apart():
    several = [
        DIGITS, corrupted(DIGITS, "fog", 1), corrupted(DIGITS, "fog", 2), corrupted(DIGITS, "snow", 1),
        corrupted(DIGITS, "fog", 1, seed=1), corrupted(load("digits", "train"), "fog", 1),
    ]  # fmt: skip
    for which in range(3):
        assert len({prints(one)[which] for one in several}) == len(several)
    again = corrupted(load("digits", "test"), "fog", 1)
    assert prints(again) == prints(several[1])


def test_classes_are_renamed():
    turned = corrupted(DIGITS, "fog", 1).with_classes(tuple("jihgfedcba"), range(9, -1, -1))
    assert turned.labels.tolist() == [9 - one for one in DIGITS.labels.tolist()]
    assert turned.class_names[0] == "j" and turned.split == "test+fog:1" and len(turned) == 600
    assert turned.numbers.tolist() == list(range(600))


@pytest.mark.parametrize(
    ("said", "split", "damage"),
    [
        ("test+fog:3", "test", "fog:3"), ("+fog:3", None, "fog:3"), ("val+pixelate:5:12", "val", "pixelate:5:12"),
        ("train+test", "train+test", None), ("train+extra", "train+extra", None), ("", "", None), (None, None, None),
        ("a+b+snow:1", "a+b", "snow:1"),
    ],
)  # fmt: skip
def test_a_split_says_what_is_done(said: str | None, split: str | None, damage: str | None):
    found = corruption_in(said)
    assert (found[0], found[1] and str(found[1])) == (split, damage)


def test_data_by_name(tmp_path: Path):
    noisy = open_data("digits", "test+gaussian_noise:2")
    assert isinstance(noisy, CorruptedSamples)
    assert prints(noisy) == prints(corrupted(DIGITS, "gaussian_noise", 2))
    folder = class_folders(tmp_path, {"a": 2})
    assert open_data(str(folder), "+snow:4:7").split.endswith("+snow:4:7")
    names = {
        default_store(Path("ce.pt"), Extraction(split=split), split).name
        for split in ("test", "test+fog:1", "test+fog:2")
    }
    assert names == {"ce.test.features", "ce.test-fog-1.features", "ce.test-fog-2.features"}


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        ("test+gausian_noise:3", "no corruption is called 'gausian_noise'; did you mean 'gaussian_noise'"),
        ("test+fog", r"expected a split as test\+KIND:SEVERITY or test\+KIND:SEVERITY:SEED, got 'test\+fog'"),
        ("test+fog:", r"expected a split as test\+KIND:SEVERITY .*got 'test\+fog:'"),
        ("test+fog:-1", r"expected a split as test\+KIND:SEVERITY .*got 'test\+fog:-1'"),
        ("test+fog:1:2:3", r"expected a split as test\+KIND:SEVERITY .*got"),
        ("test+fog:9", "expected a severity of fog from 1 to 5, got 9"),
        ("+fog:1", "digits has the splits train, test; name one of them with --split"),
        ("test+snow:1+fog:1", r"digits has the splits train, test, none of them meant by 'test\+snow:1'"),
    ],
)
def test_what_cannot_be_said(split: str, sentence: str):
    with pytest.raises(InputError, match=sentence):
        open_data("digits", split)


def test_what_cannot_be_corrupted():
    with pytest.raises(
        InputError, match=r"expected clean samples, got digits test\+fog:1; corrupt them once"
    ):
        corrupted(corrupted(DIGITS, "fog", 1), "snow", 1)
    with pytest.raises(InputError, match="expected a seed of fog from 0, got -1"):
        corrupted(DIGITS, "fog", 1, seed=-1)


def test_the_whole_way(tmp_path: Path):
    """Each corruption has a store of its own beside the checkpoint's, and what hurts the eye hurts the classifier."""
    train(TrainingPlan(data="digits", epochs=4), tmp_path / "ce.pt")
    stores = {
        split: extract_features(tmp_path / "ce.pt", None, Extraction(split=split, workers=workers))
        for split, workers in (("test", 0), ("test+gaussian_noise:1", 0), ("test+contrast:5", 2))
    }
    right = {split: _accuracy(store) for split, store in stores.items()}
    assert right["test"] > 0.8 and right["test+contrast:5"] < right["test"] - 0.05
    assert len({store.path for store in stores.values() if store}) == 3


def _accuracy(store: FeatureStore | None) -> float:
    assert store is not None
    right = [(rows.logits.argmax(1) == rows.labels).double() for rows in store if rows.logits is not None]
    return float(torch.cat(right).mean())
