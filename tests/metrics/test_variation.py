"""Tests for variation: the dumb reference, closed forms, laws, and answers on the edge."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f_oneway

from maxsup_analysis import measure as measure_groups
from maxsup_analysis import pairs
from maxsup_analysis.metrics import METRICS
from tests.clouds import Cloud, as_if_many_samples, cloud, simplex
from tests.oracle.variation import ORACLE

measure = partial(measure_groups, groups=("variation",))
CLOUDS = {
    "balanced": cloud(4, 7, [12] * 4),
    "unbalanced": cloud(5, 9, [3, 14, 8, 2, 20], seed=1),
    "a class of one and one of none": cloud(5, 6, [7, 1, 9, 0, 8], seed=2),
    "two classes": cloud(2, 5, [9, 13], seed=5),
    "more classes than dimensions": cloud(7, 3, [8] * 7, seed=3),
}
COSINE = [name for name in ORACLE if name.startswith(("d_", "class_separation"))]
RATIOS = ["cdnv", "cdnv_unbiased"]
UNBIASED = [name for name in ORACLE if name.endswith("_unbiased")]


def test_the_reference_knows_the_family():
    assert set(ORACLE) == {name for name, metric in METRICS.items() if metric.family == "variation"}


@pytest.mark.parametrize("kind", CLOUDS)
def test_every_metric_is_its_equation(kind: str):
    data = CLOUDS[kind]
    measured = data.measured("variation")
    for name in ORACLE:
        expected = ORACLE[name](*data.arrays)
        assert measured[name].value == pytest.approx(expected, rel=1e-10, abs=1e-14, nan_ok=True), name


@pytest.mark.parametrize(("K", "D"), [(2, 2), (5, 9)])
def test_every_metric_is_right_at_exact_collapse(K: int, D: int):
    measured = simplex(K, D, 6).measured("variation")
    for name in ORACLE:
        collapsed = METRICS[name].collapsed
        assert collapsed is None or measured[name].value == pytest.approx(collapsed, abs=1e-12), name
    # Corners 3 (e_k - 1/K) have squared length 9 (1 - 1/K).
    for name in ("between_variance", "between_variance_unbiased"):
        assert measured[name].value == pytest.approx(9 * (1 - 1 / K), rel=1e-12)


def test_four_points_on_a_circle():
    """Two classes at right angles, of two samples each, 60 degrees apart."""
    degrees = np.radians([-30, 30, 60, 120])
    measured = measure(np.stack([np.cos(degrees), np.sin(degrees)], 1), np.array([0, 0, 1, 1]))
    assert measured["d_within"].value == pytest.approx(1 / 4)
    assert measured["d_within_unbiased"].value == pytest.approx(1 / 2)
    # Between the classes: 90, 150, 30 and 90 degrees, whose cosines cancel.
    assert measured["d_total"].value == pytest.approx((2 / 4 + 2 * 1) / 4)
    assert measured["d_total_unbiased"].value == pytest.approx((2 / 2 + 2 * 1) / 4)
    assert measured["class_separation_unbiased"].value == pytest.approx(1 - (1 / 2) / (3 / 4))
    # Class means are sqrt(3)/2 from the origin, at right angles; samples are 1/2 from their mean.
    assert measured["cdnv"].value == pytest.approx((1 / 4 + 1 / 4) / (2 * 3 / 2))
    assert measured["cdnv_unbiased"].value == pytest.approx((1 / 2 + 1 / 2) / (2 * (3 / 2 - 1 / 2)))
    assert measured["within_variance"].value == pytest.approx(1 / 4)
    assert measured["within_variance_unbiased"].value == pytest.approx(1 / 2)
    assert measured["between_variance"].value == pytest.approx(3 / 8)
    assert measured["between_variance_unbiased"].value == pytest.approx(3 / 8 - 1 / 8)


def test_variances_make_the_f_statistic_of_the_analysis_of_variance():
    rng = np.random.default_rng(0)
    features, labels = (
        rng.normal(size=(60, 1)) + np.repeat([0.0, 0.3, 0.5], 20)[:, None],
        np.repeat(range(3), 20),
    )
    measured = measure(features, labels)
    ratio = 20 * 3 / 2 * measured["between_variance"].value / measured["within_variance_unbiased"].value
    expected = f_oneway(*(features[labels == k, 0] for k in range(3))).statistic
    assert ratio == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "name", ["d_within", "d_total", "class_separation", "between_variance", "within_variance"]
)
def test_what_is_called_unbiased_is_right_on_average(name: str):
    """5 samples a class against 1000, over 200 draws: the plain form is off, the unbiased one is not."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 4))

    def draw(n: int):
        labels = np.repeat(np.arange(3), n)
        features = centres[labels] + rng.normal(size=(3 * n, 4))
        return measure(features, labels, groups=(name, f"{name}_unbiased"))

    truth = draw(20_000)[name].value
    draws = [draw(5) for _ in range(200)]
    means, errors = (
        {kind: f([one[kind].value for one in draws]) for kind in (name, f"{name}_unbiased")}
        for f in (np.mean, lambda values: np.std(values) / math.sqrt(200))
    )
    assert abs(means[name] - truth) > 5 * errors[name]
    unbiased = f"{name}_unbiased"
    # A ratio of unbiased numbers keeps a bias of the order of its variance.
    slack = 0.02 if name == "class_separation" else 0
    assert abs(means[unbiased] - truth) < 4 * errors[unbiased] + slack


def turned(data: Cloud, seed: int) -> tuple[np.ndarray, ...]:
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(data.features.shape[1],) * 2))
    return data.features @ rotation, data.labels, data.logits, data.weight @ rotation, data.bias


def relabelled(data: Cloud, seed: int) -> tuple[np.ndarray, ...]:
    order = np.random.default_rng(seed).permutation(len(data.weight))
    return (
        data.features, np.argsort(order)[data.labels], data.logits[:, order], data.weight[order], data.bias[order],
    )  # fmt: skip


def shuffled(data: Cloud, seed: int) -> tuple[np.ndarray, ...]:
    order = np.random.default_rng(seed).permutation(len(data.labels))
    return data.features[order], data.labels[order], data.logits[order], data.weight, data.bias


@settings(max_examples=8)
@given(
    kind=st.sampled_from(list(CLOUDS)),
    change=st.sampled_from([turned, relabelled, shuffled]),
    seed=st.integers(0, 99),
)
def test_rotations_names_and_order_do_not_matter(kind: str, change, seed: int):
    before, after = CLOUDS[kind].measured("variation"), measure(*change(CLOUDS[kind], seed))
    for name in ORACLE:
        assert after[name].value == pytest.approx(before[name].value, rel=1e-9, abs=1e-13, nan_ok=True), name


@settings(max_examples=8)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_scale_and_shift(scale: float, shift: float):
    data = CLOUDS["balanced"]
    before = data.measured("variation")
    scaled, shifted = (
        measure(features, data.labels, data.logits)
        for features in (data.features * scale, data.features + shift)
    )
    for name in COSINE + RATIOS:
        assert scaled[name].value == pytest.approx(before[name].value, rel=1e-9), name
    for name in (
        "within_variance",
        "within_variance_unbiased",
        "between_variance",
        "between_variance_unbiased",
    ):
        assert scaled[name].value == pytest.approx(scale**2 * before[name].value, rel=1e-9), name
        assert shifted[name].value == pytest.approx(before[name].value, rel=1e-9), name
    for name in RATIOS:
        assert shifted[name].value == pytest.approx(before[name].value, rel=1e-9), name


def test_many_tiles_of_pairs_give_the_same_numbers_and_errors(monkeypatch: pytest.MonkeyPatch):
    data = CLOUDS["more classes than dimensions"]
    before = data.measured("variation")
    monkeypatch.setattr(pairs, "ENTRIES", 10)
    after = data.measured("variation")
    for name in RATIOS:
        assert after[name].value == pytest.approx(before[name].value, rel=1e-13)
        assert after[name].standard_error == pytest.approx(before[name].standard_error, rel=1e-12)


def test_influences_are_derivatives():
    """One sample more, or fewer, of many that stand in the data 30 times."""
    data, m = CLOUDS["balanced"], 30
    chosen = np.repeat(np.arange(len(data.labels)), m)

    def of(rows: np.ndarray):
        features, labels, logits = (part[rows] for part in data.arrays[:3])
        return measure(features, labels, logits, data.weight, data.bias)

    with as_if_many_samples():
        measured = of(chosen)
    for sample in (0, 21):
        more, fewer = of(np.append(chosen, sample)), of(np.delete(chosen, sample * m))
        for name in ORACLE:
            influence = measured[name].influence
            assert influence is not None, name
            derivative = (more[name].value - fewer[name].value) / 2
            assert float(influence[sample * m]) == pytest.approx(derivative, rel=5e-3, abs=1e-8), name


def test_classes_of_one_sample_have_no_unbiased_variance():
    measured = measure(np.random.default_rng(0).normal(size=(4, 6)), np.arange(4))
    for name in UNBIASED:
        if not name.endswith(("correct", "wrong")):
            assert math.isnan(measured[name].value)
            assert measured[name].reason == "no class has two samples, so there is no pair to compare"
    assert measured["within_variance"].value == pytest.approx(0, abs=1e-28)
    assert measured["between_variance"].value > 0
    measured = measure(np.random.default_rng(0).normal(size=(5, 6)), np.array([0, 0, 1, 2, 3]))
    for name in ("class_separation_unbiased", "cdnv_unbiased", "between_variance_unbiased"):
        reason = "only one class has two samples or more, and it takes two to compare"
        assert measured[name].reason == reason, name
    assert measured["d_total_unbiased"].value == pytest.approx(measured["d_within_unbiased"].value)


def test_means_within_noise_have_no_unbiased_distance():
    features = np.array([[0.0, 1.0], [0.0, -1.0], [0.5, 1.0], [0.5, -1.0], [9.0, 0.0], [9.0, 0.1]])
    measured = measure(features, np.repeat([0, 1, 2], 2))
    assert measured["cdnv"].value > 0
    reason = "the means of classes 0 and 1 are no farther apart than their sampling noise"
    assert measured["cdnv_unbiased"].reason == reason
    # Classes that are closer than noise puts them have less than no variance between them.
    alone = measure(features[:4], np.repeat([0, 1], 2))
    assert alone["between_variance_unbiased"].value == pytest.approx(1 / 16 - 1 / 2)


def test_the_pair_that_coincides_is_named_among_classes_with_samples():
    features = np.array([[0.0, 1.0], [0.0, 2.0], [5.0, 1.0], [5.0, 2.0], [5.0, 1.0], [5.0, 2.0]])
    measured = measure(features, np.array([0, 0, 2, 2, 4, 4]), weight=np.ones((5, 2)), bias=np.zeros(5))
    assert measured["cdnv"].reason == "the means of classes 2 and 4 coincide"
    reason = "the means of classes 2 and 4 are no farther apart than their sampling noise"
    assert measured["cdnv_unbiased"].reason == reason


def test_one_class_and_one_direction():
    rng = np.random.default_rng(0)
    measured = measure(rng.normal(size=(9, 4)), np.zeros(9, int))
    for name in (
        "class_separation_unbiased",
        "cdnv_unbiased",
        "between_variance",
        "between_variance_unbiased",
    ):
        assert measured[name].reason == "only one class has samples, and it takes two to compare", name
    one = measure(np.outer(np.arange(1.0, 7.0), [2.0, 0.0, 0.0]), np.arange(6) % 2)
    for name in ("class_separation", "class_separation_unbiased"):
        assert one[name].reason == "all features point in one direction, so there is no distance to share out"


def test_subsets_without_samples_say_so():
    data = simplex(3, 4, 5)
    measured = data.measured("variation")
    assert measured["d_within_wrong"].reason == "there are no wrongly classified samples"
    assert measured["d_within_correct"].value == pytest.approx(0, abs=1e-12)
    assert METRICS["cdnv_wrong"].collapsed is None and METRICS["cdnv_correct"].collapsed == 0


def test_every_metric_is_float64_of_plain_torch_too():
    data = CLOUDS["balanced"]
    measured = measure(torch.from_numpy(data.features), torch.from_numpy(data.labels))
    assert measured["cdnv"].value == data.measured("variation")["cdnv"].value
