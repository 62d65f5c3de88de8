"""Tests for comparisons: pairing, signs, seeds and words."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats

from maxsup_analysis.comparison import compare
from maxsup_analysis.errors import InputError
from maxsup_analysis.measurements import Measurements, measure
from maxsup_analysis.sampling import within_classes


def run(seed: int, shift: float = 0.0, n: int = 40) -> Measurements:
    """A run on the samples that all runs share: the same noise, other logits."""
    shared, own = np.random.default_rng(0), np.random.default_rng(seed)
    labels = np.arange(4 * n) % 4
    centres = 3 * np.eye(4, 6)
    noise = shared.normal(size=(4 * n, 6))
    features = centres[labels] + noise * (1 + shift) + 0.02 * own.normal(size=noise.shape)
    return measure(features, labels, weight=centres, bias=np.zeros(4))


def test_swapping_flips_the_signs_and_nothing_else():
    groups = {"A": [run(1), run(2)], "B": [run(3, 0.1), run(4, 0.1)]}
    one, other = compare(groups, baseline="A"), compare(groups, baseline="B")
    for metric in one.levels:
        first, second = one.difference(metric, "B").interval, other.difference(metric, "A").interval
        assert first.value == pytest.approx(-second.value, rel=1e-12, abs=1e-15)
        if not math.isnan(first.low):
            assert (first.low, first.high) == pytest.approx((-second.high, -second.low), rel=1e-12, abs=1e-15)


def test_paired_error_of_an_accuracy_difference_is_the_textbook_one():
    """Stratified variance of per-sample differences of hits, classes drawn separately."""
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(3), 50)
    hits = rng.random((2, 150)) < np.array([[0.7], [0.8]])
    logits = [np.eye(3)[np.where(hit, labels, (labels + 1) % 3)] for hit in hits]
    features = rng.normal(size=(150, 4))
    a, b = (measure(features, labels, logits=z) for z in logits)
    gap = compare({"A": [a], "B": [b]}).difference("accuracy", "B").interval
    differences = hits[1].astype(float) - hits[0]
    variance = sum(50 * differences[labels == k].var(ddof=1) for k in range(3)) / 150**2
    assert gap.value == pytest.approx(differences.mean())
    assert gap.sampling_error == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert 10 < gap.degrees_of_freedom < 150
    half = stats.t.ppf(0.975, gap.degrees_of_freedom) * math.sqrt(variance)
    assert gap.half_width == pytest.approx(half, rel=1e-12)


def test_seeds_add_their_own_error():
    groups = {"A": [run(1), run(2), run(3)], "B": [run(4, 0.1), run(5, 0.1), run(6, 0.1)]}
    gap = compare(groups).difference("d_within", "B").interval
    values = {name: np.array([item["d_within"].value for item in group]) for name, group in groups.items()}
    parts = {name: column.var(ddof=1) / 3 for name, column in values.items()}
    assert gap.value == pytest.approx(values["B"].mean() - values["A"].mean(), rel=1e-12)
    assert gap.seed_error == pytest.approx(math.sqrt(sum(parts.values())), rel=1e-12)
    labels, rows = (
        torch.arange(160) % 4,
        {name: [item["d_within"].influence for item in group] for name, group in groups.items()},
    )
    gaps = [b - a for a, b in zip(rows["A"], rows["B"], strict=True) if a is not None and b is not None]
    of_samples = within_classes(torch.stack(gaps).mean(0), labels).degrees_of_freedom
    welch = (gap.sampling_error**2 + sum(parts.values())) ** 2 / (
        gap.sampling_error**4 / of_samples + sum(part**2 / 2 for part in parts.values())
    )
    assert gap.degrees_of_freedom == pytest.approx(welch, rel=1e-12)


def test_pairing_tightens_the_interval():
    a, b = run(1), run(2, 0.1)
    gap = compare({"A": [a], "B": [b]}).difference("d_within", "B").interval
    unpaired = math.hypot(a["d_within"].standard_error, b["d_within"].standard_error)
    assert gap.sampling_error < unpaired / 3


def test_words_follow_the_numbers():
    compared = compare({"A": [run(1)], "B": [run(2, 0.2)], "C": [run(3)]})
    assert compared.difference("d_within", "B").words == "higher than A"
    assert compared.difference("d_within", "B").direction == "away from collapse"
    assert compared.difference("class_separation", "B").words == "lower than A"
    assert compared.difference("d_within", "C").words == "not distinguishable"
    same = compare({"A": [run(1)], "B": [run(1)]})
    assert {row.words for row in same.differences} <= {"equal to A", "undefined"}


def test_one_run_only_is_said():
    assert "one run only of A, B" in compare({"A": [run(1)], "B": [run(2)]}).notes[0]
    assert "one run only of B" in compare({"A": [run(1), run(3)], "B": [run(2)]}).notes[0]
    assert not compare({"A": [run(1), run(3)], "B": [run(2), run(4)]}).notes


def test_networks_of_different_kinds_are_no_seeds():
    features = np.random.default_rng(1).normal(size=(160, 9))
    other = measure(features, np.arange(160) % 4, logits=features[:, :4])
    notes = compare({"A": [run(1), other], "B": [run(2), run(3)]}).notes
    assert notes == (
        "runs of A are of different networks, whose spread is not that of seeds: 6 features, 9 features",
    )


def test_other_samples_are_refused():
    with pytest.raises(InputError, match="expected the same samples in every run, got 160 and 120"):
        compare({"A": [run(1)], "B": [run(2, n=30)]})
    other = measure(torch.randn(160, 3), torch.zeros(160).long())
    with pytest.raises(InputError, match="expected the same label for the same id"):
        compare({"A": [run(1)], "B": [other]})


def test_json_is_strict_and_complete():
    document = json.loads(compare({"A": [run(1)], "B": [run(2)]}).to_json(), parse_constant=pytest.fail)
    rows = {(row["metric"], row["name"]): row for row in document["rows"]}
    assert rows["accuracy", "A"]["verdict"] == "baseline" and rows["accuracy", "A"]["difference"] is None
    assert rows["accuracy", "B"]["seed_error"] is None
