"""Tests for matching: the same few samples of every class, for every checkpoint and order of the rows."""

import numpy as np
import pytest
import torch

from maxsup_analysis import InputError
from maxsup_analysis.halves import is_held_out
from maxsup_analysis.matching import matched_per_class
from maxsup_analysis.measurements import measure_representation, represent_arrays
from maxsup_analysis.rows import all_rows
from tests.clouds import cloud

DATA = cloud(4, 6, [30, 7, 12, 0], seed=4)
IDS = np.arange(len(DATA.labels)) * 7


def chosen(order: np.ndarray, n: int) -> dict[int, set[int]]:
    """Label -> ids that are kept."""
    arrays = (DATA.features[order], DATA.labels[order], DATA.logits[order])
    made = matched_per_class(represent_arrays(*arrays, ids=IDS[order], class_names=tuple("abcd")), n)
    rows = all_rows(made.blocks)
    return {k: set(rows.ids[(rows.labels == k).numpy()].tolist()) for k in range(4)}


def test_each_class_keeps_so_many_or_all_it_has():
    kept = chosen(np.arange(len(IDS)), 10)
    assert [len(kept[k]) for k in range(4)] == [10, 7, 10, 0]


def test_the_order_of_the_rows_and_the_number_change_nothing_else():
    plain, shuffled = (
        chosen(np.arange(len(IDS)), 10),
        chosen(np.random.default_rng(0).permutation(len(IDS)), 10),
    )
    assert plain == shuffled
    fewer = chosen(np.arange(len(IDS)), 5)
    assert all(fewer[k] <= plain[k] for k in range(4))


def test_what_is_measured_is_what_the_kept_samples_say():
    representation = represent_arrays(*DATA.arrays, ids=IDS)
    made = matched_per_class(representation, 10)
    rows = all_rows(made.blocks)
    alone = represent_arrays(rows.features, rows.labels, rows.logits, DATA.weight, DATA.bias)
    mine, theirs = measure_representation(made), measure_representation(alone)
    for name, item in mine.items():
        assert item.value == pytest.approx(theirs[name].value, rel=1e-12, nan_ok=True), name
        assert item.standard_error == pytest.approx(theirs[name].standard_error, rel=1e-9, nan_ok=True), name
    assert torch.equal(made.means.features.counts, torch.tensor([10.0, 7, 10, 0], dtype=torch.float64))


def test_who_is_held_out_has_no_say_in_who_is_kept():
    labels = np.zeros(2000, int)
    made = matched_per_class(represent_arrays(np.ones((2000, 2)), labels), 200)
    # 200 of 2,000, half of which are held out: 100 with a standard deviation below 7.
    assert 65 < int(is_held_out(all_rows(made.blocks).ids).sum()) < 135


@pytest.mark.parametrize("n", [0, 31])
def test_a_number_that_no_class_has(n: int):
    with pytest.raises(InputError, match=f"expected --match-per-class from 1 to 30, .* got {n}"):
        matched_per_class(represent_arrays(*DATA.arrays), n)
