"""Tests for intervals as a whole: seeded draws of small classes, whose intervals hold what they should, or are none."""

import math

import numpy as np
import pytest

from maxsup_analysis.measurements import measure_representation, represent_arrays
from maxsup_analysis.metrics import METRICS

SETS, D = 100, 12
SPREADS = ("d_within", "d_within_unbiased", "within_variance", "class_separation")
RATIOS = ("cdnv", "nc1_trace_ratio")
DISTANCES = ("distance_to_own_mean", "distance_to_own_mean_correct", "distance_to_predicted_mean")


def draws(sizes: list[int], names: tuple[str, ...], *, gap: float = 1.0, wrong: float = 0.0):
    """Value and ends of the interval of each metric on many sets of normal classes, some labels wrong."""
    rng, K = np.random.default_rng(7), len(sizes)
    labels = np.repeat(np.arange(K), sizes)
    centres = gap * np.random.default_rng(0).normal(size=(K, D))
    found = []
    for _ in range(SETS):
        shift = rng.integers(1, K, len(labels)) * (rng.random(len(labels)) < wrong)
        features = centres[(labels + shift) % K] + rng.normal(size=(len(labels), D))
        bias = -(centres**2).sum(1) / 2
        representation = represent_arrays(features, labels, weight=centres, bias=bias)
        measured = measure_representation(representation, metrics=[METRICS[name] for name in names])
        found.append([(measured[name].value, measured[name].low, measured[name].high) for name in names])
    return np.array(found).transpose(2, 1, 0)


def covered(values: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> float:
    return float(((lows <= values.mean()) & (values.mean() <= highs)).mean())


@pytest.mark.parametrize("sizes", [[3] * 5, [40, 30, 20, 10]])
def test_intervals_of_spreads_hold_them_down_to_three_samples(sizes: list[int]):
    """Of 100 intervals that hold with 95 %, 87 or more do in all but two of a thousand runs."""
    for name, *found in zip(SPREADS, *draws(sizes, SPREADS), strict=True):
        assert covered(*found) >= 0.87, name


def test_intervals_of_distances_hold_them_where_labels_are_wrong():
    for name, *found in zip(DISTANCES, *draws([30] * 4, DISTANCES, gap=2.0, wrong=0.2), strict=True):
        assert covered(*found) >= 0.87, name


@pytest.mark.parametrize("sizes", [[3, 3], [20] * 4])
def test_intervals_of_ratios_hold_them_above_as_below(sizes: list[int]):
    """Few classes make a ratio of variances skewed: value +- t SE lies below it too often, and below 0."""
    for name, *found in zip(RATIOS, *draws(sizes, RATIOS, gap=0.7), strict=True):
        assert covered(*found) >= 0.89, name
        assert (found[1] > 0).all(), name


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("d_within_unbiased", [2] + [9] * 9),
        ("d_within_unbiased", [40, 10, 3]),
        ("nc2_etf_means", [3] * 8),
        ("effective_rank", [3] * 8),
        ("effective_rank_within", [10] * 8),
        ("aurc_msp", [9] * 8),
        ("nll", [6] * 8),
        ("distance_to_predicted_mean", [5] * 8),
    ],
)
def test_where_samples_are_too_few_there_is_a_reason_in_place_of_an_interval(name: str, sizes: list[int]):
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(len(sizes)), sizes)
    features = 0.3 * rng.normal(size=(len(sizes), D))[labels] + rng.normal(size=(len(labels), D))
    representation = represent_arrays(features, labels, weight=rng.normal(size=(len(sizes), D)))
    (item,) = measure_representation(representation, metrics=[METRICS[name]]).values()
    assert math.isfinite(item.value) and math.isnan(item.standard_error) and item.reason
    assert any(words in item.reason for words in ("too few", "too much", "two samples"))
