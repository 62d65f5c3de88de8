"""Tests for measurements: the Python door, JSON that is exact and strict, and what is said about the data."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats

from maxsup_analysis import InputError, Measurements, measure
from maxsup_analysis.metrics.groups import groups

RNG = np.random.default_rng(0)
FEATURES, LABELS = RNG.normal(size=(60, 5)), np.arange(60) % 3
WEIGHT = RNG.normal(size=(3, 5))


def test_arrays_and_tensors_of_any_precision_give_the_same():
    exact = FEATURES.astype(np.float32)
    from_numpy = measure(exact, LABELS, weight=WEIGHT)
    from_torch = measure(
        torch.from_numpy(exact), torch.from_numpy(LABELS).int(), weight=torch.from_numpy(WEIGHT)
    )
    assert from_numpy.to_json() == from_torch.to_json()
    assert set(from_numpy) == set(groups()["standard"])


def test_the_json_round_trip_is_exact():
    measured = measure(FEATURES, LABELS)
    again = Measurements.from_json(measured.to_json())
    assert again.to_json() == measured.to_json()
    for name, item in measured.items():
        for mine, theirs in (
            (item.value, again[name].value),
            (item.standard_error, again[name].standard_error),
        ):
            assert mine == theirs or (math.isnan(mine) and math.isnan(theirs))


def test_undefined_is_null_with_a_reason():
    document = json.loads(measure(FEATURES, LABELS).to_json(), parse_constant=pytest.fail)
    assert document["metrics"]["accuracy"] == {
        "value": None,
        "standard_error": None,
        "degrees_of_freedom": None,
        "reason": "there are neither logits nor a head to compute them from",
    }
    assert all(item["value"] is not None or item["reason"] for item in document["metrics"].values())


def test_the_frame_has_a_row_a_metric():
    frame = measure(FEATURES, LABELS, weight=WEIGHT).to_frame()
    assert list(frame.index) == groups()["standard"] and list(frame.columns) == [
        "value",
        "standard_error",
        "degrees_of_freedom",
        "reason",
    ]


def test_degrees_of_freedom_come_back_and_are_many_where_a_file_does_not_say():
    measured = measure(FEATURES, LABELS, weight=WEIGHT)
    document = json.loads(measured.to_json())
    again = Measurements.from_json(json.dumps(document))
    item = again["d_within"]
    assert 1 <= item.degrees_of_freedom < math.inf
    assert item.half_width == pytest.approx(
        stats.t.ppf(0.975, item.degrees_of_freedom) * item.standard_error, rel=1e-12
    )
    del document["metrics"]["d_within"]["degrees_of_freedom"]
    older = Measurements.from_json(json.dumps(document))["d_within"]
    assert older.half_width == pytest.approx(stats.norm.ppf(0.975) * item.standard_error, rel=1e-12)


def test_logits_given_and_logits_from_the_head_are_the_same():
    bias = np.array([0.1, -0.2, 0.3])
    given = measure(FEATURES, LABELS, logits=FEATURES @ WEIGHT.T + bias, weight=WEIGHT, bias=bias)
    computed = measure(FEATURES, LABELS, weight=WEIGHT, bias=bias)
    assert computed["nll"].value == pytest.approx(given["nll"].value, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"features": FEATURES[0]},
            r"expected features to be N x D floating-point numbers, got shape \(5,\)",
        ),
        ({"features": FEATURES > 0}, "expected features of real numbers, got bool"),
        (
            {"labels": LABELS[1:]},
            r"expected labels to be 60 integers, one a row of features, got shape \(59,\)",
        ),
        ({"labels": LABELS + 0.5}, "expected labels as integers, got 0.5 in row 0"),
        ({"labels": LABELS - 1}, "expected labels from 0 to 1, got -1 for sample 0"),
        ({"labels": LABELS + 1, "weight": WEIGHT}, "expected labels from 0 to 2, got 3 for sample 2"),
        ({"weight": WEIGHT[:, :4]}, "expected weight to be K x 5, a column for each of the 5 features"),
        ({"weight": WEIGHT, "bias": np.zeros(4)}, "expected bias to be 3 numbers, one a row of weight"),
        (
            {"weight": np.where(np.eye(3, 5) > 0, np.nan, WEIGHT)},
            "expected finite numbers in the weight of the head, got nan in row 0",
        ),
        (
            {"weight": WEIGHT, "bias": np.array([0, 0, np.inf])},
            "expected finite numbers in the bias of the head, got inf in row 2",
        ),
        ({"logits": np.zeros((60, 4)), "weight": WEIGHT}, "expected logits to be 60 x 3"),
        ({"ids": np.zeros(60)}, "expected 60 different ids, got 1; an id names one sample"),
        ({"ids": np.arange(59)}, r"expected 60 ids, one a row of features, got shape \(59,\)"),
        ({"features": FEATURES[:0], "labels": LABELS[:0]}, "expected at least one sample, got none"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments: dict, sentence: str):
    with pytest.raises(InputError, match=sentence):
        measure(**{"features": FEATURES, "labels": LABELS, **arguments})


def test_a_name_that_is_no_metric_is_explained():
    with pytest.raises(InputError, match="did you mean 'd_within'"):
        measure(FEATURES, LABELS)["dwithin"]


def test_what_the_data_leave_out_is_said():
    features, labels = FEATURES.copy(), LABELS.copy()
    features[0] = 0
    labels[labels == 1] = 4
    labels[1] = 3
    notes = " ".join(measure(features, labels, weight=RNG.normal(size=(6, 5))).notes)
    assert "classes without samples are left out of means over classes: 1, 5" in notes
    assert "zero vectors have no direction and are left out of the cosine measures: 1" in notes
    assert "one sample" in notes and ": 3" in notes


def test_the_floor_of_the_simplex_error_is_said():
    notes = measure(RNG.normal(size=(100, 3)), np.arange(100) % 10).notes
    assert any("10 class means in 3 dimensions" in note and "0.9194" in note for note in notes)
