"""Tests for subsets by class: their counts against the published profile, and which samples they take."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maxsup_analysis.datasets.subsets import long_tail, some_per_class
from maxsup_analysis.errors import InputError


@pytest.mark.parametrize(
    ("ratio", "counts"),
    [
        # 5000 * ratio^(-k/9) of CIFAR-10-LT, as the long-tailed benchmarks print them.
        (100, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
        (50, [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100]),
        (1, [5000] * 10),
    ],
)
def test_the_profile_is_that_of_cifar_lt(ratio: float, counts: list[int]):
    labels = torch.arange(10).repeat(5000)
    assert torch.bincount(labels[long_tail(labels, 10, ratio=ratio, seed=0)]).tolist() == counts


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    ratio=st.floats(1, 200),
    wanted=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_counts_and_order_by_loops(sizes: list[int], ratio: float, wanted: int, seed: int):
    labels = torch.cat([torch.full((size,), k) for k, size in enumerate(sizes)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    some = some_per_class(labels, len(sizes), samples=wanted, seed=seed).tolist()
    assert some == sorted(set(some))
    for k, size in enumerate(sizes):
        assert sum(labels[i] == k for i in some) == min(size, wanted)
    tail = long_tail(labels, len(sizes), ratio=ratio, seed=seed).tolist()
    assert tail == sorted(set(tail))
    for k in range(len(sizes)):
        exact = min(sizes) * ratio ** (-k / max(len(sizes) - 1, 1))
        assert sum(labels[i] == k for i in tail) in (int(exact), int(exact * (1 + 1e-12)))


def test_a_longer_tail_is_part_of_a_shorter_one():
    labels = torch.arange(4).repeat(200)
    shorter, longer = (set(long_tail(labels, 4, ratio=ratio, seed=7).tolist()) for ratio in (10, 100))
    assert longer < shorter
    assert set(long_tail(labels, 4, ratio=10, seed=8).tolist()) != shorter


def test_what_cannot_be():
    labels = torch.tensor([0, 0, 2])
    with pytest.raises(InputError, match=r"expected an imbalance of 1 or more, got 0.5"):
        long_tail(labels, 3, ratio=0.5, seed=0)
    with pytest.raises(InputError, match="expected samples of every class for a long tail, class 1 has none"):
        long_tail(labels, 3, ratio=10, seed=0)
    with pytest.raises(InputError, match="expected 1 sample a class or more, got 0"):
        some_per_class(labels, 3, samples=0, seed=0)
