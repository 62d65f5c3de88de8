"""Tests for the metrics of logits: against the dumb reference, on numbers done by hand, and under what changes none."""

import math

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from maxsup_analysis.estimates import ALIKE, Estimate
from maxsup_analysis.measurements import measure_representation, represent_arrays
from maxsup_analysis.metrics.metric import METRICS
from tests.clouds import Cloud, cloud, simplex
from tests.oracle.logits import ORACLE

CLOUDS = {
    "balanced": cloud(4, 7, [12] * 4),
    "unbalanced": cloud(5, 9, [3, 14, 8, 2, 20], seed=1),
    "two classes": cloud(2, 5, [9, 13], seed=5),
    "more classes than dimensions": cloud(7, 3, [8] * 7, seed=3),
}
DATA = CLOUDS["balanced"]
SHIFT_FREE = [
    name for name in ORACLE if name not in ("near_zero_logits", "logit_norm", "feature_norm", "head_norm")
]
PROPORTIONAL = [
    name
    for name in ORACLE
    if name.startswith(("logit_regularisation", "logit_error", "logit_maxsup", "logit_margin", "logit_norm"))
]
# Five samples of three classes: a clear hit, a clear miss, a tie for the top, a tie at the bottom, all equal.
BY_HAND = np.array([[3.0, 1, -1], [0, 2, 1], [2, 2, -1], [5, 0, 0], [1, 1, 1]])
LABELS = np.array([0, 2, 1, 2, 2])


def measured(*arrays, names=tuple(ORACLE)) -> dict[str, Estimate]:
    found = measure_representation(represent_arrays(*arrays), metrics=[METRICS[name] for name in names])
    return dict(found)


def one(name: str, *arrays) -> Estimate:
    return measured(*arrays, names=(name,))[name]


def values(*arrays, names=tuple(ORACLE)) -> dict[str, float]:
    return {name: item.value for name, item in measured(*arrays, names=names).items()}


@pytest.mark.parametrize("kind", CLOUDS)
def test_every_metric_is_its_equation(kind: str):
    data: Cloud = CLOUDS[kind]
    for name, value in values(*data.arrays).items():
        assert value == pytest.approx(ORACLE[name](*data.arrays), rel=1e-12, abs=1e-15), name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("logit_maxsup_penalty", [2, 1, 1, 10 / 3, 0]),
        ("logit_margin", [2, -1, 0, -5, 0]),
        # The class with the lower number stands first among equals.
        ("true_class_rank", [1, 2, 2, 3, 3]),
        ("logit_norm", [math.sqrt(11), math.sqrt(5), 3, 5, math.sqrt(3)]),
        ("logit_norm_centred", [math.sqrt(8), math.sqrt(2), math.sqrt(6), math.sqrt(150) / 3, 0]),
        ("logit_regularisation", [2, 1 / 3, 1, 0, 0]),
        ("logit_error_amplification", [0, -1 / 3, 0, -5 / 3, 0]),
    ],
)
def test_numbers_done_by_hand(name: str, expected: list[float]):
    for z, y, value in zip(BY_HAND, LABELS, expected, strict=True):
        item = one(name, np.ones((1, 2)), np.array([y]), z[None])
        assert item.value == pytest.approx(value, abs=1e-15)
    assert one(name, np.ones((5, 2)), LABELS, BY_HAND).value == pytest.approx(np.mean(expected))


def test_the_margin_and_the_penalty_of_right_and_of_wrong_samples():
    found = values(
        np.ones((5, 2)), LABELS, BY_HAND, names=["logit_margin_correct", "logit_maxsup_penalty_wrong"]
    )
    assert found["logit_margin_correct"] == 2
    assert found["logit_maxsup_penalty_wrong"] == pytest.approx((1 + 1 + 10 / 3 + 0) / 4)


def test_on_right_samples_maxsup_penalises_what_label_smoothing_does():
    found = values(*DATA.arrays)
    assert found["logit_maxsup_penalty_correct"] == pytest.approx(
        found["logit_regularisation_correct"], rel=1e-12
    )
    # On wrong ones it penalises more, by what stands between the true and the largest logit.
    term = found["logit_regularisation_wrong"] + found["logit_error_amplification_wrong"]
    assert found["logit_maxsup_penalty_wrong"] == pytest.approx(term - found["logit_margin_wrong"], rel=1e-12)


def test_norms_and_cosines_are_textbook():
    features, weight = np.array([[3.0, 4], [0, 2], [1, 0]]), np.array([[1.0, 0], [0, 5]])
    found = values(features, np.array([0, 1, 1]), None, weight, None)
    assert found["feature_norm"] == (5 + 2 + 1) / 3
    assert found["head_norm"] == 3
    assert found["cosine_to_head"] == pytest.approx((3 / 5 + 1 + 0) / 3)


def test_at_collapse_samples_lie_on_their_row_of_the_head_and_rank_first():
    found = values(*simplex(4, 6, 5).arrays, names=["cosine_to_head", "true_class_rank"])
    assert found["cosine_to_head"] == pytest.approx(1, abs=1e-14) and found["true_class_rank"] == 1


def test_the_rank_agrees_with_top_k_accuracies():
    """The mean rank is the sum over k from 0 of the share of samples whose rank exceeds k."""
    data = CLOUDS["more classes than dimensions"]
    misses = [
        1 - top_k_accuracy_score(data.labels, data.logits, k=k, labels=np.arange(7)) for k in range(1, 7)
    ]
    assert one("true_class_rank", *data.arrays).value == pytest.approx(1 + sum(misses), rel=1e-12)


def test_a_constant_added_to_the_logits_of_a_sample_changes_only_what_says_so():
    shifts = np.random.default_rng(0).integers(-8, 8, size=(48, 1))
    logits = DATA.logits.round(1)
    before, after = (values(DATA.features, DATA.labels, z, DATA.weight) for z in (logits, logits + shifts))
    for name in SHIFT_FREE:
        assert after[name] == pytest.approx(before[name], rel=1e-12, abs=1e-12), name
    for name in ("near_zero_logits", "logit_norm"):
        assert after[name] != pytest.approx(before[name], rel=1e-3), name


def test_logits_twice_as_large():
    before = values(*DATA.arrays, names=PROPORTIONAL)
    after = values(DATA.features, DATA.labels, 2 * DATA.logits, names=PROPORTIONAL)
    assert after == pytest.approx({name: 2 * value for name, value in before.items()}, rel=1e-12)


def test_features_twice_as_long_and_rows_three_times():
    before = values(*DATA.arrays)
    after = values(2 * DATA.features, DATA.labels, DATA.logits, 3 * DATA.weight, DATA.bias)
    assert after["feature_norm"] == pytest.approx(2 * before["feature_norm"], rel=1e-12)
    assert after["head_norm"] == pytest.approx(3 * before["head_norm"], rel=1e-12)
    assert after["cosine_to_head"] == pytest.approx(before["cosine_to_head"], rel=1e-12)


def test_rotated_features_and_head():
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 7)))
    after = values(DATA.features @ rotation, DATA.labels, None, DATA.weight @ rotation, DATA.bias)
    assert after == pytest.approx(values(*DATA.arrays), rel=1e-10, abs=1e-12)


def test_classes_with_other_numbers_and_samples_in_another_order():
    rng = np.random.default_rng(0)
    names, order = rng.permutation(4), rng.permutation(48)
    places = np.argsort(names)
    renamed = values(
        DATA.features[order],
        names[DATA.labels[order]],
        DATA.logits[order][:, places],
        DATA.weight[places],
        DATA.bias[places],
    )
    assert renamed == pytest.approx(values(*DATA.arrays), rel=1e-12, abs=1e-15)


def test_the_standard_error_of_a_mean_is_the_stratified_one():
    norms = np.linalg.norm(DATA.features, axis=1)
    variance = sum(12 * norms[DATA.labels == k].var(ddof=1) for k in range(4)) / 48**2
    assert one("feature_norm", *DATA.arrays).standard_error == pytest.approx(math.sqrt(variance), rel=1e-10)
    assert one("head_norm", *DATA.arrays).standard_error == 0


def test_the_standard_error_of_the_cosine_leaves_zero_vectors_out():
    features = DATA.features.copy()
    features[:4] = 0
    kept = slice(4, None)
    rows = DATA.weight[DATA.labels[kept]]
    cosines = (features[kept] * rows).sum(1)
    cosines /= np.linalg.norm(features[kept], axis=1) * np.linalg.norm(rows, axis=1)
    item = one("cosine_to_head", features, *DATA.arrays[1:])
    assert item.value == pytest.approx(cosines.mean(), rel=1e-12)
    assert item.influence is not None and (item.influence[:4] == 0).all()
    assert item.influence[4:].numpy() == pytest.approx((cosines - cosines.mean()) / 44, rel=1e-9, abs=1e-14)


def test_one_class_has_no_margin():
    item = one("logit_margin", np.ones((3, 2)), np.zeros(3, int), np.ones((3, 1)))
    assert math.isnan(item.value) and item.reason == "there is one class, so no other logit to compare with"


def test_equal_logits_have_no_penalty_and_no_margin():
    found = values(np.ones((4, 2)), np.arange(4) % 3, np.full((4, 3), 7.0))
    assert found["logit_maxsup_penalty"] == found["logit_margin"] == found["logit_norm_centred"] == 0
    assert found["true_class_rank"] == (1 + 2 + 3 + 1) / 4


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1.1])
def test_the_average_of_equal_logits_is_rounded_but_no_penalty_is_negative(value: float):
    for K in (3, 6, 7, 10, 11, 13):
        found = values(np.ones((4, 2)), np.arange(4) % 3, np.full((4, K), value))
        for name in ("logit_maxsup_penalty", "logit_regularisation"):
            assert 0 <= found[name] < 1e-15, (name, K)


def test_zero_vectors_count_as_short_but_have_no_cosine():
    features = np.array([[0.0, 0], [3, 4], [0, 0], [6, 8]])
    found = values(features, np.array([0, 0, 1, 1]), None, np.array([[3.0, 4], [-3, -4]]), None)
    assert found["feature_norm"] == 15 / 4 and found["cosine_to_head"] == pytest.approx(0, abs=1e-15)
    item = one("cosine_to_head", np.zeros((4, 2)), np.array([0, 0, 1, 1]), None, np.eye(2), None)
    assert item.reason == "all features are zero vectors, which have no direction"


def test_a_row_of_the_head_that_is_zero_has_no_direction():
    weight = np.array([[3.0, 4], [0, 0], [0, 0]])
    labels = np.array([0, 0, 1, 0])
    item = one("cosine_to_head", np.ones((4, 2)), labels, None, weight, None)
    assert (
        math.isnan(item.value) and item.reason == "the head's row of class 1 is zero, which has no direction"
    )
    # No sample is of class 2, nor now of class 1.
    alike = one("cosine_to_head", np.ones((4, 2)), np.zeros(4, int), None, weight, None)
    assert alike.value == pytest.approx(7 / 5 / 2**0.5) and alike.reason == ALIKE


def test_without_a_head_there_is_a_reason():
    for name in ("cosine_to_head", "head_norm"):
        item = one(name, np.ones((4, 2)), np.arange(4) % 2, np.eye(4)[:, :2])
        assert item.reason == "there is no head (weight and bias of the last layer)"


def test_without_wrong_samples_there_is_nothing_to_say_of_them():
    item = one("logit_margin_wrong", np.ones((4, 2)), np.arange(4) % 2, np.eye(2)[np.arange(4) % 2])
    assert math.isnan(item.value) and item.reason == "there are no wrongly classified samples"
