"""Tests for subsets by class: their counts against the published profile, and which samples they take."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

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
    wanted=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_counts_and_order_by_loops(sizes: list[int], wanted: int, seed: int):
    labels = torch.cat([torch.full((size,), k) for k, size in enumerate(sizes)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    some = some_per_class(labels, len(sizes), samples=wanted, seed=seed).tolist()
    assert some == sorted(set(some))
    for k, size in enumerate(sizes):
        assert sum(labels[i] == k for i in some) == min(size, wanted)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    ratio=st.floats(1, 200),
    seed=st.integers(0, 99),
)
def test_the_profile_by_loops(sizes: list[int], ratio: float, seed: int):
    labels = torch.cat([torch.full((size,), k) for k, size in enumerate(sizes)])
    exact = [min(sizes) * ratio ** (-k / max(len(sizes) - 1, 1)) for k in range(len(sizes))]
    if exact[-1] < 0.999:
        with pytest.raises(InputError, match="leaves nothing of"):
            long_tail(labels, len(sizes), ratio=ratio, seed=seed)
        return
    tail = long_tail(labels, len(sizes), ratio=ratio, seed=seed).tolist()
    assert tail == sorted(set(tail))
    for k, count in enumerate(exact):
        assert sum(labels[i] == k for i in tail) in (int(count), int(count * (1 + 1e-12)))


@given(order=st.permutations(range(3)), counts=st.lists(st.integers(1, 9), min_size=2, max_size=2))
def test_the_draw_of_a_class_is_its_own(order: list[int], counts: list[int]):
    """Neither the other classes nor how many are asked for change which samples come first."""
    labels = torch.tensor(order).repeat(9)
    fewer, more = (set(some_per_class(labels, 3, samples=count, seed=1).tolist()) for count in sorted(counts))
    assert fewer <= more
    alone = torch.where(labels == 1, 1, 2)
    both = some_per_class(labels, 3, samples=2, seed=1), some_per_class(alone, 3, samples=2, seed=1)
    ones = [{i for i in ids.tolist() if labels[i] == 1} for ids in both]
    assert ones[0] == ones[1]


def test_every_sample_is_as_likely():
    labels = torch.zeros(10, dtype=torch.int64)
    counts = torch.zeros(10)
    for seed in range(500):
        counts[some_per_class(labels, 1, samples=3, seed=seed)] += 1
    # Without replacement the counts vary less than a multinomial, so the test is on the safe side.
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


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
    with pytest.raises(
        InputError, match="an imbalance of 10 leaves nothing of 2 samples for class 1; expected 2 or less"
    ):
        long_tail(torch.tensor([0, 0, 1, 1]), 2, ratio=10, seed=0)
    with pytest.raises(InputError, match="expected an imbalance of 1 or more, got inf"):
        long_tail(labels, 3, ratio=float("inf"), seed=0)


def test_one_class_keeps_all():
    assert long_tail(torch.zeros(7, dtype=torch.int64), 1, ratio=100, seed=0).tolist() == list(range(7))
