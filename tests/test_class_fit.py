"""Tests for the warning of classes in another order: perfect models in each wrong order, and models that are none."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from maxsup_analysis.class_fit import Confusions, best_order

NUMBERS = [str(number) for number in range(20)]
PETS = [
    "Abyssinian",
    "american_bulldog",
    "beagle",
    "Bengal",
    "Birman",
    "boxer",
    "Egyptian_Mau",
    "pug",
    "Sphynx",
]


def confusions(labels: np.ndarray, predictions: np.ndarray) -> Confusions:
    found = Confusions()
    for part in np.array_split(np.arange(len(labels)), 3):
        found.add(torch.from_numpy(labels[part]), torch.from_numpy(predictions[part]))
    return found


@pytest.mark.parametrize("names", [NUMBERS, [str(k) for k in range(1000)], ["b", "A", "C", "d"]])
def test_a_perfect_model_in_the_other_order_of_names(names: Sequence[str]):
    """Labels number the names as text, the model numbers them as timm does."""
    text = sorted(names)
    natural = sorted(names, key=lambda name: int(name) if name.isdigit() else name.lower())  # type: ignore[arg-type,return-value]
    labels = np.arange(len(names)).repeat(2)
    predictions = np.array([natural.index(text[label]) for label in labels])
    told = confusions(labels, predictions).better_order(text)
    assert (
        told is not None and told.endswith("use --class-order natural") and "accuracy would be 1.0000" in told
    )
    told = confusions(predictions, labels).better_order(natural)
    assert told is not None and told.endswith("use --class-order text")


def test_two_classes_that_are_exchanged():
    labels = np.arange(2).repeat(20)
    told = confusions(labels, 1 - labels).better_order(["cat", "dog"])
    assert told is not None and "accuracy 1.0000, not 0.0000; class 'cat' would be output 1" in told
    assert "--class-map" in told


@pytest.mark.parametrize("K", [2, 10, 300])
def test_any_other_order(K: int):
    rng = np.random.default_rng(0)
    labels = np.arange(K).repeat(10)
    order = (np.arange(K) + 1) % K
    wrong = rng.random(len(labels)) < 0.1
    predictions = np.where(wrong, rng.integers(0, K, len(labels)), order[labels])
    told = confusions(labels, predictions).better_order([f"c{k:03}" for k in range(K)])
    assert told is not None and "--class-map" in told
    found, accuracy = best_order(labels, predictions, K)
    assert np.array_equal(found, order) and accuracy == (predictions == order[labels]).mean()


@pytest.mark.parametrize("K", [2, 10, 100, 1000])
@pytest.mark.parametrize("each", [1, 3, 30])
@pytest.mark.parametrize("right", [0.0, 0.3, 0.9])
def test_nothing_is_told_of_a_model_that_guesses(K: int, each: int, right: float):
    if K * each < 20:
        return
    rng = np.random.default_rng(1)
    labels = np.arange(K).repeat(each)
    guesses = rng.integers(0, K, len(labels))
    predictions = np.where(rng.random(len(labels)) < right, labels, guesses)
    assert confusions(labels, predictions).better_order([f"c{k:04}" for k in range(K)]) is None


def test_nothing_is_told_of_nothing():
    assert Confusions().better_order(["a", "b"]) is None
