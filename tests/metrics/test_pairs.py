"""Tests for sums over pairs: against loops, in one tile and in many, with gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maxsup_analysis import pairs
from maxsup_analysis.pairs import Pairs, PairTile, mean_over_pairs, sum_over_pairs

ONE, MANY = 2**22, 8


def vectors(K: int = 9, D: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(K, D)))


def over_distance(tile: PairTile) -> torch.Tensor:
    return 1 / tile.squares


def by_loops(x: np.ndarray) -> float:
    return sum(1 / np.sum((x[i] - x[j]) ** 2) for i in range(len(x)) for j in range(i + 1, len(x)))


@pytest.mark.parametrize("entries", [ONE, 30, MANY, 1])
def test_the_sum_is_that_of_loops_whatever_the_tiles(entries: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pairs, "ENTRIES", entries)
    x = vectors().requires_grad_()
    total = sum_over_pairs(over_distance, Pairs(x))
    assert total.item() == pytest.approx(by_loops(x.detach().numpy()), rel=1e-12)
    (slope,) = torch.autograd.grad(total, x)
    step = torch.zeros_like(x)
    step[3, 1] = 1e-5
    moved = [by_loops((x.detach() + sign * step).numpy()) for sign in (1, -1)]
    assert slope[3, 1].item() == pytest.approx((moved[0] - moved[1]) / 2e-5, rel=1e-6)
    assert mean_over_pairs(over_distance, Pairs(x)).item() == pytest.approx(total.item() / 36, rel=1e-12)


@settings(max_examples=30)
@given(K=st.integers(2, 12), entries=st.integers(1, 60), seed=st.integers(0, 99))
def test_every_pair_is_in_one_tile(K: int, entries: int, seed: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "ENTRIES", entries)
        x = vectors(K, 3, seed)
        tiles = list(Pairs(x).tiles())
        assert sum(int(tile.distinct.sum()) for tile in tiles) == K * (K - 1) / 2
        assert all(tile.distinct.numel() <= entries for tile in tiles)
        products = [(float(x[i] @ x[j]), i, j) for i in range(K) for j in range(i + 1, K)]
        assert Pairs(x).largest_product() == max(products)[1:]


@pytest.mark.parametrize("entries", [ONE, MANY])
def test_numbers_of_vectors_have_gradients_too(entries: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pairs, "ENTRIES", entries)
    x, a = vectors(), vectors(9, 1)[:, 0].requires_grad_()
    total = sum_over_pairs(lambda tile, sums: sums * tile.products, Pairs(x), a)
    gram = x @ x.T
    expected = sum(float(gram[i, j] * (a[i] + a[j]).detach()) for i in range(9) for j in range(i + 1, 9))
    assert total.item() == pytest.approx(expected, rel=1e-12)
    (slope,) = torch.autograd.grad(3 * total, a)
    assert torch.allclose(slope, 3 * (gram.sum(1) - gram.diagonal()), rtol=1e-12)


@pytest.mark.parametrize("entries", [ONE, MANY])
def test_nearly_equal_vectors_have_an_exact_distance_and_gradient(
    entries: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pairs, "ENTRIES", entries)
    x = torch.zeros(6, 5, dtype=torch.float64)
    x[:, 0] = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    x[torch.arange(6), torch.tensor([1, 2, 3, 1, 2, 3])] = 2.0**-24
    x.requires_grad_()
    near = 2 * 2.0**-48
    total = sum_over_pairs(over_distance, Pairs(x))
    assert total.item() == pytest.approx(6 / near + 9 / 4, rel=1e-14)
    (slope,) = torch.autograd.grad(total, x)
    # d(1/s)/dx_01 = -2 (x_01 - x_j1) / s^2, for the two near vectors.
    assert slope[0, 1].item() == pytest.approx(-2 * 2 * 2.0**-24 / near**2, rel=1e-10)


def test_squares_of_a_tile():
    x = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 4.0 + 2.0**-30]], dtype=torch.float64)
    (tile,) = Pairs(x).tiles()
    assert tile.squares.tolist() == [[1, 25, 9 + (4 + 2.0**-30) ** 2], [1, 1, 2.0**-60], [1, 1, 1]]


def test_the_first_pair_is_named_as_a_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pairs, "ENTRIES", 14)
    x = vectors(7)
    x[6] = x[4]
    found = [tile.pair(tile.squares <= 0) for tile in Pairs(x).tiles()]
    assert [pair for pair in found if pair] == [(4, 6)]


def test_a_gradient_needs_no_more_than_a_tile(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pairs, "ENTRIES", 2**12)
    saved = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    x = vectors(256, 8).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        total = sum_over_pairs(over_distance, Pairs(x))
    assert max(saved) <= 2**12
    assert torch.autograd.grad(total, x)[0].isfinite().all()
