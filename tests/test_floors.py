"""Tests for the floor of rounding: derived, above the errors that are observed, and not far above them."""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from maxsup_analysis import Measurements, compare, measure
from maxsup_analysis.contrasts import Interval
from maxsup_analysis.effects import Design, Run
from maxsup_analysis.estimates import AT_ZERO
from tests.clouds import Cloud, cloud, simplex
from tests.oracle.exact import EXACT

UNIT = 2.0**-53
Arrays = tuple[np.ndarray, ...]


def cast(arrays: Arrays, kind: type) -> Arrays:
    return tuple(part if part.dtype == np.int64 else part.astype(kind) for part in arrays)


def moved(arrays: Arrays, move: Callable[[np.ndarray], np.ndarray]) -> Arrays:
    return (move(arrays[0]), *arrays[1:])


def tight(data: Cloud, by: float) -> Arrays:
    means = np.stack([data.features[data.labels == k].mean(0) for k in range(len(data.weight))])[data.labels]
    return moved(data.arrays, lambda features: means + by * (features - means))


def sets() -> dict[str, Arrays]:
    """Ordinary ones, far from zero, small, tight, collapsed, near a simplex, of few samples, in float32."""
    few, many, corners = cloud(3, 5, [20] * 3, seed=3), cloud(8, 20, [15] * 8, seed=8), simplex(5, 8, 6)
    noise = 1e-3 * np.random.default_rng(0).normal(size=corners.features.shape)
    return {
        "few": few.arrays,
        "many": many.arrays,
        "far": moved(many.arrays, lambda features: features + 1000.0),
        "small": moved(few.arrays, lambda features: features * 1e-12),
        "tight": tight(many, 1e-7),
        "collapsed": corners.arrays,
        "collapsed, far": moved(corners.arrays, lambda features: features + 7.3),
        "nearly": moved(corners.arrays, lambda features: features + noise),
        "fewer than dimensions": cloud(4, 30, [5] * 4).arrays,
        "float32": cast(many.arrays, np.float32),
        "float32, far": cast(moved(many.arrays, lambda features: features + 20), np.float32),
    }


SETS = sets()
MEASURED = {name: measure(*arrays, groups=("all",)) for name, arrays in SETS.items()}


@pytest.mark.parametrize("name", SETS)
def test_values_err_by_less_than_their_floor(name: str):
    wide = cast(SETS[name], np.longdouble)
    for metric, exact in EXACT.items():
        item = MEASURED[name][metric]
        error = abs(np.longdouble(item.value) - exact(*wide))
        assert error <= item.rounding, (metric, float(error), item.rounding)


@pytest.mark.parametrize("name", ["few", "many", "small", "fewer than dimensions"])
def test_floors_are_not_far_above_rounding(name: str):
    """A few hundred ulp of the value, or of what it subtracts, which is of the order of one."""
    for metric in EXACT:
        item = MEASURED[name][metric]
        size = (
            abs(item.value)
            if metric.startswith(("within", "between", "feature", "d_", "cdnv"))
            else 1 + item.value
        )
        assert item.rounding <= 500 * UNIT * abs(size), metric


def test_the_oracle_is_the_metric():
    """Extended precision is of use where it computes the same thing."""
    for metric, exact in EXACT.items():
        value = float(exact(*cast(SETS["many"], np.longdouble)))
        assert MEASURED["many"][metric].value == pytest.approx(value, rel=1e-10), metric


def verdicts(one: Measurements, other: Measurements) -> dict[str, str]:
    return {row.metric: row.verdict for row in compare({"A": [one], "B": [other]}).differences}


def turned(data: Cloud, seed: int = 0) -> Arrays:
    """The same network with its features turned: no metric but those of single axes may tell."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(data.features.shape[1],) * 2))
    return data.features @ turn, data.labels, data.logits, data.weight @ turn, data.bias


@pytest.mark.parametrize("K", [2, 4])
def test_a_turned_network_is_equal_in_every_metric(K: int):
    data = cloud(K, 7, [30] * K, seed=K)
    one, other = data.measured(), measure(*turned(data), groups=("all",))
    for metric, verdict in verdicts(one, other).items():
        assert verdict == "equal" or math.isnan(one[metric].value), metric


def another(data: Cloud, seed: int = 1) -> Arrays:
    """Another network on the same samples."""
    rng = np.random.default_rng(seed)
    features = data.features @ rng.normal(size=(data.features.shape[1],) * 2)
    features += 0.5 * rng.normal(size=features.shape)
    weight = data.weight + 0.5 * rng.normal(size=data.weight.shape)
    return features, data.labels, features @ weight.T + data.bias, weight, data.bias


def collapsed(arrays: Arrays) -> Arrays:
    features, labels, _, weight, bias = arrays
    means = np.stack([features[labels == k].mean(0) for k in range(len(weight))])[labels]
    return means, labels, means @ weight.T + bias, weight, bias


def all_(arrays: Arrays, *, right: bool) -> Arrays:
    features, labels, logits, weight, bias = arrays
    logits = logits.copy()
    top = (labels + (not right)) % len(weight)
    logits[np.arange(len(labels)), top] = logits.max(1) + 1
    return features, labels, logits, weight, bias


ADDED = math.exp(-(1 + 1e-7) * math.log(1 + 1e-7))  # RankMe of one eigenvalue
SURE = dict.fromkeys(("nll", "ece", "brier", "over_confidence", "under_confidence", "adaptive_ece"), 0.0)
NO_RISK = dict.fromkeys(
    ("aurc_msp", "e_aurc_msp", "augrc_msp", "aurc_max_logit", "e_aurc_max_logit", "augrc_max_logit"), 0.0
)
# What algebra, not rounding, says of every network in a setting: metric -> value.
CONSTANT: dict[str, dict[str, float]] = {
    "two classes": {
        "nc2_equinorm_means": 0, "nc2_equiangular_means": 0, "nc2_cosine_spread_means": 0,
        "nc2_cosine_spread_head": 0, "nc2_largest_cosine_means": 0, "nc2_etf_means": 0, "nc2_etf_means_excess": 0,
        "nc2_etf_head_centred": 0, "nc3_etf_centred": 0, "uniformity_means": -math.log(2),
        "uniformity_variance_means": 0, "uniformity_variance_head": 0, "between_rank": 1, "between_condition": 1,
        "etf_floor": 0, "samples_per_dimension": 5,
    },
    "one class": SURE | NO_RISK | {
        "accuracy": 1, "nc4_agreement": 1, "nc4_mismatch": 0, "logit_regularisation": 0, "logit_maxsup_penalty": 0,
        "logit_error_amplification": 0, "true_class_rank": 1, "logit_norm_centred": 0,
    },
    "one dimension": {
        "effective_rank": 1, "stable_rank": 1, "participation_ratio": 1, "effective_rank_within": 1,
        "stable_rank_within": 1, "participation_ratio_within": 1, "rankme": ADDED, "rankme_within": ADDED,
        "between_rank": 1, "between_condition": 1, "within_share_in_span": 1, "gnc2": 0,
    },
    "fewer samples than dimensions": {"vci": 0, "between_rank": 2, "etf_floor": 0},
    "one sample a class": {
        "d_within": 0, "class_separation": 1, "cdnv": 0, "within_variance": 0, "nc1_pinv": 0, "nc1_papyan": 0,
        "nc1_zhu": 0, "nc1_trace_ratio": 0, "gnc1": 0, "vci": 0, "distance_to_own_mean": 0,
        "distance_to_own_mean_relative": 0, "cosine_to_own_direction": 1,
    },
    "all right": NO_RISK | {
        "accuracy": 1, "true_class_rank": 1, "logit_error_amplification": 0, "logit_error_amplification_correct": 0,
    },
    "all wrong": {
        "accuracy": 0, "aurc_msp": 1, "aurc_max_logit": 1, "e_aurc_msp": 0, "e_aurc_max_logit": 0,
        "augrc_msp": 0.5, "augrc_max_logit": 0.5,
    },
    "collapse": {
        "d_within": 0, "d_within_unbiased": 0, "class_separation": 1, "class_separation_unbiased": 1, "cdnv": 0,
        "cdnv_unbiased": 0, "within_variance": 0, "within_variance_unbiased": 0, "nc1_pinv": 0, "nc1_papyan": 0,
        "nc1_zhu": 0, "nc1_trace_ratio": 0, "nc1_trace_ratio_unbiased": 0, "vci": 0, "gnc1": 0,
        "distance_to_own_mean": 0, "distance_to_own_mean_relative": 0, "cosine_to_own_direction": 1,
    },
}  # fmt: skip


def networks(setting: str) -> tuple[Arrays, Arrays]:
    """Two on the same samples."""
    shapes = {
        "two classes": (2, 6, [30] * 2), "one class": (1, 6, [30]), "one dimension": (4, 1, [30] * 4),
        "fewer samples than dimensions": (3, 40, [6] * 3), "one sample a class": (5, 8, [1] * 5),
    }  # fmt: skip
    data = cloud(*shapes.get(setting, (4, 6, [20] * 4)))
    both = data.arrays, another(data)
    change: Callable[[Arrays], Arrays] = {
        "all right": lambda arrays: all_(arrays, right=True),
        "all wrong": lambda arrays: all_(arrays, right=False),
        "collapse": collapsed,
    }.get(setting, lambda arrays: arrays)
    return change(both[0]), change(both[1])


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("setting", CONSTANT)
def test_what_is_constant_by_algebra_is_equal(setting: str, kind: type):
    one, other = (measure(*cast(arrays, kind), groups=("all",)) for arrays in networks(setting))
    found = verdicts(one, other)
    for metric, value in CONSTANT[setting].items():
        for item in (one[metric], other[metric]):
            assert abs(item.value - value) <= item.rounding, (metric, item.value)
            assert item.standard_error == 0 or (math.isnan(item.standard_error) and item.reason), metric
        assert found[metric] == "equal", metric


def test_what_two_classes_decide_is_exact():
    for arrays in networks("two classes"):
        found = measure(*arrays, groups=("all",))
        for metric, value in CONSTANT["two classes"].items():
            assert (found[metric].value, found[metric].standard_error) == (value, 0), metric
    features, labels, logits, weight, bias = networks("two classes")[0]
    opposite = measure(features, labels, logits, -weight, bias, groups=("nc3_etf_centred",))
    assert opposite["nc3_etf_centred"].value == 2


KINKED = (
    "nc2_equinorm_means", "nc2_equiangular_means", "nc2_cosine_spread_means", "nc2_etf_means", "nc2_etf_means_excess",
    "nc3_etf", "nc3_etf_centred", "nc3_self_duality_norm", "nc4_bias_collapse",
)  # fmt: skip


def test_lengths_that_are_zero_up_to_rounding_have_no_standard_error():
    """Samples vary around the corners of a simplex, whose means they leave where they are."""
    data = simplex(4, 6, 10)
    noise = np.random.default_rng(0).normal(size=(20, 6)).repeat(2, 0)
    order = data.labels.argsort(kind="stable")
    data.features[order] += np.where(np.arange(40) % 2, 1, -1)[:, None] * noise
    found = data.measured("nc")
    for metric in KINKED:
        item = found[metric]
        assert abs(item.value) <= item.rounding and math.isnan(item.standard_error), metric
        assert item.reason == AT_ZERO or "standard deviation of zero" in str(item.reason), metric
    again = measure(*turned(data), groups=("nc",))
    assert {verdicts(found, again)[metric] for metric in KINKED} == {"equal"}


def test_real_differences_are_what_they_were():
    """Without a floor the verdicts of two ordinary networks are the same."""
    data = cloud(5, 8, [40] * 5)
    one, other = data.measured(), measure(*another(data), groups=("all",))
    for row in compare({"A": [one], "B": [other]}).differences:
        interval = row.interval
        bare = Interval(
            interval.value,
            interval.sampling_error,
            interval.seed_error,
            interval.degrees_of_freedom,
            interval.reason,
        )
        known = interval.verdict != "equal" and not math.isnan(interval.half_width)
        assert not known or bare.verdict == interval.verdict, row.metric


@pytest.mark.parametrize(
    ("value", "error", "rounding", "verdict"),
    [
        (2.2e-16, 0.0, 1e-15, "equal"),
        (2.2e-16, math.nan, 1e-15, "equal"),
        (2.2e-16, 0.1, 1e-15, "not distinguishable"),
        (2.2e-16, 0.0, 0.0, "higher"),
        (-3e-15, 1e-16, 1e-15, "lower"),
        (3e-15, 1e-15, 2e-15, "not distinguishable"),
        (math.nan, math.nan, 0.0, "undefined"),
        (1.0, math.nan, 1e-15, "undefined"),
        (0.0, 0.0, 0.0, "equal"),
    ],
)
def test_a_verdict_does_not_come_from_rounding(value: float, error: float, rounding: float, verdict: str):
    assert Interval(value, error, math.nan, math.inf, None, rounding).verdict == verdict


def test_the_floor_of_an_effect_is_that_of_its_runs():
    data = cloud(2, 6, [30] * 2)
    runs = [(name, measure(*another(data, seed), groups=("nc",))) for seed, name in enumerate("aabb")]
    design = Design(
        {"loss": ["a", "b"]}, [Run({"loss": name}, run, run.samples) for name, run in runs if run.samples]
    )
    for metric in ("nc2_etf_means", "nc2_equiangular_means"):
        assert design.effects(metric, "loss")[0].interval.verdict == "equal"
    item = design.effects("nc3_cosine", "loss")[0].interval
    assert item.rounding == pytest.approx(sum(run["nc3_cosine"].rounding for _, run in runs) / 2)


def test_floors_are_written_and_older_files_have_none():
    measured = MEASURED["few"]
    assert (
        Measurements.from_json(measured.to_json())["d_within"].rounding == measured["d_within"].rounding > 0
    )
    document = json.loads(measured.to_json())
    for item in document["metrics"].values():
        item.pop("rounding", None)
    assert Measurements.from_json(json.dumps(document))["d_within"].rounding == 0
