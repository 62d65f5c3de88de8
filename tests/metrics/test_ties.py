"""Tests for ties: numbers that rounding alone tells apart rank, and fall into bins, as equal ones do."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch

from maxsup_analysis import Measurements, measure
from maxsup_analysis.breakdown import by_decile, nearest_classes
from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.metrics.binned import bin_of
from maxsup_analysis.projection import closest_classes
from maxsup_analysis.ties import first_largest, tied_groups
from tests.clouds import cloud, simplex

SCORES = ("msp", "max_logit", "normalised_logit")
LOGITS = {
    "of faults": [3.0, 1.0, 0.7, 0.1],
    "far from zero": [1e6 + 3.0, 1e6 + 1.0, 1e6 + 0.7, 1e6 + 0.1],
    "small": [3e-9, 1e-9, 7e-10, 1e-10],
    "large": [3e5, 1e5, 7e4, 1e4],
    "one-hot": [1.0, 0.0, 0.0, 0.0],
    "thirds": [1 / 3, 1 / 7, 1 / 11, -1 / 13],
}


def tied(logits: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples whose logits are the same numbers in every order; a third are wrong, the first ones."""
    z = np.array(sorted(set(itertools.permutations(logits))) * 3)
    labels = z.argmax(1)
    wrong = np.arange(len(z)) < len(z) // 3
    labels[wrong] = (labels[wrong] + 1) % 4
    return np.random.default_rng(0).normal(size=(len(z), 3)), labels, z


@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS)
@pytest.mark.parametrize("score", SCORES)
def test_samples_with_the_same_logits_in_another_order_tie(logits: list[float], score: str):
    measured = measure(*tied(logits), groups=("selection",))
    third = 1 / 3
    if not np.isnan(measured[f"aurc_{score}"].value):
        error = third if score != "normalised_logit" else measured[f"aurc_{score}"].value
        # Of equal scores every order is as likely: the risk is the error rate at every coverage.
        assert measured[f"aurc_{score}"].value == pytest.approx(error, rel=1e-12)
        assert measured[f"augrc_{score}"].value == pytest.approx(error / 2, rel=1e-12)
    assert score == "normalised_logit" or not np.isnan(measured[f"aurc_{score}"].value)


def test_the_judged_half_ties_for_the_normalised_logit_too():
    features, labels, z = tied(LOGITS["of faults"])
    found = {}
    for seed in range(4):
        order = np.random.default_rng(seed).permuted(np.tile(np.arange(4), (len(z), 1)), axis=1)
        # Every sample with its classes in another order, its label among them.
        own = np.take_along_axis(z, order, 1)
        mine = (order == labels[:, None]).argmax(1)
        found[seed] = measure(features, mine, own, groups=("selection", "adaptive_ece", "ece", "brier"))
    for name, item in found[0].items():
        for other in found.values():
            assert other[name].value == pytest.approx(item.value, rel=1e-12), name


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_order_of_the_classes_changes_nothing(kind: type):
    rng = np.random.default_rng(5)
    data = cloud(7, 6, [20] * 7)
    # Many ties: logits of few levels.
    z = (rng.integers(0, 4, size=data.logits.shape) / 3 + 2 * np.eye(7)[data.labels] / 3).astype(kind)
    z += np.arange(7).astype(kind) * kind(1e-3)
    order = rng.permutation(7)
    groups = ("selection", "calibration", "logits")
    one = measure(data.features, data.labels, z, groups=groups)
    other = measure(data.features, order.argsort()[data.labels], z[:, order], groups=groups)
    for name, item in one.items():
        assert other[name].value == pytest.approx(item.value, rel=1e-11, abs=1e-14, nan_ok=True), name


@pytest.mark.parametrize("K", range(2, 31))
def test_a_probability_on_an_edge_is_in_the_bin_below(K: int):
    for n in range(1, K):
        if Fraction(n, K) * 15 != int(Fraction(n, K) * 15):
            continue
        # n/K as a softmax of logits whose exponentials are rounded, in several orders.
        z = torch.tensor([n, K - n], dtype=torch.float64).log() + torch.linspace(0, 1, 50).double()[:, None]
        for probabilities in (
            z.softmax(1)[:, 0],
            1 - z.softmax(1)[:, 1],
            1 / (1 + (z[:, 1] - z[:, 0]).exp()),
        ):
            assert bin_of(probabilities.contiguous()).eq(n * 15 // K - 1).all(), (n, K)
    just_above = torch.tensor([n / 15 + 1e-12 for n in range(1, 15)], dtype=torch.float64)
    assert bin_of(just_above).tolist() == list(range(1, 15))


def with_confidence(z: np.ndarray, labels: np.ndarray) -> Measurements:
    return measure(np.random.default_rng(0).normal(size=(len(z), 2)), labels, z, groups=("calibration",))


def test_calibration_of_samples_on_an_edge_counts_them_together():
    # Confidence 2/5 = 6/15, from logits that are shifted and permuted; all in one bin, half of them right.
    rng = np.random.default_rng(1)
    z = np.log(np.tile([0.4, 0.3, 0.2, 0.1], (200, 1))) + 5 * rng.normal(size=(200, 1))
    z = rng.permuted(z, axis=1)
    labels = np.where(np.arange(200) % 2, z.argmax(1), z.argmin(1))
    found = with_confidence(z, labels)
    assert found["ece"].value == pytest.approx(0.1, rel=1e-12)
    # The bins of equal mass share out one group: each has the same share of right ones.
    assert found["adaptive_ece"].value == pytest.approx(0.1, rel=1e-12)


def test_deciles_of_equal_confidence_are_in_the_order_of_the_rows():
    features, _, z = tied(LOGITS["of faults"])
    right = np.arange(len(z)) < 36
    labels = np.where(right, z.argmax(1), z.argmin(1))
    frame = by_decile(represent_arrays(features, labels, z)).to_frame()
    accuracies = frame.xs("all", level="samples")["accuracy"].tolist()
    assert accuracies == sorted(accuracies, reverse=True) and set(accuracies[:4]) == {1.0}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_of_means_that_are_equally_near_the_first_counts(dtype: type):
    """The origin is as near to every axis, which rounding does not decide."""
    labels = np.arange(30) % 6
    features = 3 * np.eye(6, 11)[labels]
    features[:6] = 0
    logits = np.eye(6)[labels]
    logits[:6] = np.eye(6)[0]
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(11, 11)))
    features = (features if dtype == np.float32 else features @ turn).astype(dtype)
    found = measure(features, labels, logits, groups=("nc4_agreement",))
    assert found["nc4_agreement"].value == 1


@pytest.mark.parametrize("offset", [0.0, 1.0 / 3])
def test_of_equal_logits_that_the_head_makes_the_first_counts(offset: float):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=40)
    # Rows whose products with constant features have the same sum, in another order.
    weight = np.stack([rng.permutation(rows) for _ in range(5)])
    features = np.full((20, 40), 1 / 7 + offset) * rng.uniform(1, 2, size=(20, 1))
    if rows.sum() < 0:
        weight = -weight
    found = measure(features, np.arange(20) % 5, None, weight, groups=("accuracy", "true_class_rank"))
    assert found["accuracy"].value == 4 / 20
    # Of tied classes the lower number stands first: ranks 1 to 5.
    assert found["true_class_rank"].value == 3


def test_classes_of_a_simplex_are_all_equally_close():
    corners = simplex(7, 13, 1, seed=4).features
    places = nearest_classes(torch.from_numpy(corners), torch.zeros(7).double()).places
    assert places.tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert closest_classes(represent_arrays(corners, np.arange(7))) == (0, 1, 2)


def test_what_differs_by_more_than_rounding_is_not_tied():
    values = torch.tensor([1.0, 1 + 1e-14, 2.0, torch.inf, torch.inf], dtype=torch.float64)
    assert tied_groups(values)[1].tolist() == [1, 1, 1, 2]
    assert tied_groups(values[:2], floor=10.0)[1].tolist() == [2]
    assert tied_groups(torch.tensor([1e-20, 2e-20]).double())[1].tolist() == [1, 1]
    assert first_largest(torch.tensor([[0.0, 1.0]]), torch.tensor([0.5])).tolist() == [1]
