"""Tests for wrong labels made on purpose: their share, where they go, the same for the same seed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from maxsup_analysis.datasets.label_noise import noisy_labels
from maxsup_analysis.errors import InputError

N, K = 20_000, 5
LABELS = torch.arange(N) % K


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_the_share_of_wrong_labels(kind: str, rate: float):
    wrong = int((noisy_labels(LABELS, K, rate=rate, kind=kind, seed=0) != LABELS).sum())
    assert stats.binomtest(wrong, N, rate).pvalue > 1e-4


def test_symmetric_noise_goes_to_every_other_class_alike():
    noisy = noisy_labels(LABELS, K, rate=1.0, kind="symmetric", seed=1)
    for k in range(K):
        counts = torch.bincount(noisy[k == LABELS], minlength=K).tolist()
        assert counts.pop(k) == 0
        assert stats.chisquare(counts).pvalue > 1e-4


def test_pair_noise_goes_to_the_next_class():
    noisy = noisy_labels(LABELS, K, rate=0.5, kind="pair", seed=2)
    for before, after in zip(LABELS.tolist(), noisy.tolist(), strict=True):
        assert after in (before, (before + 1) % K)


def test_seeds():
    once, again, other = (noisy_labels(LABELS, K, rate=0.3, kind="symmetric", seed=s) for s in (3, 3, 4))
    assert torch.equal(once, again) and not torch.equal(once, other)
    state = torch.get_rng_state()
    noisy_labels(LABELS, K, rate=0.3, kind="pair", seed=3)
    assert torch.equal(torch.get_rng_state(), state)


@given(
    samples=st.integers(0, 60),
    classes=st.integers(2, 7),
    rates=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    kind=st.sampled_from(["symmetric", "pair"]),
    seed=st.integers(0, 99),
)
def test_more_noise_adds_to_less(samples: int, classes: int, rates: tuple, kind: str, seed: int):
    labels = torch.arange(samples) % classes
    low, high = (noisy_labels(labels, classes, rate=rate, kind=kind, seed=seed) for rate in sorted(rates))
    for clean, one, other in zip(labels.tolist(), low.tolist(), high.tolist(), strict=True):
        assert one in (clean, other)


def test_wrong_labels_are_independent_of_each_other():
    """Neighbours are both wrong as often as chance has it, and the count of a class is not fixed."""
    wrong = noisy_labels(LABELS, K, rate=0.5, kind="symmetric", seed=5) != LABELS
    both = int((wrong[0::2] & wrong[1::2]).sum())
    assert stats.binomtest(both, N // 2, 0.25).pvalue > 1e-4
    counts = {int(wrong[k == LABELS].sum()) for k in range(K)}
    assert len(counts) > 1


def test_the_labels_given_stay_as_they_are():
    labels = LABELS.clone()
    noisy_labels(labels, K, rate=1.0, kind="pair", seed=0)
    assert torch.equal(labels, LABELS)


def test_no_noise_and_no_samples():
    assert torch.equal(noisy_labels(LABELS, K, rate=0.0, kind="pair", seed=0), LABELS)
    nobody = torch.zeros(0, dtype=torch.int64)
    assert len(noisy_labels(nobody, K, rate=0.5, kind="symmetric", seed=0)) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"rate": 1.5, "kind": "pair"},
            "expected noise symmetric or pair of a rate from 0 to 1, got 'pair' of 1.5",
        ),
        ({"rate": 0.5, "kind": "pear"}, "expected noise symmetric or pair .*got 'pear'"),
        ({"rate": float("nan"), "kind": "pair"}, "of a rate from 0 to 1, got 'pair' of nan"),
        ({"rate": 0.5, "kind": "pair", "classes": 4}, "expected labels from 0 to 3, got 4"),
        ({"rate": 0.5, "kind": "pair", "classes": 1}, "expected 2 classes or more to confuse, got 1"),
    ],
)
def test_what_cannot_be(arguments: dict, sentence: str):
    with pytest.raises(InputError, match=sentence):
        noisy_labels(LABELS, **{"classes": K, "seed": 0, **arguments})
