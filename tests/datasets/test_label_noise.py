"""Tests for wrong labels made on purpose: their share, where they go, the same for the same seed."""

import pytest
import torch
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
        ({"rate": 0.5, "kind": "pair", "classes": 1}, "expected 2 classes or more to confuse, got 1"),
    ],
)
def test_what_cannot_be(arguments: dict, sentence: str):
    with pytest.raises(InputError, match=sentence):
        noisy_labels(LABELS, **{"classes": K, "seed": 0, **arguments})
