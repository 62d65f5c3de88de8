"""Tests for the geometry of correct and wrong samples: distances to class means, cosines to class directions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from maxsup_analysis.measurements import Measurements, measure_representation, represent_arrays
from maxsup_analysis.metrics import METRICS, conditional
from tests.clouds import Cloud, as_if_many_samples, cloud, simplex
from tests.oracle.conditional import ORACLE

CLOUDS = {
    "balanced": cloud(4, 7, [12] * 4),
    "unbalanced": cloud(5, 9, [3, 14, 8, 2, 20], seed=1),
    "more classes than dimensions": cloud(7, 3, [8] * 7, seed=3),
    "a class without samples": cloud(5, 9, [8, 0, 8, 8, 9], seed=3),
}
ABSOLUTE = [name for name in ORACLE if name.startswith("distance") and "relative" not in name]
FREE_OF_SCALE = [name for name in ORACLE if name not in ABSOLUTE]
COINCIDE = "class means coincide, so there is nothing to separate"


def measured(features, labels, logits=None, weight=None, bias=None) -> Measurements:
    representation = represent_arrays(features, labels, logits, weight, bias)
    return measure_representation(representation, metrics=[METRICS[name] for name in ORACLE])


def test_the_reference_knows_the_family():
    family = [
        name for name, metric in METRICS.items() if metric.family == conditional.__name__.split(".")[-1]
    ]
    assert set(ORACLE) == set(family)


@pytest.mark.parametrize("kind", CLOUDS)
def test_every_metric_is_its_equation(kind: str):
    data = CLOUDS[kind]
    found = measured(*data.arrays)
    assert any(data.logits.argmax(1) != data.labels)
    for name, equation in ORACLE.items():
        assert found[name].value == pytest.approx(equation(*data.arrays), rel=1e-10), name
        assert found[name].standard_error > 0 or found[name].reason


def test_at_collapse_samples_are_on_their_means():
    found = measured(*simplex(5, 9, 6).arrays)
    for name in ORACLE:
        metric = METRICS[name]
        if metric.collapsed is None:
            assert name.endswith("_wrong") and str(found[name].reason).startswith("there are no wrongly")
        else:
            assert found[name].value == pytest.approx(metric.collapsed, abs=1e-12), name


def a_line() -> Cloud:
    """Class means -1 and 3 on a line, samples 1 away from them; the last one is taken for the other class."""
    features = np.array([[-2.0, 0], [0, 0], [2, 0], [4, 0]])
    logits = np.array([[1.0, 0], [1, 0], [0, 1], [1, 0]])
    return Cloud(features, np.array([0, 0, 1, 1]), logits, np.eye(2), np.zeros(2))


def test_distances_on_a_line():
    found = measured(*a_line().arrays)
    for name in ("distance_to_own_mean", "distance_to_own_mean_correct", "distance_to_own_mean_wrong"):
        assert found[name].value == 1
    # Three samples at 1 from the mean of their prediction, and one at 5; means are 4 apart.
    assert found["distance_to_predicted_mean"].value == 2
    assert found["distance_to_predicted_mean_wrong"].value == 5
    assert found["distance_to_predicted_mean_relative_wrong"].value == pytest.approx(5 / 4, rel=1e-14)
    assert found["distance_to_own_mean_relative"].value == pytest.approx(1 / 4, rel=1e-14)


def test_the_mean_cosine_is_the_length_of_the_mean_direction():
    data = CLOUDS["unbalanced"]
    units = data.features / np.linalg.norm(data.features, axis=1, keepdims=True)
    lengths = [np.linalg.norm(units[data.labels == k].mean(0)) for k in range(5)]
    expected = np.bincount(data.labels) @ lengths / len(units)
    assert measured(*data.arrays)["cosine_to_own_direction"].value == pytest.approx(expected, rel=1e-12)
    directions = np.array([units[data.labels == k].mean(0) for k in range(5)])
    theirs = cosine_similarity(data.features, directions)[np.arange(len(units)), data.labels]
    wrong = data.logits.argmax(1) != data.labels
    ours = measured(*data.arrays)["cosine_to_own_direction_wrong"].value
    assert ours == pytest.approx(theirs[wrong].mean(), rel=1e-12)


def test_correct_and_wrong_make_up_the_whole():
    data = CLOUDS["balanced"]
    found, share = measured(*data.arrays), (data.logits.argmax(1) == data.labels).mean()
    for name in ("distance_to_own_mean", "distance_to_own_mean_relative", "cosine_to_own_direction"):
        parts = share * found[f"{name}_correct"].value + (1 - share) * found[f"{name}_wrong"].value
        assert found[name].value == pytest.approx(parts, rel=1e-12)
    # Of correct samples the predicted mean is the own one.
    parts = share * found["distance_to_own_mean_correct"].value
    parts += (1 - share) * found["distance_to_predicted_mean_wrong"].value
    assert found["distance_to_predicted_mean"].value == pytest.approx(parts, rel=1e-12)


@pytest.mark.parametrize("name", [name for name in ORACLE if "distance" in name])
def test_the_noise_of_class_means_counts_and_so_does_that_of_the_unit(name: str):
    """Influences are derivatives with respect to weights, which move the means that distances are from."""
    data = CLOUDS["unbalanced"]
    labels, N = data.labels, len(data.labels)
    predicted = data.logits.argmax(1)
    to = labels if "own" in name else predicted
    members = {"wrong": predicted != labels, "correct": predicted == labels}.get(
        name.rpartition("_")[2], labels >= 0
    )

    def value(weights):
        moved = np.array([np.average(data.features[labels == k], 0, weights[labels == k]) for k in range(5)])
        distances = np.linalg.norm(data.features - moved[to], axis=1)
        squares = [((moved[k] - moved[other]) ** 2).sum() for k in range(5) for other in range(k)]
        unit = math.sqrt(np.mean(squares)) if "relative" in name else 1
        return np.average(distances[members], weights=weights[members]) / unit

    steps = 1e-5 * np.eye(N)
    influence = np.array([(value(1 + step) - value(1 - step)) / 2e-5 for step in steps])
    variances = [n * influence[labels == k].var(ddof=1) for k, n in enumerate(np.bincount(labels))]
    with as_if_many_samples():
        found = measured(*data.arrays)[name]
    assert found.value == pytest.approx(value(np.ones(N)), rel=1e-12)
    assert found.standard_error == pytest.approx(math.sqrt(sum(variances)), rel=1e-6)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), factor=st.floats(1e-3, 1e3), tilt=st.floats(-5, 5))
def test_rotation_names_order_and_a_constant_in_the_logits_change_nothing(
    seed: int, factor: float, tilt: float
):
    rng, data = np.random.default_rng(seed), CLOUDS["unbalanced"]
    rotation, _ = np.linalg.qr(rng.normal(size=(9, 9)))
    names, order = rng.permutation(5), rng.permutation(len(data.labels))
    # The class that is called names[k] now was k.
    logits = np.empty_like(data.logits)
    logits[:, names] = factor * data.logits + tilt
    turned = measured(factor * (data.features @ rotation)[order], names[data.labels][order], logits[order])
    plain = measured(*data.arrays)
    for name in FREE_OF_SCALE:
        assert turned[name].value == pytest.approx(plain[name].value, rel=1e-9), name
    for name in ABSOLUTE:
        assert turned[name].value == pytest.approx(factor * plain[name].value, rel=1e-9), name


def test_an_offset_of_the_features_does_not_change_distances():
    data = CLOUDS["balanced"]
    near = measured(*data.arrays)
    far = measured(data.features + 2.0**12, data.labels, data.logits)
    for name in ORACLE:
        if name.startswith("distance"):
            assert far[name].value == pytest.approx(near[name].value, rel=1e-10), name


def test_samples_that_are_taken_for_a_class_without_samples_are_left_out():
    data = a_line()
    logits = np.array([[1.0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]])
    found = measured(data.features, data.labels, logits)
    # At 1, 1 and 3 from the first mean; the fourth sample has no predicted mean.
    assert found["distance_to_predicted_mean"].value == pytest.approx(5 / 3, rel=1e-14)
    assert found["distance_to_predicted_mean_wrong"].value == 3
    assert found["distance_to_predicted_mean_wrong"].reason == (
        "only one of the wrongly classified samples taken for a class that has samples, so the sampling variance "
        "is unknown"
    )
    assert found["distance_to_own_mean_wrong"].value == 1
    lost = measured(data.features, data.labels, np.tile([0.0, 0, 1], (4, 1)))
    assert (
        lost["distance_to_predicted_mean"].reason == "there are no samples taken for a class that has samples"
    )


def test_one_class_or_equal_means_have_no_unit_of_distance():
    rng = np.random.default_rng(0)
    alone = measured(rng.normal(size=(9, 4)), np.zeros(9, int), np.ones((9, 1)))
    words = "only one class has samples, and it takes two to compare"
    assert alone["distance_to_own_mean_relative"].reason == words
    assert alone["distance_to_own_mean"].value > 0 and alone["cosine_to_own_direction"].value > 0
    half, labels = rng.normal(size=(50, 4)), np.repeat([0, 1], 50)
    for second in (half, half[::-1]):
        equal = measured(np.concatenate([half, second]), labels, np.eye(2)[labels])
        assert equal["distance_to_own_mean_relative"].reason == COINCIDE
    same = measured(np.ones((4, 3)), np.array([0, 0, 1, 1]), np.eye(2)[[0, 0, 1, 1]])
    assert (
        same["distance_to_own_mean_relative"].reason == COINCIDE and same["distance_to_own_mean"].value == 0
    )


def test_zero_vectors_are_left_out_of_the_cosine():
    data = cloud(4, 6, [8] * 4, seed=7)
    data.features[[0, 5, 9]] = 0
    found = measured(*data.arrays)
    for name in (
        "cosine_to_own_direction",
        "cosine_to_own_direction_correct",
        "cosine_to_own_direction_wrong",
    ):
        assert found[name].value == pytest.approx(ORACLE[name](*data.arrays), rel=1e-10)
    nothing = measured(np.zeros((6, 3)), np.arange(6) % 2, np.zeros((6, 2)))
    assert nothing["cosine_to_own_direction"].reason == "there are no samples with a direction"
    data.features[data.labels == 2] = 0
    left = measured(*data.arrays)["cosine_to_own_direction"]
    assert left.value == pytest.approx(ORACLE["cosine_to_own_direction"](*data.arrays), rel=1e-10)


def test_a_class_whose_directions_cancel_has_none():
    features = np.array([[1.0, 0], [-2, 0], [0, 1], [0, 1]])
    found = measured(features, np.array([0, 0, 1, 1]), np.eye(2)[[0, 0, 1, 1]])
    words = "the directions of the samples of class 0 cancel, so it has no direction"
    assert found["cosine_to_own_direction"].reason == words


def test_without_logits_only_the_whole_is_known():
    data = CLOUDS["balanced"]
    found = measured(data.features, data.labels)
    known = {"distance_to_own_mean", "distance_to_own_mean_relative", "cosine_to_own_direction"}
    for name in ORACLE:
        assert math.isfinite(found[name].value) == (name in known), name
        if name not in known:
            assert found[name].reason == "there are neither logits nor a head to compute them from"


def test_a_mean_over_one_wrong_sample_has_no_error():
    item = measured(*a_line().arrays)["cosine_to_own_direction_wrong"]
    assert item.value == pytest.approx(1) and math.isnan(item.standard_error)
    assert item.reason == (
        "only one of the wrongly classified samples with a direction, so the sampling variance is unknown"
    )
