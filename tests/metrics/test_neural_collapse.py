"""Tests for neural collapse: the dumb reference, closed forms, laws, and answers on the edge."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestCentroid

from maxsup_analysis import measure as measure_groups
from maxsup_analysis import pairs
from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.metrics.neural_collapse import generalised
from maxsup_analysis.metrics.neural_collapse.hulls import smallest_distance_to_hull
from maxsup_analysis.metrics.neural_collapse.simplex import simplex_error
from maxsup_analysis.tile import Tile
from tests.clouds import as_if_many_samples, cloud, simplex
from tests.metrics.test_variation import relabelled, shuffled, turned
from tests.oracle.neural_collapse import ORACLE, distance_to_hull, etf_error

measure = partial(measure_groups, groups=("nc",))
CLOUDS = {
    "balanced": cloud(4, 7, [12] * 4),
    "unbalanced": cloud(5, 9, [3, 14, 8, 2, 20], seed=1),
    "a class of one and one of none": cloud(5, 6, [7, 1, 9, 0, 8], seed=2),
    "two classes": cloud(2, 5, [9, 13], seed=5),
    "more classes than dimensions": cloud(7, 3, [8] * 7, seed=3),
    "as many as dimensions allow": cloud(5, 4, [9] * 5, seed=4),
    "fewer samples than dimensions": cloud(3, 30, [4, 5, 6], seed=6),
}
# Of all pairs of classes, in tiles.
PAIRED = [
    name for name in ORACLE if name.startswith(("nc2_equiangular", "nc2_cosine", "nc2_largest", "uniformity"))
]


def test_the_reference_knows_the_family():
    assert set(ORACLE) == {name for name, metric in METRICS.items() if metric.family == "neural_collapse"}


@pytest.mark.parametrize("kind", CLOUDS)
def test_every_metric_is_its_equation(kind: str):
    data = CLOUDS[kind]
    measured = data.measured("nc")
    for name in ORACLE:
        expected = ORACLE[name](*data.arrays)
        assert measured[name].value == pytest.approx(expected, rel=1e-10, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize(("K", "D"), [(2, 2), (4, 4), (5, 9)])
def test_every_metric_is_right_at_exact_collapse(K: int, D: int):
    measured = simplex(K, D, 6).measured("nc")
    for name in ORACLE:
        collapsed = METRICS[name].collapsed
        assert collapsed is None or measured[name].value == pytest.approx(collapsed, abs=1e-7), name
    # Corners of a simplex of unit vectors are sqrt(2 K / (K - 1)) apart, and K / (K - 1) from the face opposite.
    for part in ("means", "head"):
        energy = -math.log(2 * K / (K - 1)) / 2
        assert measured[f"uniformity_{part}"].value == pytest.approx(energy, rel=1e-12)
    assert measured["gnc2"].value == pytest.approx(K / (K - 1), rel=1e-12)
    assert measured["between_rank"].value == K - 1
    assert measured["samples_per_dimension"].value == pytest.approx(6 / D)
    reason = "samples do not vary within classes, so there is no variance to share out"
    assert measured["within_share_in_span"].reason == reason


def test_a_square_under_isotropic_noise():
    """Means at (+-2, 0), (0, +-1) of the first two of four axes; noise of +-1/2 along each axis in turn."""
    corners = np.array([[2.0, 0, 0, 0], [-2.0, 0, 0, 0], [0, 1.0, 0, 0], [0, -1.0, 0, 0]])
    noise = np.concatenate([np.eye(4), -np.eye(4)]) / 2
    features = (corners[:, None] + noise).reshape(-1, 4)
    labels = np.repeat(np.arange(4), 8)
    measured = measure(features, labels, weight=corners, bias=np.ones(4))
    within = 2 / 8 / 4  # along each axis
    # S_B has variances 2 and 1/2 along two axes.
    assert measured["nc1_papyan"].value == pytest.approx(within / 2 + within / (1 / 2))
    assert (
        measured["nc1_pinv"].value
        == measured["nc1_zhu"].value
        == pytest.approx(measured["nc1_papyan"].value / 4)
    )
    assert measured["nc1_trace_ratio"].value == pytest.approx(4 * within / (5 / 2))
    assert measured["nc1_trace_ratio_unbiased"].value == pytest.approx(
        (8 / 28) / (5 / 2 - 3 / 4 * (2 / 7) / 8)
    )
    assert measured["vci"].value == pytest.approx(1 - (2 / (2 + within) + 0.5 / (0.5 + within)) / 2)
    assert measured["between_rank"].value == 2 and "span 2 of 3" in str(measured["between_rank"].reason)
    assert measured["between_condition"].value == pytest.approx(4)
    assert measured["within_share_in_span"].value == pytest.approx(1 / 2)
    # Cosines: two pairs of -1, four of 0. Distances: 2 twice, sqrt(2) four times.
    assert measured["nc2_cosine_spread_means"].value == pytest.approx(math.sqrt(1 / 3 - 1 / 9))
    assert measured["nc2_largest_cosine_means"].value == pytest.approx(1 / 3)
    energies = [-math.log(2)] * 2 + [-math.log(2) / 2] * 4
    assert measured["uniformity_means"].value == pytest.approx(np.mean(energies))
    assert measured["uniformity_variance_head"].value == pytest.approx(np.var(energies))
    assert (
        measured["nc3_self_duality_norm"].value
        == measured["nc3_self_duality"].value
        == pytest.approx(0, abs=1e-15)
    )
    assert measured["nc3_cosine"].value == pytest.approx(1)
    assert measured["nc4_bias_collapse"].value == pytest.approx(2)
    # The hull of three of (+-1, 0), (0, +-1) comes as near to the fourth as their centre.
    assert measured["gnc2"].value == pytest.approx(1, rel=1e-12)


def test_variants_are_what_their_names_say():
    measured = CLOUDS["unbalanced"].measured("nc")
    value = {name: measured[name].value for name in ORACLE}
    assert value["nc1_papyan"] == pytest.approx(5 * value["nc1_pinv"], rel=1e-13)
    assert value["nc1_zhu"] < value["nc1_pinv"]
    assert value["nc3_self_duality_norm"] ** 2 == pytest.approx(value["nc3_self_duality"], rel=1e-13)
    assert value["nc4_mismatch"] == pytest.approx(1 - value["nc4_agreement"])
    assert value["nc4_agreement_without_bias"] != value["nc4_agreement"]
    balanced = CLOUDS["balanced"].measured("nc")
    assert balanced["nc1_zhu"].value == pytest.approx(balanced["nc1_pinv"].value, rel=1e-13)


def test_variants_that_differ_say_how():
    for prefix in ("nc1_", "nc2_etf", "nc3_", "nc4_", "gnc"):
        said = [
            metric.differs
            for name, metric in METRICS.items()
            if name.startswith(prefix) and metric.subset == "all"
        ]
        assert all(said) and len(said) > 1, prefix


def test_the_nearest_mean_is_that_of_scikit_learn():
    data = cloud(4, 6, [30, 20, 10, 25], seed=9)
    nearest = NearestCentroid().fit(data.features, data.labels).predict(data.features)
    measured = data.measured("nc")
    assert measured["nc4_agreement"].value == np.mean(nearest == data.logits.argmax(1))
    without = (data.features @ data.weight.T).argmax(1)
    assert measured["nc4_agreement_without_bias"].value == np.mean(nearest == without)


def test_rows_of_the_head_that_float32_cannot_tell_apart():
    data = cloud(4, 50, [30, 20, 10, 25], seed=9)
    apart = np.random.default_rng(0).normal(size=(4, 50))
    weight, features = 1e-9 * apart + data.weight[0], data.features.astype(np.float32)
    largest = (features.astype(float) @ weight.T).argmax(1)
    single = (features @ weight.astype(np.float32).T).argmax(1)
    representation = represent_arrays(features, data.labels, data.logits, weight)
    found = Tile(next(iter(representation.blocks)), representation).predictions_without_bias
    assert np.array_equal(found.numpy(), largest) and not np.array_equal(single, largest)


@pytest.mark.parametrize("stored", ["none", "exact", "float16", "one wrong", "another head's"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_with_the_head_whatever_logits_are_stored(stored: str, dtype: type):
    data, rng = cloud(30, 8, [20] * 30, seed=4), np.random.default_rng(0)
    features, bias = data.features.astype(dtype), rng.normal(size=30)
    products = features.astype(float) @ data.weight.T
    logits = products + bias
    best = products.argmax(1)
    if stored == "float16":
        logits = logits.astype(np.float16)
    elif stored == "one wrong":
        logits[np.arange(len(logits)), (best + 1) % 30] += 100
    elif stored == "another head's":
        logits = rng.normal(size=logits.shape)
    given = None if stored == "none" else logits
    representation = represent_arrays(features, data.labels, given, data.weight, bias)
    found = [Tile(rows, representation).predictions_without_bias for rows in representation.blocks]
    assert np.array_equal(torch.cat(found).numpy(), best)


def test_total_variance_is_that_of_scikit_learn():
    """With equally many samples a class, S_W + S_B is the covariance of all samples."""
    data = CLOUDS["balanced"]
    total = EmpiricalCovariance().fit(data.features).covariance_
    means = np.array([data.features[data.labels == k].mean(0) for k in range(4)])
    between = np.cov(means.T, bias=True)
    expected = 1 - np.trace(np.linalg.solve(total, between)) / 3
    assert data.measured("nc")["vci"].value == pytest.approx(expected, rel=1e-10)


@settings(max_examples=10)
@given(
    kind=st.sampled_from(list(CLOUDS)),
    change=st.sampled_from([turned, relabelled, shuffled]),
    seed=st.integers(0, 99),
)
def test_rotations_names_and_order_do_not_matter(kind: str, change, seed: int):
    before, after = CLOUDS[kind].measured("nc"), measure(*change(CLOUDS[kind], seed))
    for name in ORACLE:
        assert after[name].value == pytest.approx(before[name].value, rel=1e-8, abs=1e-10, nan_ok=True), name


@settings(max_examples=8)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_scale_and_shift(scale: float, shift: float):
    data = CLOUDS["unbalanced"]
    before = data.measured("nc")
    scaled = measure(data.features * scale, data.labels, data.logits, data.weight * scale, data.bias)
    shifted = measure(data.features + shift, data.labels, data.logits, data.weight, data.bias)
    for name in ORACLE:
        if name not in ("nc4_bias_collapse", "nc4_agreement_without_bias"):
            assert scaled[name].value == pytest.approx(before[name].value, rel=1e-9, abs=1e-12), name
        if not name.startswith(("gnc", "nc4_bias_collapse", "nc4_agreement_without_bias")):
            assert shifted[name].value == pytest.approx(before[name].value, rel=1e-8, abs=1e-12), name


@settings(max_examples=10)
@given(seed=st.integers(0, 99))
def test_the_variability_index_survives_any_invertible_map(seed: int):
    data = CLOUDS["unbalanced"]
    linear = np.random.default_rng(seed).normal(size=(9, 9)) + 3 * np.eye(9)
    mapped = measure(data.features @ linear, data.labels)
    assert mapped["vci"].value == pytest.approx(data.measured("nc")["vci"].value, rel=1e-6)


@pytest.mark.parametrize(
    "kind", ["balanced", "unbalanced", "more classes than dimensions", "fewer samples than dimensions"]
)
def test_influences_are_derivatives(kind: str):
    """One sample more, or fewer, of many that stand in the data 30 times."""
    data, m = CLOUDS[kind], 30
    chosen = np.repeat(np.arange(len(data.labels)), m)

    def of(rows: np.ndarray):
        features, labels, logits = (part[rows] for part in data.arrays[:3])
        return measure(features, labels, logits, data.weight, data.bias)

    with as_if_many_samples():
        measured = of(chosen)
    for sample in (0, 11):
        more, fewer = of(np.append(chosen, sample)), of(np.delete(chosen, sample * m))
        for name in ORACLE:
            influence = measured[name].influence
            if name.startswith("nc4_agreement") or name == "nc4_mismatch":
                continue  # Class means count as given.
            if name == "samples_per_dimension":
                assert measured[name].standard_error == 0  # The number of samples is fixed.
                continue
            if math.isnan(measured[name].value):
                assert measured[name].reason == "there are no wrongly classified samples"
                continue
            assert influence is not None, (name, measured[name].reason)
            derivative = (more[name].value - fewer[name].value) / 2
            assert float(influence[sample * m]) == pytest.approx(derivative, rel=1e-2, abs=1e-8), name


def test_many_tiles_of_pairs_give_the_same_numbers_and_errors(monkeypatch: pytest.MonkeyPatch):
    data = CLOUDS["more classes than dimensions"]
    before = data.measured("nc")
    monkeypatch.setattr(pairs, "ENTRIES", 10)
    after = data.measured("nc")
    for name in PAIRED:
        assert after[name].value == pytest.approx(before[name].value, rel=1e-12), name
        assert after[name].standard_error == pytest.approx(before[name].standard_error, rel=1e-10), name


@settings(max_examples=40)
@given(K=st.integers(2, 12), D=st.integers(1, 12), seed=st.integers(0, 999), centred=st.booleans())
def test_the_simplex_error_is_that_of_the_whole_matrix(K: int, D: int, seed: int, centred: bool):
    first, second = np.random.default_rng(seed).normal(size=(2, K, D))
    if centred:
        second = second - second.mean(0)
    value = simplex_error(torch.from_numpy(first), torch.from_numpy(second)).item()
    assert value == pytest.approx(etf_error(first @ second.T), rel=1e-11)


def test_the_simplex_error_needs_no_matrix_of_classes():
    first = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 5))).requires_grad_()
    saved = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        simplex_error(first, first)
    assert max(saved) <= first.numel()


@settings(max_examples=40)
@given(K=st.integers(2, 15), D=st.integers(1, 10), seed=st.integers(0, 999))
@example(K=12, D=1, seed=190)  # coincident vectors, whose distance is rounding
def test_the_distance_to_the_hull_is_that_of_an_active_set_method(K: int, D: int, seed: int):
    vectors = np.random.default_rng(seed).normal(size=(K, D))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = min(distance_to_hull(vectors[k], np.delete(vectors, k, 0)) for k in range(K))
    assert smallest_distance_to_hull(torch.from_numpy(vectors)) == pytest.approx(expected, abs=1e-9)


def test_more_classes_than_fit_have_a_floor():
    measured = CLOUDS["more classes than dimensions"].measured("nc")
    assert measured["etf_floor"].value == pytest.approx(math.sqrt(2 - 2 * math.sqrt(3 / 6)), rel=1e-13)
    assert measured["nc2_etf_means_excess"].value == pytest.approx(
        measured["nc2_etf_means"].value - measured["etf_floor"].value
    )
    # Six points on the axes of three dimensions: every nonzero eigenvalue of their Gram matrix is the same.
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    measured = measure(np.repeat(octahedron, 2, 0), np.repeat(np.arange(6), 2))
    assert measured["nc2_etf_means_excess"].value == pytest.approx(0, abs=1e-14)
    assert measured["between_condition"].value == pytest.approx(1)
    reason = "an eigenvalue belongs to several axes, where it has no derivative"
    assert measured["between_condition"].reason == reason


def test_dependent_means_have_values_but_no_errors():
    rng = np.random.default_rng(0)
    features = np.repeat(np.arange(4.0)[:, None] * np.array([[1.0, 2.0, 0.5]]), 10, axis=0)
    labels = np.repeat(np.arange(4), 10)
    noise = rng.normal(size=features.shape)
    for k in range(4):
        noise[labels == k] -= noise[labels == k].mean(0)
    features = features + noise
    measured = measure(features, labels, weight=rng.normal(size=(4, 3)), bias=np.zeros(4))
    data = (features, labels, None, None, None)
    for name in ("nc1_pinv", "nc1_papyan", "nc1_zhu", "vci", "between_rank", "within_share_in_span"):
        item = measured[name]
        assert item.value == pytest.approx(ORACLE[name](*data), rel=1e-9), name
        assert item.reason == "class means span 1 of 3 dimensions, where the pseudo-inverse jumps", name
        assert math.isnan(item.standard_error), name


def test_two_classes_have_one_angle():
    measured = CLOUDS["two classes"].measured("nc")
    item = measured["nc2_cosine_spread_means"]
    assert item.value == item.standard_error == 0 and item.reason is None
    assert measured["nc2_cosine_spread_head"].standard_error == 0
    assert (
        measured["between_condition"].value == pytest.approx(1)
        and measured["between_condition"].reason is None
    )


def test_vectors_without_direction_have_no_angle():
    data = cloud(4, 6, [8] * 4)
    weight = data.weight.copy()
    weight[2] = 0
    measured = measure(data.features, data.labels, data.logits, weight, data.bias)
    for name in ("nc2_equiangular_head", "nc2_cosine_spread_head", "nc2_largest_cosine_head", "uniformity_head",
                 "uniformity_variance_head", "nc3_cosine", "gnc2", "gnc3"):  # fmt: skip
        assert measured[name].reason == "a vector is zero and has no angle", name
    measured = measure(data.features, data.labels, data.logits, 0 * weight, data.bias)
    for name in ("nc3_self_duality", "nc3_self_duality_norm"):
        assert measured[name].reason == "the head is zero and cannot be scaled to norm one", name
    for name in ("nc2_etf_head", "nc2_etf_head_centred", "nc3_etf", "nc3_etf_centred"):
        assert measured[name].reason == "the matrix is zero and cannot be scaled to norm one", name
    assert measured["nc2_equinorm_head"].reason == "all vectors are zero"


def test_rows_of_the_head_that_point_the_same_way():
    data = cloud(4, 6, [8] * 4)
    weight = data.weight.copy()
    weight[3] = 2 * weight[1]
    measured = measure(data.features, data.labels, data.logits, weight, data.bias)
    assert measured["gnc2"].value == pytest.approx(0, abs=1e-7)
    assert measured["nc2_largest_cosine_head"].value == pytest.approx(1 + 1 / 3)
    for name in ("uniformity_head", "uniformity_variance_head"):
        assert measured[name].reason == "two vectors point the same way, where the energy is infinite"


def test_one_class_or_one_point_has_no_neural_collapse():
    rng = np.random.default_rng(0)
    alone = measure(
        rng.normal(size=(9, 4)), np.zeros(9, int), weight=rng.normal(size=(1, 4)), bias=np.zeros(1)
    )
    no_head = ("nc4_", "samples_per")
    for name in ORACLE:
        if name.endswith("_head") or name in ("nc2_etf_head_centred", "gnc2"):
            assert alone[name].reason == "the head has one row, and it takes two to compare", name
        elif not name.startswith(no_head) and not name.endswith("_wrong"):
            assert alone[name].reason == "only one class has samples, and it takes two to compare", name
    half = rng.normal(size=(10, 4))
    same = measure(np.concatenate([half, half]), np.repeat([0, 1], 10), weight=rng.normal(size=(2, 4)))
    for name in ("nc1_papyan", "nc1_zhu", "nc1_trace_ratio_unbiased", "nc2_cosine_spread_means", "uniformity_means",
                 "nc2_largest_cosine_means", "vci", "gnc1", "gnc3", "between_rank", "between_condition",
                 "within_share_in_span", "nc2_etf_means_excess"):  # fmt: skip
        assert same[name].reason == "class means coincide, so there is nothing to separate", name


def test_means_within_noise_have_no_unbiased_ratio():
    features = np.array([[0.0, 1.0], [0.0, -1.0], [0.5, 1.0], [0.5, -1.0]])
    measured = measure(features, np.repeat([0, 1], 2))
    assert measured["nc1_trace_ratio"].value > 0
    assert (
        measured["nc1_trace_ratio_unbiased"].reason
        == "class means are no farther apart than their sampling noise"
    )


def test_zero_vectors_can_leave_one_class_of_directions():
    features = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    measured = measure(features, np.array([0, 0, 1, 1]), weight=np.eye(2))
    reason = "only one class has features that are not zero vectors, and it takes two to compare"
    assert measured["gnc1"].reason == measured["gnc3"].reason == reason


def test_without_a_head_there_is_a_reason():
    measured = measure(np.random.default_rng(0).normal(size=(8, 3)), np.arange(8) % 2)
    for name in ORACLE:
        if name.endswith("_head") or name.startswith(("nc3", "gnc2", "gnc3", "nc4_bias")):
            assert measured[name].reason == "there is no head (weight and bias of the last layer)", name


def test_the_hull_is_not_looked_for_among_too_many_classes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(generalised, "MOST_CLASSES", 3)
    assert CLOUDS["balanced"].measured("nc")["gnc2"].reason == "it takes too long for more than 3 classes"
    monkeypatch.setattr(generalised, "smallest_distance_to_hull", lambda rows: None)
    assert (
        CLOUDS["two classes"].measured("nc")["gnc2"].reason
        == "the distance to the convex hull was not found to 1e-10"
    )


def test_what_the_head_alone_decides_has_no_sampling_error():
    measured = CLOUDS["balanced"].measured("nc")
    for name in (
        "nc2_etf_head_centred",
        "uniformity_head",
        "gnc2",
        "etf_floor",
        "between_rank",
    ):
        assert measured[name].standard_error == 0, name
