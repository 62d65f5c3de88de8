"""Tests for calibration: against the dumb reference, at both temperatures, and on numbers done by hand."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from maxsup_analysis.errors import Undefined
from maxsup_analysis.estimates import ALIKE, Estimate
from maxsup_analysis.fits import fitted
from maxsup_analysis.halves import is_held_out
from maxsup_analysis.measurements import measure_representation, represent_arrays
from maxsup_analysis.metrics.calibration import reliability
from maxsup_analysis.metrics.metric import METRICS, OrderMetric, SampleMetric
from maxsup_analysis.representation import Representation
from maxsup_analysis.tile import Tile
from tests.clouds import Cloud, cloud
from tests.oracle.calibration import BINS, ORACLE, best_temperature, held_out, outcomes
from tests.oracle.calibration import bins as oracle_bins

CLOUDS = {
    "balanced": cloud(4, 7, [12] * 4),
    "unbalanced": cloud(5, 9, [3, 14, 8, 2, 20], seed=1),
    "two classes": cloud(2, 5, [9, 13], seed=5),
    "many": cloud(6, 4, [60] * 6, seed=2),
}
DATA = CLOUDS["many"]
TEMPERED = [name for name in ORACLE if name.endswith("_at_temperature")]
PLAIN = [name for name in ORACLE if name not in TEMPERED and name != "accuracy"]
BINNED = ("ece", "over_confidence", "under_confidence", "classwise_ece")


def measured(labels, logits, names=tuple(ORACLE), ids=None) -> dict[str, Estimate]:
    representation = represent_arrays(np.ones((len(labels), 1)), labels, logits, ids=ids)
    return dict(measure_representation(representation, metrics=[METRICS[name] for name in names]))


def one(name: str, labels, logits) -> Estimate:
    return measured(labels, logits, (name,))[name]


def values(labels, logits, names=tuple(ORACLE), ids=None) -> dict[str, float]:
    return {name: item.value for name, item in measured(labels, logits, names, ids).items()}


def sure(*confidences: float) -> np.ndarray:
    """Logits of two classes that give the first these probabilities."""
    return np.array([[math.log(p / (1 - p)), 0.0] for p in confidences])


@pytest.mark.parametrize("kind", CLOUDS)
def test_every_metric_is_its_equation(kind: str):
    data: Cloud = CLOUDS[kind]
    for name, value in values(data.labels, data.logits).items():
        assert value == pytest.approx(ORACLE[name](*data.arrays), rel=1e-9, abs=1e-13), name


def test_the_scores_of_another_library():
    q = torch.from_numpy(DATA.logits).softmax(1).numpy()
    found = values(DATA.labels, DATA.logits)
    assert found["nll"] == pytest.approx(log_loss(DATA.labels, q), rel=1e-12)
    # Of several classes it is the sum over them.
    assert found["brier"] == pytest.approx(brier_score_loss(DATA.labels, q, labels=np.arange(6)), rel=1e-12)


def test_numbers_done_by_hand():
    # Confidences .9 (right), .9 (wrong), .58 (right), .55 (wrong): two bins, (.8667, .9333] and (.5333, .6].
    found = values(np.array([0, 1, 0, 1]), sure(0.9, 0.9, 0.58, 0.55))
    upper, lower = 2 / 4 * (0.9 - 1 / 2), 2 / 4 * (0.565 - 1 / 2)
    assert found["ece"] == found["over_confidence"] == pytest.approx(upper + lower, rel=1e-12)
    assert found["under_confidence"] == 0
    assert found["confidence_gap"] == pytest.approx((0.9 + 0.9 + 0.58 + 0.55) / 4 - 1 / 2, rel=1e-12)
    assert found["brier"] == pytest.approx(2 * (0.1**2 + 0.9**2 + 0.42**2 + 0.55**2) / 4, rel=1e-12)
    # Of the second class the probabilities are .1, .1, .42, .45: the same gaps, seen from the other side.
    assert found["classwise_ece"] == pytest.approx(upper + lower, rel=1e-12)


def test_a_bin_is_closed_on_the_right():
    # One class is 3.5 times as likely as each of 14 others: its probability is 1/5, an edge; then a little more.
    logits = np.zeros((2, 15))
    logits[:, 0] = np.log([3.5, 3.50001])
    diagram = reliability(represent_arrays(np.ones((2, 1)), np.zeros(2, int), logits))
    assert diagram.counts.tolist() == [0, 0, 1, 1] + [0] * 11


def test_adaptive_bins_of_one_sample_and_of_a_part_of_one():
    confidences = np.linspace(0.51, 0.95, 15)
    hits = np.arange(15) % 3 > 0
    expected = np.mean(np.abs(confidences - hits))
    found = values(1 - hits.astype(int), sure(*confidences), ["adaptive_ece"])["adaptive_ece"]
    assert found == pytest.approx(expected, rel=1e-12)
    # With two samples the eighth bin holds half of each.
    found = values(np.array([0, 1]), sure(0.6, 0.8), ["adaptive_ece"])["adaptive_ece"]
    assert found == pytest.approx(7 / 15 * 0.4 + 7 / 15 * 0.8 + 1 / 15 * abs(-0.4 + 0.8) / 2, rel=1e-12)


def test_adaptive_bins_do_not_see_how_often_the_data_stand_there():
    once = values(DATA.labels, DATA.logits, ["adaptive_ece"])
    thrice = values(np.repeat(DATA.labels, 3), np.repeat(DATA.logits, 3, 0), ["adaptive_ece"])
    assert thrice == pytest.approx(once, rel=1e-12)


def test_samples_of_equal_confidence_count_alike_in_any_order():
    rng = np.random.default_rng(0)
    logits, labels = np.round(DATA.logits[:, :2]), DATA.labels % 2
    before = measured(labels, logits, ["adaptive_ece"])["adaptive_ece"]
    order = rng.permutation(len(labels))
    after = measured(labels[order], logits[order], ["adaptive_ece"])["adaptive_ece"]
    assert after.value == pytest.approx(before.value, rel=1e-12)
    assert before.influence is not None and after.influence is not None
    assert after.influence.numpy() == pytest.approx(before.influence[order].numpy(), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("kind", CLOUDS)
def test_over_and_under_confidence_add_up(kind: str):
    data = CLOUDS[kind]
    found = values(data.labels, data.logits)
    for suffix in ("", "_at_temperature"):
        over, under = found[f"over_confidence{suffix}"], found[f"under_confidence{suffix}"]
        assert over + under == pytest.approx(found[f"ece{suffix}"], rel=1e-12)
        assert over - under == pytest.approx(found[f"confidence_gap{suffix}"], rel=1e-9, abs=1e-14)


def test_a_constant_added_to_the_logits_of_a_sample_changes_nothing():
    shifts = np.random.default_rng(0).integers(-8, 8, size=(360, 1))
    after = values(DATA.labels, DATA.logits + shifts)
    assert after == pytest.approx(values(DATA.labels, DATA.logits), rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("scale", [1e-3, 0.25, 7.0, 1e3])
def test_at_the_temperature_the_scale_of_the_logits_changes_nothing(scale: float):
    before = measured(DATA.labels, DATA.logits)
    after = measured(DATA.labels, scale * DATA.logits)
    for name in TEMPERED:
        assert after[name].value == pytest.approx(before[name].value, rel=1e-9), name
        assert after[name].standard_error == pytest.approx(before[name].standard_error, rel=1e-8), name
    assert abs(after["nll"].value - before["nll"].value) > 1e-3


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_classes_with_other_numbers_and_samples_in_another_order(random):
    names, order = random.sample(range(6), 6), random.sample(range(360), 360)
    labels = np.array(names)[DATA.labels[order]]
    logits = DATA.logits[order][:, np.argsort(names)]
    after = values(labels, logits, ids=np.array(order))
    assert after == pytest.approx(values(DATA.labels, DATA.logits), rel=1e-9, abs=1e-13)


def test_held_out_samples_have_no_influence_at_the_temperature():
    out = held_out(len(DATA.labels))
    for name, item in measured(DATA.labels, DATA.logits, TEMPERED).items():
        assert item.influence is not None
        assert (item.influence[torch.from_numpy(out)] == 0).all(), name
        assert (item.influence[torch.from_numpy(~out)] != 0).any(), name


@pytest.mark.parametrize("name", [name for name in (*PLAIN, *TEMPERED) if not name.startswith("adaptive")])
def test_the_influence_is_the_derivative_with_respect_to_a_weight(name: str):
    """A weight of 1 + 1/m is a sample that stands m + 1 times where all others stand m times; T is held fixed."""
    # So many that the sum of gaps of no bin changes its sign.
    out, m = held_out(len(DATA.labels)), 40
    tempered = name in TEMPERED
    scale = best_temperature(DATA.logits[out], DATA.labels[out]) if tempered else 1.0
    plain = ORACLE[name.removesuffix("_at_temperature")]
    influence = one(name, DATA.labels, DATA.logits).influence
    assert influence is not None
    chosen = np.flatnonzero(~out) if tempered else np.arange(len(DATA.labels))
    for place in (0, 33, 101):
        around = []
        for extra in (1, -1):
            times = np.full(len(chosen), m)
            times[place] += extra
            rows = np.repeat(chosen, times)
            around.append(plain(None, DATA.labels[rows], DATA.logits[rows] / scale, None, None))
        derivative = (around[0] - around[1]) / (2 / m)
        assert float(influence[chosen[place]]) == pytest.approx(derivative, rel=2e-3, abs=1e-7)


def test_the_influence_on_the_adaptive_error_holds_the_bins_fixed():
    """Bins of 24 samples each: 1/N sum_b |sum of gaps| with a weight moved, the members staying where they are."""
    pairs = outcomes(DATA.logits, DATA.labels)
    order = sorted(range(360), key=lambda i: pairs[i][0])
    influence = one("adaptive_ece", DATA.labels, DATA.logits).influence
    assert influence is not None
    for place in (0, 100, 359):
        around = []
        for step in (1e-4, -1e-4):
            weights = np.ones(360)
            weights[place] += step
            gaps = [weights[i] * (pairs[i][0] - pairs[i][1]) for i in order]
            total = sum(abs(sum(gaps[24 * b : 24 * b + 24])) for b in range(BINS))
            around.append(total / weights.sum())
        assert float(influence[place]) == pytest.approx((around[0] - around[1]) / 2e-4, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("name", BINNED)
def test_totals_are_the_sums_of_shares(name: str):
    """With a gradient that is 1 at one total and 0 elsewhere, the shares are the samples' contributions to it."""
    metric = METRICS[name]
    assert isinstance(metric, SampleMetric)
    representation = represent_arrays(np.ones((40, 1)), DATA.labels[:40], DATA.logits[:40])
    tile = Tile(next(iter(representation.blocks)), representation)
    totals = metric.totals(tile)
    for place, total in enumerate(totals):
        gradient = torch.zeros_like(totals)
        gradient[place] = 1
        assert float(metric.shares(tile, gradient).sum()) == pytest.approx(float(total), abs=1e-13)


def test_columns_and_totals_of_no_samples():
    representation = fitted(_representation(DATA), {"temperature"})
    rows = next(iter(representation.blocks)).part(slice(0, 0))
    for name in ORACLE:
        metric, tile = METRICS[name], Tile(rows, representation)
        if isinstance(metric, OrderMetric):
            assert len(metric.columns(tile)) == 0
        else:
            assert isinstance(metric, SampleMetric) and not metric.totals(tile).any()


def test_certain_predictions_are_counted():
    logits = np.array([[1e3, 0.0], [1e3, 0.0], [0.0, 1e3], [0.0, 0.0]])
    found = values(np.array([0, 1, 1, 0]), logits)
    assert found["ece"] == pytest.approx(3 / 4 * (1 - 2 / 3) + 1 / 4 * (1 - 1 / 2), rel=1e-12)
    assert found["over_confidence"] == pytest.approx(1 / 4) and found["under_confidence"] == pytest.approx(
        1 / 8
    )
    # Three probabilities of exactly 1 or 0 for each class, in the last bin and in the first.
    first = 2 / 4 * abs(1 - 1 / 2) + 1 / 4 * 0 + 1 / 4 * (1 - 1 / 2)
    second = 2 / 4 * 1 / 2 + 1 / 4 * 0 + 1 / 4 * 1 / 2
    assert found["classwise_ece"] == pytest.approx((first + second) / 2)
    assert found["adaptive_ece"] == pytest.approx(
        ORACLE["adaptive_ece"](None, np.array([0, 1, 1, 0]), logits, 0, 0)
    )
    assert found["brier"] == pytest.approx((0 + 2 + 0 + 0.5) / 4)


def test_perfect_predictions_are_calibrated():
    labels = np.arange(120) % 3
    for name in (
        "ece",
        "classwise_ece",
        "adaptive_ece",
        "brier",
        "over_confidence",
        "under_confidence",
        "nll",
    ):
        item = one(name, labels, 1e3 * np.eye(3)[labels])
        assert item.value == 0 and item.reason == ALIKE and math.isnan(item.standard_error), name


def test_where_every_held_out_sample_is_right_no_temperature_is_best():
    labels = np.arange(30) % 3
    for name, item in measured(labels, np.eye(3)[labels], TEMPERED).items():
        assert math.isnan(item.value), name
        assert item.reason == (
            "all held-out samples are classified correctly, so the colder the better and no temperature is best"
        )


def test_where_the_logits_say_nothing_no_temperature_is_best():
    item = one("nll_at_temperature", np.arange(30) % 3, np.zeros((30, 3)))
    assert math.isnan(item.value)
    assert item.reason == (
        "the true logits of the held-out samples are no larger than the others on average, so the hotter the better "
        "and no temperature is best"
    )


def test_without_logits_or_head_there_is_a_reason():
    for name, item in measured(np.arange(8) % 2, None).items():
        assert item.reason == "there are neither logits nor a head to compute them from", name


def _representation(data: Cloud) -> Representation:
    return represent_arrays(np.ones((len(data.labels), 1)), data.labels, data.logits)


def test_the_reliability_diagram_is_that_of_its_samples():
    diagram, pairs = reliability(_representation(DATA)), outcomes(DATA.logits, DATA.labels)
    for number, members in enumerate(oracle_bins(pairs)):
        assert diagram.counts[number] == len(members)
        if members:
            assert float(diagram.confidences[number]) == pytest.approx(np.mean([c for c, _ in members]))
            assert float(diagram.accuracies[number]) == pytest.approx(np.mean([hit for _, hit in members]))
        else:
            assert diagram.confidences[number].isnan() and diagram.accuracies[number].isnan()


def test_the_reliability_diagram_of_another_library():
    confidences, hits = (np.array(column) for column in zip(*outcomes(DATA.logits, DATA.labels), strict=True))
    accuracies, means = calibration_curve(hits, confidences, n_bins=BINS)
    diagram = reliability(_representation(DATA))
    held = diagram.counts > 0
    assert diagram.confidences[held].numpy() == pytest.approx(means)
    assert diagram.accuracies[held].numpy() == pytest.approx(accuracies)


@pytest.mark.parametrize("tempered", [False, True])
def test_the_error_is_read_off_the_diagram(tempered: bool):
    representation = fitted(_representation(DATA), {"temperature"})
    diagram = reliability(representation, at_temperature=tempered)
    gaps = (diagram.confidence_sums - diagram.hits).abs().sum() / diagram.counts.sum()
    name = "ece_at_temperature" if tempered else "ece"
    assert float(gaps) == pytest.approx(one(name, DATA.labels, DATA.logits).value, rel=1e-12)
    expected = int((~is_held_out(np.arange(360))).sum()) if tempered else 360
    assert int(diagram.counts.sum()) == expected


def test_a_diagram_at_a_temperature_that_there_is_not():
    labels = np.arange(30) % 3
    representation = fitted(represent_arrays(np.ones((30, 1)), labels, np.eye(3)[labels]), {"temperature"})
    with pytest.raises(Undefined, match="no temperature is best"):
        reliability(representation, at_temperature=True)


def test_the_temperature_mends_what_a_factor_broke():
    """Labels drawn from the softmax of z are calibrated at T = 4 when the logits are 4 z."""
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(4000, 3))
    q = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    labels = (q.cumsum(1) > rng.random((4000, 1))).argmax(1)
    found = values(labels, 4 * z)
    assert found["ece"] > 0.15 and found["over_confidence"] > 0.15
    for name in ("ece_at_temperature", "adaptive_ece_at_temperature", "classwise_ece_at_temperature"):
        assert found[name] < 0.03
    assert found["nll_at_temperature"] < found["nll"] / 2


def test_the_reference_at_the_temperature_is_a_minimum():
    """So it is the reference that is right, not two errors that agree."""
    out = held_out(360)
    T = best_temperature(DATA.logits[out], DATA.labels[out])
    nll = ORACLE["nll"]
    best, *others = (
        nll(None, DATA.labels[out], DATA.logits[out] / t, None, None) for t in (T, 1.01 * T, 0.99 * T)
    )
    assert best < min(others)


@pytest.mark.parametrize("name", ORACLE)
def test_a_metric_can_be_sent_elsewhere(name: str):
    assert pickle.loads(pickle.dumps(METRICS[name])).name == name
