"""Tests for moments: they add, in any split and order, and lose nothing."""

from dataclasses import fields
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maxsup_analysis.estimates import estimate
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.moments import ClassMoments, ClusterMoments, summarize
from maxsup_analysis.representation import Head, RowBlocks, Rows, represent
from tests.clouds import cloud

DATA = cloud(4, 5, [13, 1, 9, 17], seed=3)
N = len(DATA.labels)
FEATURES, LABELS = torch.from_numpy(DATA.features), torch.from_numpy(DATA.labels)
HEAD = Head(torch.from_numpy(DATA.weight), torch.from_numpy(DATA.bias))
splits = st.tuples(st.permutations(range(N)), st.sets(st.integers(1, N - 1)))


def parts(order: list[int], cuts: set[int]) -> list[torch.Tensor]:
    edges = [0, *sorted(cuts), N]
    return [torch.tensor(order[start:stop]) for start, stop in pairwise(edges)]


def close(first: ClassMoments, second: ClassMoments, tolerance: float) -> None:
    for mine, theirs in ((first.features, second.features), (first.directions, second.directions)):
        assert torch.equal(mine.counts, theirs.counts)
        assert relative(mine.means + mine.residuals, theirs.means + theirs.residuals) <= tolerance
        assert relative(mine.spreads, theirs.spreads) <= tolerance
    assert relative(first.scatter, second.scatter) <= tolerance


def relative(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).norm() / second.norm())


@settings(max_examples=60, deadline=None)
@given(splits)
def test_any_split_and_order_gives_the_same_moments(split):
    whole = summarize(FEATURES, LABELS, classes=4)
    merged = reduce(add, [summarize(FEATURES[p], LABELS[p], classes=4) for p in parts(*split)])
    close(merged, whole, 1e-13)


@settings(max_examples=30, deadline=None)
@given(splits)
def test_any_split_and_order_gives_the_same_measurements(split):
    def measured(chosen: list[torch.Tensor]):
        rows = [Rows(p.numpy(), LABELS[p], FEATURES[p], HEAD.logits(FEATURES[p])) for p in chosen]
        names = tuple("abcd")
        blocks = RowBlocks(tuple(rows))
        return estimate(represent(blocks, class_names=names, head=HEAD), METRICS.values())

    whole, merged = measured([torch.arange(N)]), measured(parts(*split))
    for name, item in whole.items():
        assert merged[name].value == pytest.approx(item.value, rel=1e-12, abs=1e-15), name
        assert merged[name].standard_error == pytest.approx(
            item.standard_error, rel=1e-11, abs=1e-15, nan_ok=True
        )


@settings(max_examples=30, deadline=None)
@given(splits)
def test_a_common_offset_of_a_million_changes_nothing(split):
    # Multiples of 1/64 plus 2^20 are exact, so the shifted data hold the same deviations.
    grid = (FEATURES * 64).round() / 64
    plain = summarize(grid, LABELS, classes=4)
    shifted = reduce(add, [summarize(grid[p] + 2.0**20, LABELS[p], classes=4) for p in parts(*split)])
    assert relative(shifted.scatter, plain.scatter) <= 1e-12
    assert relative(shifted.features.spreads, plain.features.spreads) <= 1e-12
    assert relative(shifted.features.centred_means, plain.features.centred_means) <= 1e-12


def test_addition_commutes_and_associates():
    a, b, c = (summarize(FEATURES[part], LABELS[part], classes=4) for part in torch.arange(N).chunk(3))
    close(a + b, b + a, 1e-14)
    close((a + b) + c, a + (b + c), 1e-13)


def test_nothing_added_is_nothing_changed():
    whole = summarize(FEATURES, LABELS, classes=4)
    empty = summarize(FEATURES[:0], LABELS[:0], classes=4)
    for both in (whole + empty, empty + whole):
        for mine, theirs in ((both.features, whole.features), (both.directions, whole.directions)):
            assert all(
                torch.equal(getattr(mine, f.name), getattr(theirs, f.name)) for f in fields(ClusterMoments)
            )
        assert torch.equal(both.scatter, whole.scatter)


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e8])
@pytest.mark.parametrize("size", [1, 7, 256, 4000])
def test_streamed_scatter_against_long_double(offset: float, size: int):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4000, 3)) + offset
    exact = points.astype(np.longdouble)
    exact = exact - exact.mean(0)
    labels = torch.zeros(4000, dtype=torch.long)
    batches = torch.from_numpy(points).split(size)
    merged = reduce(add, [summarize(part, labels[: len(part)], classes=1) for part in batches])
    expected = (exact.T @ exact).astype(np.float64)
    assert np.abs(merged.scatter.numpy() - expected).max() <= 1e-13 * np.abs(expected).max()
