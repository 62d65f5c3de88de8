"""Tests for data on the edge: every degenerate case has a decided answer."""

import math

import numpy as np
import pytest

from maxsup_analysis import InputError, measure
from maxsup_analysis.errors import OUT_OF_RANGE
from maxsup_analysis.few_samples import singletons, two_alike
from maxsup_analysis.metrics import METRICS
from tests.clouds import as_if_many_samples, cloud
from tests.oracle import ORACLE

COSINE = ("d_within", "d_within_unbiased", "d_total", "class_separation")
PAIRED_CLASSES = (
    "class_separation", "cdnv", "nc1_pinv", "nc1_trace_ratio", "nc2_equinorm_means", "nc2_equiangular_means",
    "nc2_etf_means", "nc3_self_duality", "nc3_etf",
)  # fmt: skip


def agrees(measured, data) -> None:
    for name in METRICS:
        if not name.startswith("alpha_req"):
            expected = ORACLE[name](*data)
            assert measured[name].value == pytest.approx(expected, rel=1e-10, abs=1e-14, nan_ok=True), name


def test_a_class_without_samples_is_left_out_of_k():
    data = cloud(5, 9, [8, 0, 8, 8, 0])
    measured = data.measured()
    agrees(measured, data.arrays)
    assert any("classes without samples" in note and "1, 4" in note for note in measured.notes)


def test_a_class_with_one_sample_counts_and_leaves_the_error_unknown():
    data = cloud(4, 6, [8, 1, 8, 8])
    measured = data.measured()
    agrees(measured, data.arrays)
    for name in ("d_within", "nc1_pinv", "nc2_etf_means", "accuracy"):
        assert math.isnan(measured[name].standard_error) and measured[name].reason == singletons(1)
    # These do not depend on the class that has one sample.
    assert measured["d_within_unbiased"].standard_error > 0 and measured["nc2_etf_head"].standard_error == 0


def test_one_class_has_nothing_to_separate():
    rng = np.random.default_rng(0)
    measured = measure(rng.normal(size=(9, 4)), np.zeros(9, int))
    for name in PAIRED_CLASSES:
        assert math.isnan(measured[name].value) and measured[name].reason, name
    assert measured["d_within"].value == pytest.approx(measured["d_total"].value)


def test_only_classes_of_one_sample():
    rng = np.random.default_rng(0)
    measured = measure(rng.normal(size=(4, 6)), np.arange(4))
    for name in ("d_within", "nc1_trace_ratio", "cdnv"):
        assert measured[name].value == pytest.approx(0, abs=1e-30)
    assert measured["d_within_unbiased"].reason == "no class has two samples, so there is no pair to compare"
    assert measure(rng.normal(size=(1, 6)), np.zeros(1, int))["d_within"].value == 0


def test_class_means_that_coincide_have_no_ratio():
    half = np.random.default_rng(0).normal(size=(10, 4))
    measured = measure(np.concatenate([half, half]), np.repeat([0, 1], 10))
    for name in ("nc1_pinv", "nc1_trace_ratio", "nc2_etf_means"):
        assert measured[name].reason == "class means coincide, so there is nothing to separate"
    assert measured["cdnv"].reason == "the means of classes 0 and 1 coincide"
    assert measured["class_separation"].value == pytest.approx(0, abs=1e-15)


def test_linearly_dependent_means_have_a_value_but_no_error():
    features = np.repeat(np.arange(4.0)[:, None] * np.array([[1.0, 2.0, 0.5]]), 10, axis=0)
    features = features + 0.1 * np.random.default_rng(0).choice([-1.0, 1.0], size=features.shape)
    labels = np.repeat(np.arange(4), 10)
    for k in range(4):
        features[labels == k] += k * np.array([1.0, 2.0, 0.5]) - features[labels == k].mean(0)
    measured = measure(features, labels)
    assert measured["nc1_pinv"].value == pytest.approx(nc1_on_a_line(features, labels), rel=1e-10)
    assert "span 1 of 3 dimensions" in str(measured["nc1_pinv"].reason)


def nc1_on_a_line(features: np.ndarray, labels: np.ndarray) -> float:
    """Within variance over between variance along the one direction that the means differ in, over K."""
    along = features @ (np.array([1.0, 2.0, 0.5]) / np.sqrt(5.25))
    means = np.array([along[labels == k].mean() for k in range(4)])
    return np.mean((along - means[labels]) ** 2) / np.mean((means - means.mean()) ** 2) / 4


def test_zero_vectors_are_left_out_of_the_cosine_measures_and_counted():
    data = cloud(4, 6, [8] * 4)
    data.features[[0, 5]] = 0
    measured = data.measured()
    agrees(measured, data.arrays)
    assert any("zero vectors" in note and note.endswith(": 2") for note in measured.notes)
    nothing = measure(np.zeros((6, 3)), np.arange(6) % 2)
    assert all(nothing[name].reason for name in (*COSINE, "nc1_pinv"))


def test_a_common_offset_costs_no_digits():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 4
    centred = rng.integers(-64, 64, size=(120, 6)) / 16 + 4 * np.eye(4, 6)[labels]
    weight = rng.normal(size=(4, 6))
    with as_if_many_samples():
        near, far = (measure(centred + offset, labels, weight=weight) for offset in (0.0, 2.0**20))
    for name in (
        "cdnv",
        "nc1_pinv",
        "nc1_trace_ratio",
        "nc2_etf_means",
        "nc2_equinorm_means",
        "nc3_self_duality",
    ):
        assert far[name].value == pytest.approx(near[name].value, rel=1e-10)
        assert far[name].standard_error == pytest.approx(near[name].standard_error, rel=1e-8)
    units = (centred + 2.0**20).astype(np.longdouble)
    units /= np.sqrt((units**2).sum(1, keepdims=True))
    parts = [units[labels == k] for k in range(4)]
    expected = np.mean([((part - part.mean(0)) ** 2).sum(1).mean() for part in parts])
    assert far["d_within"].value == pytest.approx(float(expected), rel=1e-8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_name_the_sample(value: float):
    data = cloud(3, 4, [5] * 3)
    data.features[7, 2] = value
    with pytest.raises(InputError, match="expected finite features, got NaN or infinity for sample 7;"):
        data.measured()
    data = cloud(3, 4, [5] * 3)
    data.logits[3, 1] = value
    with pytest.raises(InputError, match="expected finite logits, got NaN or infinity for sample x3"):
        measure(*data.arrays, ids=np.array([f"x{i}" for i in range(15)]))


def test_what_overflows_is_undefined_and_what_need_not_is_right():
    data = cloud(3, 4, [6] * 3)
    plain, huge = data.measured(), measure(data.features * 2.0**1000, data.labels)
    for name in COSINE:
        assert huge[name].value == pytest.approx(plain[name].value, rel=1e-12)
    for name, item in huge.items():
        assert math.isfinite(item.value) or item.reason, name
    assert "float64" in str(huge["nc1_trace_ratio"].reason)
    tiny = measure(data.features * 2.0**-400, data.labels)
    assert tiny["class_separation"].value == pytest.approx(plain["class_separation"].value, rel=1e-12)


def test_certain_predictions_are_counted_in_the_calibration_error():
    logits = np.array([[1e3, 0.0], [1e3, 0.0], [0.0, 1e3], [0.0, 0.0]])
    measured = measure(np.eye(4), np.array([0, 1, 1, 0]), logits=logits)
    # Three samples of confidence 1, two of them right; one of confidence 1/2, right.
    assert measured["ece"].value == pytest.approx(3 / 4 * (1 - 2 / 3) + 1 / 4 * (1 - 1 / 2), rel=1e-12)


def test_without_logits_or_head_there_is_a_reason():
    measured = measure(np.random.default_rng(0).normal(size=(8, 3)), np.arange(8) % 2)
    assert measured["nll"].reason == "there are neither logits nor a head to compute them from"
    assert measured["nc3_etf"].reason == "there is no head (weight and bias of the last layer)"


def test_a_mean_over_one_sample_has_no_error():
    data = cloud(3, 4, [6] * 3)
    data.logits[:] = np.eye(3)[data.labels]
    data.logits[4] = np.eye(3)[(data.labels[4] + 1) % 3]
    item = data.measured()["logit_regularisation_wrong"]
    assert item.value == 0 and math.isnan(item.standard_error) and "only one" in str(item.reason)


def test_two_samples_deviate_alike_and_say_nothing_of_how_spreads_vary():
    data = cloud(4, 6, [2] * 4)
    measured = data.measured()
    for name in ("d_within", "class_separation", "within_variance", "cdnv", "nc1_pinv"):
        assert measured[name].reason == two_alike(4) and math.isnan(measured[name].standard_error), name
    # Their mean varies all the same, and so do numbers of single samples.
    assert measured["between_variance"].standard_error > 0 and measured["feature_norm"].standard_error > 0
    mixed = cloud(4, 6, [2, 9, 9, 9]).measured()
    assert mixed["d_within"].reason == two_alike(1)
    assert (
        "two samples of a class deviate alike and say nothing of how far its spread varies: 0" in mixed.notes
    )


def test_a_spread_of_two_samples_counts_for_nothing_among_many():
    """Its part of the variance of d_within is 1 to 39 times 1/(30 - 1), were all classes alike: 43 %, or 2 %."""
    assert cloud(40, 6, [2] + [30] * 39, seed=3).measured()["d_within"].reason == two_alike(1)
    many = cloud(150, 6, [2] + [5] * 149, seed=3).measured()
    assert many["d_within"].standard_error > 0 and many["d_within"].reason is None


@pytest.mark.parametrize("offset", [0.0, 2.0**20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_at_collapse_no_share_of_what_rounding_leaves_is_taken(dtype: type, offset: float):
    labels = np.repeat(np.arange(5), 37)
    means = np.random.default_rng(0).normal(size=(5, 9)) + offset
    found = measure(means[labels].astype(dtype), labels, groups=["within_share_in_span"])
    assert found["within_share_in_span"].reason == (
        "samples do not vary within classes, so there is no variance to share out"
    )


def test_a_share_is_never_more_than_all_of_it():
    data = cloud(9, 4, [8] * 9)
    found = measure(data.features.astype(np.float32) + 30, data.labels, groups=["within_share_in_span"])
    assert found["within_share_in_span"].value == pytest.approx(1, abs=1e-6)
    assert found["within_share_in_span"].value <= 1


SCALE_FREE = ("effective_rank", "rankme", "participation_ratio", "nc1_pinv", "nc2_etf_means", "nc4_agreement")


@pytest.mark.parametrize(
    ("dtype", "exponent"), [(np.float32, 60), (np.float32, -83), (np.float64, 260), (np.float64, -200)]
)
def test_the_scale_of_the_features_does_not_matter_however_far_it_is(dtype: type, exponent: int):
    data = cloud(4, 6, [30] * 4)
    features = data.features.astype(dtype)
    near, far = (
        measure(features * dtype(scale), data.labels, data.logits, groups=SCALE_FREE)
        for scale in (1, 2.0**exponent)
    )
    for name in SCALE_FREE:
        assert far[name].value == pytest.approx(near[name].value, rel=1e-6), name
        assert far[name].standard_error == pytest.approx(near[name].standard_error, rel=1e-4), name


def test_spectra_and_distances_beyond_float64_have_a_reason():
    data = cloud(4, 6, [20] * 4)
    found = measure(data.features * 1e200, data.labels, data.logits, groups=["spectrum", "nc4_agreement"])
    for name in ("effective_rank", "rankme", "effective_rank_within", "nc4_agreement"):
        assert math.isnan(found[name].value) and found[name].reason == OUT_OF_RANGE, name
