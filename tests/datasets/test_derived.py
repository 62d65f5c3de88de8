"""Tests for samples made of others: what they read, what they are called, and that every digest tells them apart."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maxsup_analysis.datasets import LabelledImages, Samples, load, open_data, relabelled, subset
from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Preprocessing
from tests.datasets.photographs import SMALL, pixels
from tests.datasets.same_source import assert_reads, by_workers, expected_rows, prints

DIGITS = load("digits", "test")
AS_THEY_ARE = Preprocessing((1, 8, 8), (0.5,), (1.0,))
PHOTOGRAPHS = [pixels(seed, 40, 40) for seed in range(6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, one in enumerate(PHOTOGRAPHS):
        place = tmp_path / "ab"[number % 2]
        place.mkdir(exist_ok=True)
        Image.fromarray(one).save(place / f"{number}.png")
    return tmp_path


# In the order of the folder: class a, then class b.
IN_ORDER = [0, 2, 4, 1, 3, 5]


def test_a_subset_of_images_that_are_decoded(folder: Path):
    whole = open_data(str(folder), None)
    some = subset(whole, torch.tensor([4, 0, 3]))
    assert_reads(some, [PHOTOGRAPHS[IN_ORDER[i]] for i in (4, 0, 3)], [1, 0, 1])
    assert np.array_equal(by_workers(some), expected_rows([PHOTOGRAPHS[IN_ORDER[i]] for i in (4, 0, 3)]))
    assert [some.called(i) for i in range(3)] == [whole.called(i) for i in (4, 0, 3)]
    assert some.numbers.tolist() == [4, 0, 3] and whole.numbers.tolist() == list(range(6))
    assert (some.name, some.split, some.class_names) == (whole.name, whole.split, whole.class_names)


@given(data=st.data())
def test_a_subset_of_images_in_memory(data: st.DataObject):
    ids = data.draw(st.lists(st.integers(0, 599), min_size=1, max_size=6))
    some = subset(DIGITS, torch.tensor(ids))
    assert isinstance(some, LabelledImages) and len(some) == len(ids)
    read = some.reader(AS_THEY_ARE).fetch(range(len(ids))).images
    for position, number in enumerate(ids):
        assert torch.equal(read[position], DIGITS.images[number])
        assert some.labels[position] == DIGITS.labels[number]
        assert some.called(position) == f"image {number}"
    again = data.draw(st.lists(st.integers(0, len(ids) - 1), min_size=1, max_size=6))
    twice, once = subset(some, torch.tensor(again)), subset(DIGITS, torch.tensor(ids)[again])
    assert twice.numbers.tolist() == once.numbers.tolist() and prints(twice) == prints(once)


def test_the_first_of_a_subset_keep_their_numbers():
    some = subset(DIGITS, torch.tensor([9, 8, 7]))
    assert isinstance(some, LabelledImages)
    assert some.first(2).numbers.tolist() == [9, 8] and some.first(None) is some


def test_a_subset_of_a_subset_of_decoded_images(folder: Path):
    whole = open_data(str(folder), None)
    twice = subset(subset(whole, torch.tensor([5, 3, 1])), torch.tensor([2, 0]))
    assert prints(twice) == prints(subset(whole, torch.tensor([1, 5])))
    assert twice.numbers.tolist() == [1, 5] and twice.called(0) == whole.called(1)


def of_every_kind(folder: Path) -> list[Samples]:
    bytes_of_digits = replace(DIGITS, images=(DIGITS.images * 255).to(torch.uint8))
    return [DIGITS, bytes_of_digits, open_data(str(folder), None), open_data("digits", "test+fog:2")]


def test_digests_tell_subsets_apart(folder: Path):
    for whole in of_every_kind(folder):
        choices = [[0, 1, 2], [0, 1], [1, 0], [0, 2]]
        found = [prints(whole)] + [prints(subset(whole, torch.tensor(ids))) for ids in choices]
        for which in range(3):
            assert len({one[which] for one in found}) == len(found)
        assert prints(subset(whole, torch.tensor([0, 1]))) == found[2]


def test_digests_tell_labels_apart(folder: Path):
    for whole in of_every_kind(folder):
        other = whole.labels.clone()
        other[1] = 1 - other[1].clamp(max=1)
        renamed = relabelled(whole, other)
        assert torch.equal(renamed.labels, other) and renamed.numbers.tolist() == whole.numbers.tolist()
        assert prints(renamed)[0] != prints(whole)[0] and prints(renamed)[1:] == prints(whole)[1:]
        assert prints(relabelled(renamed, whole.labels)) == prints(whole)
        assert torch.equal(subset(renamed, torch.tensor([1])).labels, other[1:2])


def test_an_image_that_is_touched_is_noticed(folder: Path):
    some = subset(open_data(str(folder), None), torch.tensor([0, 1]))
    before = prints(some)
    os.utime(folder / "a" / "0.png", ns=(1, 1))
    after = prints(subset(open_data(str(folder), None), torch.tensor([0, 1])))
    assert after[0] == before[0] and after[1] != before[1] and after[2] == before[2]


def test_classes_and_unreadable_images(folder: Path):
    (folder / "a" / "0.png").write_bytes(b"no image")
    some = subset(open_data(str(folder), None), torch.tensor([3, 0]))
    turned = some.with_classes(("b", "a"), [1, 0])
    assert turned.labels.tolist() == [0, 1] and turned.numbers.tolist() == [3, 0]
    found = turned.reader(SMALL).fetch([0, 1])
    assert found.ids.tolist() == [0]
    assert found.unreadable[0].id == 1 and found.unreadable[0].name.endswith("0.png")


def test_what_cannot_be():
    with pytest.raises(InputError, match="expected at least one sample of digits test, got none"):
        subset(DIGITS, torch.zeros(0, dtype=torch.int64))
    with pytest.raises(InputError, match="expected ids from 0 to 599 of digits test, got 600"):
        subset(DIGITS, torch.tensor([0, 600]))
    with pytest.raises(InputError, match="expected ids from 0 to 599 of digits test, got -1"):
        subset(DIGITS, torch.tensor([-1]))
    with pytest.raises(InputError, match="expected 600 labels for digits test, got 599"):
        relabelled(DIGITS, DIGITS.labels[1:])
    with pytest.raises(InputError, match="expected labels from 0 to 9 for digits test, got 10"):
        relabelled(DIGITS, DIGITS.labels + 1)
