"""Tests for the tables by class and by decile: plain loops, any blocks, and every note word for word."""

import json
import math
import pickle
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import confusion_matrix, pairwise_distances

from maxsup_analysis import breakdown
from maxsup_analysis.breakdown import BREAKDOWNS, Breakdown, by_class, by_decile
from maxsup_analysis.class_columns import Columns, class_columns
from maxsup_analysis.errors import InputError
from maxsup_analysis.measurements import measure_representation, represent_arrays
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.representation import Representation, represent
from maxsup_analysis.rows import RowBlocks, all_rows
from tests.clouds import Cloud, cloud, simplex

CLOUDS = {
    "balanced": cloud(4, 7, [12] * 4),
    "unbalanced": cloud(5, 9, [3, 14, 8, 4, 20], seed=1),
    "more classes than dimensions": cloud(7, 3, [8] * 7, seed=3),
    "a class without samples": cloud(5, 9, [8, 0, 8, 8, 9], seed=3),
}


def represented(data: Cloud) -> Representation:
    return represent_arrays(*data.arrays)


def without_head(data: Cloud) -> Representation:
    return represent_arrays(data.features, data.labels, data.logits)


def without_logits(data: Cloud) -> Representation:
    return represent_arrays(data.features, data.labels)


def cut(representation: Representation, cuts: list[int]) -> Representation:
    """The same rows in other blocks."""
    rows = all_rows(representation.blocks)
    bounds = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    parts = tuple(rows.part(slice(a, b)) for a, b in pairwise(bounds))
    return represent(RowBlocks(parts), class_names=representation.class_names, head=representation.head)


def table(found: Breakdown) -> Any:
    """The frame; pandas' annotations do not know what an entry is."""
    return found.frame


# The dumb reference.


def square(vector) -> float:
    return sum(float(entry) ** 2 for entry in vector)


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def error(values) -> float:
    values = list(values)
    center = mean(values)
    return math.sqrt(sum((one - center) ** 2 for one in values) / (len(values) - 1) / len(values))


def of_logits(z: np.ndarray, y: int) -> dict[str, float]:
    exponentials = [math.exp(one - max(z)) for one in z]
    return {
        "confidence": max(exponentials) / sum(exponentials),
        "accuracy": float(max(range(len(z)), key=lambda k: z[k]) == y),
        "logit_regularisation": sum(max(z[y] - one, 0) for one in z) / len(z),
        "logit_error_amplification": sum(min(z[y] - one, 0) for one in z) / len(z),
        "logit_maxsup_penalty": max(z) - mean(z),
    }


def calibration_error(samples: list[dict[str, float]]) -> float:
    bins: list[list[dict[str, float]]] = [[] for _ in range(15)]
    for one in samples:
        bins[next(b for b in range(15) if one["confidence"] <= (b + 1) / 15 or b == 14)].append(one)
    gaps = (abs(sum(one["confidence"] - one["accuracy"] for one in members)) for members in bins)
    return sum(gaps) / len(samples)


def effective_rank(part: np.ndarray) -> float:
    values = np.linalg.svd(part - sum(part) / len(part), compute_uv=False)
    shares = [value / sum(values) for value in values if value > 1e-12 * values[0]]
    return math.exp(-sum(p * math.log(p) for p in shares))


def wilson_error(hits: list[float]) -> float:
    found = stats.binomtest(round(sum(hits)), len(hits)).proportion_ci(0.95, method="wilson")
    return (found.high - found.low) / 2 / stats.norm.ppf(0.975)


def of_directions(n: int, d_within: float) -> float:
    """What the noise of the mean of n directions adds: see `direction_factors`, tested by draws of its own."""
    share = min(d_within * n / (n - 1), 1) ** 2
    linear = (n - 1) * (1 - share)
    return math.sqrt((n - 1) / (n - 2) * (1 + linear) / (1 + linear + share))


def class_row(data: Cloud, k: int) -> dict[str, object]:
    parts = {j: data.features[data.labels == j] for j in set(data.labels.tolist())}
    means = {j: sum(part) / len(part) for j, part in parts.items()}
    variances = {j: mean(square(h - means[j]) for h in part) for j, part in parts.items()}
    part, samples = parts[k], [of_logits(z, k) for z in data.logits[data.labels == k]]
    units = [h / math.sqrt(square(h)) for h in part]
    pairs = {
        (i, j): 1 - float(np.dot(units[i], units[j])) for i in range(len(part)) for j in range(len(part))
    }
    # The influence of a sample on the mean of all pairs, and its standard error, from the pairs themselves.
    d_within = mean(pairs.values())
    influences = [2 * mean(pairs[i, j] for j in range(len(part))) for i in range(len(part))]
    nearest = min((j for j in parts if j != k), key=lambda j: square(means[j] - means[k]))
    return {
        "class": str(k),
        "n": len(part),
        "d_within": d_within,
        "d_within_error": error(influences) * of_directions(len(part), d_within),
        "d_within_unbiased": mean(value for (i, j), value in pairs.items() if i != j),
        "variance": variances[k],
        "variance_error": error(square(h - means[k]) for h in part)
        * math.sqrt((len(part) - 1) / (len(part) - 2)),
        "nearest": str(nearest),
        "cdnv": (variances[k] + variances[nearest]) / 2 / square(means[k] - means[nearest]),
        "effective_rank": effective_rank(part),
        "accuracy": mean(one["accuracy"] for one in samples),
        "accuracy_error": wilson_error([one["accuracy"] for one in samples]),
        "ece": calibration_error(samples),
        **{name: mean(one[name] for one in samples) for name in samples[0] if name != "accuracy"},
    }


def decile_rows(data: Cloud) -> list[dict[str, object]]:
    samples = [of_logits(z, y) for z, y in zip(data.logits, data.labels.tolist(), strict=True)]
    samples.sort(key=lambda one: one["confidence"])
    N, rows, start = len(samples), [], 0
    for decile in range(1, 11):
        size = N // 10 + (decile <= N % 10)
        group, start = samples[start : start + size], start + size
        kinds = {"all": group, "correct": [], "wrong": []}
        for one in group:
            kinds["correct" if one["accuracy"] else "wrong"].append(one)
        for kind, members in kinds.items():
            row: dict[str, object] = {"decile": decile, "samples": kind, "n": len(members)}
            if members:
                row |= {
                    name: mean(one[name] for one in members) for name in members[0] if name != "confidence"
                }
                row |= {
                    "lowest": min(one["confidence"] for one in members),
                    "highest": max(one["confidence"] for one in members),
                    "label_smoothing": mean(
                        one["logit_regularisation"] + one["logit_error_amplification"] for one in members
                    ),
                }
            rows.append(row)
    return rows


def agrees(entry: object, expected: object) -> bool:
    if isinstance(expected, float):
        return entry == pytest.approx(expected, rel=1e-9, abs=1e-12)
    return entry == expected


@pytest.mark.parametrize("kind", CLOUDS)
def test_every_column_of_a_class_is_its_equation(kind: str):
    data = CLOUDS[kind]
    frame = table(by_class(represented(data)))
    assert frame.index.tolist() == sorted(set(data.labels.tolist()))
    for k in frame.index:
        expected = class_row(data, k)
        assert list(expected) == frame.columns.tolist()
        for name, value in expected.items():
            assert agrees(frame.loc[k, name], value), (k, name, frame.loc[k, name], value)


@pytest.mark.parametrize("kind", CLOUDS)
def test_every_column_of_a_decile_is_its_equation(kind: str):
    data = CLOUDS[kind]
    frame = table(by_decile(represented(data))).reset_index()
    expected = decile_rows(data)
    assert len(frame) == len(expected) == 30
    for (_, row), want in zip(frame.iterrows(), expected, strict=True):
        for name in frame.columns:
            assert agrees(row[name], want[name]) if name in want else math.isnan(row[name]), (want, name)


def test_the_tables_agree_with_others():
    data = CLOUDS["balanced"]
    frame = table(by_class(represented(data)))
    confusion = confusion_matrix(data.labels, data.logits.argmax(1), normalize="true")
    assert frame["accuracy"].tolist() == pytest.approx(confusion.diagonal().tolist())
    for k in range(4):
        part = data.features[data.labels == k]
        assert frame.loc[k, "d_within"] == pytest.approx(pairwise_distances(part, metric="cosine").mean())
        assert frame.loc[k, "variance"] == pytest.approx(part.var(0).sum())


def test_the_tables_add_up_to_the_metrics():
    data = CLOUDS["unbalanced"]
    names = ("d_within", "d_within_unbiased", "accuracy", "logit_regularisation", "logit_error_amplification")
    measured = measure_representation(represented(data), metrics=[METRICS[name] for name in names])
    classes = table(by_class(represented(data)))
    deciles = table(by_decile(represented(data))).xs("all", level="samples")
    for name in names[:2]:
        assert classes[name].mean() == pytest.approx(measured[name].value, rel=1e-12)
    for name in names[2:]:
        for frame in (classes, deciles):
            assert np.average(frame[name], weights=frame["n"]) == pytest.approx(
                measured[name].value, rel=1e-12
            )


def test_the_halves_are_maxsups_penalty_of_correct_samples_and_less_of_wrong_ones():
    frame = table(by_decile(represented(CLOUDS["unbalanced"])))
    correct, wrong = (frame.xs(kind, level="samples").dropna() for kind in ("correct", "wrong"))
    assert len(wrong) and (correct["logit_error_amplification"] == 0).all()
    assert correct["label_smoothing"].tolist() == pytest.approx(correct["logit_maxsup_penalty"].tolist())
    assert (wrong["label_smoothing"] < wrong["logit_maxsup_penalty"]).all()


def test_at_collapse_classes_are_points():
    found = by_class(represented(simplex(4, 6, 5)))
    frame = table(found)
    for name in ("d_within", "d_within_unbiased", "variance", "cdnv", "d_within_error", "variance_error"):
        assert frame[name].tolist() == pytest.approx([0] * 4, abs=1e-12), name
    assert frame["effective_rank"].isna().all() and (frame["accuracy"] == 1).all()
    assert found.notes == ("classes with samples that coincide, hence no effective rank: 0, 1, 2, 3",)


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 60), max_size=6), by=st.sampled_from(["class", "decile"]))
def test_blocks_do_not_matter(cuts: list[int], by: str):
    whole = represented(CLOUDS["unbalanced"])
    one, other = BREAKDOWNS[by](whole), BREAKDOWNS[by](cut(whole, cuts))
    pd.testing.assert_frame_equal(one.frame, other.frame, rtol=1e-9, atol=1e-12)
    assert one.notes == other.notes


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31))
def test_rotation_names_and_order_do_not_matter(seed: int):
    rng, data = np.random.default_rng(seed), CLOUDS["unbalanced"]
    rotation, _ = np.linalg.qr(rng.normal(size=(9, 9)))
    names, order = rng.permutation(5), rng.permutation(len(data.labels))
    logits = np.empty_like(data.logits)
    logits[:, names] = data.logits + 3
    turned = Cloud(
        (data.features @ rotation)[order], names[data.labels][order], logits[order], data.weight, data.bias
    )
    plain, other = (table(by_class(without_head(one))) for one in (data, turned))
    other = other.loc[names].drop(columns=["class", "nearest"]).set_index(plain.index)
    pd.testing.assert_frame_equal(plain.drop(columns=["class", "nearest"]), other, rtol=1e-8, atol=1e-10)
    plain, other = (table(by_decile(without_head(one))) for one in (data, turned))
    pd.testing.assert_frame_equal(plain, other, rtol=1e-8, atol=1e-10)


@settings(max_examples=50)
@given(
    labels=st.lists(st.integers(0, 2), min_size=1, max_size=12),
    cut_at=st.integers(0, 12),
    seed=st.integers(0, 9),
)
def test_columns_add(labels: list[int], cut_at: int, seed: int):
    y = torch.tensor(labels)
    numbers = torch.randn(len(y), 2, generator=torch.Generator().manual_seed(seed)).double() + 1e6
    whole = Columns.of(numbers, y, 3)
    parts = Columns.of(numbers[:cut_at], y[:cut_at], 3) + Columns.of(numbers[cut_at:], y[cut_at:], 3)
    assert (whole.counts == parts.counts).all()
    assert torch.allclose(whole.means, parts.means, rtol=1e-14) and torch.allclose(
        whole.squares, parts.squares
    )
    for k in set(labels):
        part = numbers[y == k]
        if len(part) > 1:
            assert torch.allclose(parts.errors[k] ** 2 * len(part), part.var(0))
        else:
            assert parts.errors[k].isnan().all()


def test_many_classes_are_compared_a_strip_at_a_time(monkeypatch: pytest.MonkeyPatch):
    data = cloud(9, 4, [4] * 9, seed=2)
    whole = table(by_class(represented(data)))
    monkeypatch.setattr(breakdown, "STRIP", 20)
    pd.testing.assert_frame_equal(table(by_class(represented(data))), whole)


def test_what_a_worker_gets_can_be_sent_to_it():
    whole = represented(CLOUDS["balanced"])
    function = pickle.loads(pickle.dumps(partial(class_columns, representation=whole.summary, classes=4)))
    assert (function(next(iter(whole.blocks))).samples.counts == 12).all()


def test_classes_without_enough_samples_say_what_they_lack():
    found = by_class(represented(cloud(5, 6, [1, 0, 2, 8, 3], seed=3)))
    frame = table(found)
    assert frame.index.tolist() == [0, 2, 3, 4] and frame.loc[0, "d_within"] < 1e-28
    for name in ("d_within_unbiased", "effective_rank", "d_within_error", "variance_error", "accuracy_error"):
        assert math.isnan(frame.loc[0, name]), name
    # Two samples are equally far from their mean: that this never varies says nothing.
    assert math.isnan(frame.loc[2, "variance_error"]) and math.isnan(frame.loc[2, "d_within_error"])
    assert frame.loc[2, "effective_rank"] == 1 and not math.isnan(frame.loc[2, "accuracy_error"])
    assert not frame.loc[3:].isna().any(axis=None)
    assert found.notes == (
        "classes without samples have no row: 1",
        "classes with one sample, hence no unbiased d_within, effective rank or standard error: 0",
        "classes with two samples, equally far from their mean, hence no standard error of d_within or variance: 2",
    )


def test_zero_vectors_are_left_out_and_a_class_of_them_has_no_direction():
    data = cloud(3, 5, [6] * 3)
    data.features[data.labels == 1] = 0
    data.features[np.flatnonzero(data.labels == 2)[0]] = 0
    found = by_class(represented(data))
    kept = data.features[data.labels == 2][1:]
    assert table(found).loc[2, "d_within"] == pytest.approx(pairwise_distances(kept, metric="cosine").mean())
    assert math.isnan(table(found).loc[1, "d_within"]) and table(found).loc[1, "variance"] < 1e-28
    assert found.notes == (
        "zero vectors have no direction and are left out of d_within: 7",
        "classes with only zero vectors, hence no d_within: 1",
        "classes with samples that coincide, hence no effective rank: 1",
    )


def test_one_class_has_no_neighbour_and_equal_means_no_cdnv():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(8, 4))
    alone = by_class(represent_arrays(half, np.zeros(8, int), np.ones((8, 1))))
    assert table(alone).loc[0, "nearest"] is None and math.isnan(table(alone).loc[0, "cdnv"])
    assert alone.notes == ("only one class has samples, so none is nearest",)
    labels = np.repeat([0, 1, 2], 8)
    features = np.concatenate([half, half[::-1], half + 5])
    equal = by_class(represent_arrays(features, labels, np.eye(3)[labels]))
    assert (
        table(equal)["nearest"].tolist()[:2] == ["1", "0"]
        and table(equal)["cdnv"].isna().tolist()[:2] == [True] * 2
    )
    assert equal.notes == ("classes with the mean of their nearest class, hence no cdnv: 0, 1",)


def test_without_logits_the_geometry_is_left():
    data = CLOUDS["balanced"]
    found = by_class(without_logits(data))
    assert table(found)["accuracy"].isna().all() and table(found)["ece"].isna().all()
    assert table(found)["variance"].tolist() == table(by_class(represented(data)))["variance"].tolist()
    reason = "there are neither logits nor a head to compute them from"
    assert found.notes == (f"accuracy and what else depends on logits is unknown: {reason}",)
    deciles = by_decile(without_logits(data))
    assert table(deciles)["accuracy"].isna().all()
    assert deciles.notes == (
        f"samples are in no order of confidence, and nothing of them is known: {reason}",
    )


def test_features_beyond_the_range_of_float64_say_so():
    data = CLOUDS["balanced"]
    huge = Cloud(data.features * 2.0**1000, data.labels, data.logits, data.weight, data.bias)
    found, plain = by_class(represented(huge)), table(by_class(represented(data)))
    assert table(found)["variance"].isna().all() and table(found)["cdnv"].isna().all()
    for name in ("nearest", "accuracy"):
        assert table(found)[name].tolist() == plain[name].tolist()
    assert table(found)["d_within"].tolist() == pytest.approx(plain["d_within"].tolist())
    assert found.notes == (
        "classes with squares beyond the range of float64, hence no variance; scale the features: 0, 1, 2, 3",
    )


def test_few_samples_make_few_groups_and_groups_without_wrong_samples_say_so():
    data = cloud(2, 3, [2, 2])
    logits = 3.0 * np.eye(2)[data.labels] + 0.1 * np.arange(4)[:, None] * np.eye(2)[data.labels]
    found = by_decile(represent_arrays(data.features, data.labels, logits))
    assert table(found).xs("all", level="samples")["n"].tolist() == [1, 1, 1, 1]
    assert table(found).xs("all", level="samples")["lowest"].is_monotonic_increasing
    assert found.notes == (
        "4 samples make 4 groups, not 10",
        "groups without wrong samples have no means of them: 1, 2, 3, 4",
    )


def test_equal_confidences_stay_in_the_order_of_the_rows():
    labels = np.array([0] * 10 + [1] * 10)
    found = by_decile(represent_arrays(np.eye(20), labels, np.tile([2.0, 1.0], (20, 1))))
    assert table(found).xs("all", level="samples")["accuracy"].tolist() == [1] * 5 + [0] * 5


def test_names_in_notes_are_the_first_ten():
    found = by_class(represent_arrays(np.eye(12), np.arange(12), np.eye(12)))
    assert found.notes[0].endswith("0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more")


def test_json_is_strict_and_whole():
    found = by_class(represented(cloud(3, 4, [1, 6, 6])))
    document = json.loads(
        found.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON")
    )
    assert document["format"] == "maxsup-analysis breakdown, version 1"
    assert document["rows"][0]["effective_rank"] is None and document["rows"][0]["label"] == 0
    assert document["rows"][1]["variance"] == table(found).loc[1, "variance"]
    assert document["notes"] == list(found.notes)
    deciles = json.loads(by_decile(represented(CLOUDS["balanced"])).to_json())
    assert [row["samples"] for row in deciles["rows"][:3]] == ["all", "correct", "wrong"]


def test_a_breakdown_that_does_not_exist_names_those_that_do():
    with pytest.raises(
        InputError, match=r"^no breakdown is called 'clas'; did you mean 'class'\? There are: class, decile$"
    ):
        BREAKDOWNS["clas"]
    assert all(isinstance(BREAKDOWNS[by](represented(CLOUDS["balanced"])), Breakdown) for by in BREAKDOWNS)


def test_where_all_of_a_class_are_right_the_error_of_its_accuracy_is_not_zero():
    data = CLOUDS["balanced"]
    logits = 9.0 * np.eye(int(data.labels.max()) + 1)[data.labels]
    frame = by_class(represent_arrays(data.features, data.labels, logits)).frame
    assert set(frame["accuracy"]) == {1.0} and min(frame["accuracy_error"]) > 0
