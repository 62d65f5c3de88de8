"""Tests for influences and standard errors, against weights that are moved and samples that are left out."""

import math

import numpy as np
import pytest
import torch

from maxsup_analysis import Measurements, measure, moments
from maxsup_analysis.estimates import NOT_ASKED
from maxsup_analysis.measurements import measure_representation, represent_arrays
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.sampling import within_classes
from tests.clouds import as_if_many_samples, cloud
from tests.oracle import ORACLE

DATA = cloud(3, 4, [40, 30, 50], seed=7)
MEASURED = DATA.measured()
M = 12


def has_no_duplicates(name: str) -> bool:
    """Whether a metric means something else where a sample stands in the data twice; its own tests then weigh it.

    Pairs of different samples; ranks whose average depends on how many there are; edges that are held fixed;
    halves of the samples that their ids decide; the first so many samples of a class; the number of samples itself.
    """
    words = ("unbiased", "aurc", "adaptive", "at_temperature", "normalised_logit", "alpha_req")
    words += ("rank_within", "rankme_within", "ratio_within", "samples_per")
    return any(word in name for word in words)


@pytest.fixture(scope="module")
def reweighted() -> dict[int, tuple[Measurements, Measurements]]:
    """Samples -> all metrics where it weighs 1 + 1/m, and 1 - 1/m: it stands m + 1 or m - 1 times, all others m."""
    found = {}
    for i in (0, 17, 63):
        both = []
        for extra in (1, -1):
            times = np.full(len(DATA.labels), M)
            times[i] += extra
            chosen = np.repeat(np.arange(len(times)), times)
            rows = (DATA.features[chosen], DATA.labels[chosen], DATA.logits[chosen])
            both.append(measure(*rows, DATA.weight, DATA.bias, groups=("all",)))
        found[i] = (both[0], both[1])
    return found


@pytest.fixture(scope="module")
def as_if_many() -> Measurements:
    """Measured without what few samples change in influences through spreads, and without asking for more."""
    with as_if_many_samples():
        return DATA.measured()


@pytest.mark.parametrize("name", [name for name in METRICS if not has_no_duplicates(name)])
def test_influence_is_the_derivative_with_respect_to_a_samples_weight(
    name: str, reweighted: dict[int, tuple[Measurements, Measurements]], as_if_many: Measurements
):
    found = as_if_many[name].influence
    assert found is not None
    for i, (heavier, lighter) in reweighted.items():
        derivative = (heavier[name].value - lighter[name].value) / (2 / M)
        # Central differences of a smooth function of weights that sum to 120: the error is of order (1/m/40)^2.
        assert float(found[i]) == pytest.approx(derivative, rel=2e-3, abs=2e-6)


def test_spreads_that_are_summed_are_those_that_follow_from_the_means(monkeypatch: pytest.MonkeyPatch):
    """Spreads from squared lengths and those of the means, and influences from products with features alone."""
    monkeypatch.setattr(moments, "LOOSE", math.inf)
    summed = DATA.measured()
    for name, item in MEASURED.items():
        assert summed[name].value == pytest.approx(item.value, rel=1e-12, abs=1e-15, nan_ok=True), name
        if item.influence is not None:
            other = summed[name].influence
            assert other is not None
            assert float((other - item.influence).norm()) <= 1e-10 * float(item.influence.norm()) + 1e-15, (
                name
            )


@pytest.mark.parametrize("offset", [0.0, 3.0, 300.0])
@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_values_and_influences_of_float32_are_those_of_float64(offset: float, spread: float):
    """Whether means are near or far, and directions loose or not; a zero vector among them."""
    data = cloud(4, 30, [40, 50, 20, 60], seed=9)
    centres = np.stack([data.features[data.labels == k].mean(0) for k in range(4)])
    features = (centres + offset)[data.labels] + spread * (data.features - centres[data.labels])
    features[7] = 0
    rows = (data.labels, data.logits, data.weight, data.bias)
    narrow = measure(features.astype(np.float32), *rows, groups=("all",))
    wide = measure(features.astype(np.float32).astype(np.float64), *rows, groups=("all",))
    for name, item in wide.items():
        if "scatter" in METRICS[name].needs and (spread < 1 or offset > 3):
            continue  # functions of small eigenvalues of a product in float32, beside the zero vector's large one
        assert narrow[name].value == pytest.approx(item.value, rel=1e-6, abs=1e-9, nan_ok=True), name
        mine, theirs = narrow[name].influence, item.influence
        assert (mine is None) == (theirs is None), name
        if mine is not None and theirs is not None:
            assert float((mine - theirs).norm()) <= 1e-5 * float(theirs.norm()) + 1e-12, name


@pytest.mark.parametrize("name", ["d_within_unbiased", "class_separation", "nc1_pinv", "cdnv"])
def test_the_standard_error_is_close_to_the_jackknifes(name: str):
    """Leave one out, stratified: sum over classes of (n - 1)/n sum (value - class mean)^2."""
    data = cloud(3, 4, [25, 25, 25], seed=8)
    left_out = np.array([
        ORACLE[name](*(part[np.arange(75) != i] for part in data.arrays[:3]), data.weight, data.bias)
        for i in range(75)
    ])  # fmt: skip
    groups = [left_out[data.labels == k] for k in range(3)]
    jackknife = math.sqrt(sum(24 / 25 * ((group - group.mean()) ** 2).sum() for group in groups))
    assert data.measured()[name].standard_error == pytest.approx(jackknife, rel=0.08)


def test_the_standard_error_of_accuracy_is_the_textbook_one():
    hits = (DATA.logits.argmax(1) == DATA.labels).astype(float)
    n = [40, 30, 50]
    variance = sum(n[k] * hits[DATA.labels == k].var(ddof=1) for k in range(3)) / 120**2
    assert MEASURED["accuracy"].standard_error == pytest.approx(math.sqrt(variance), rel=1e-12)


def test_the_standard_error_of_a_mean_ignores_what_lies_between_classes():
    values = torch.tensor([1.0, 2.0, 11.0, 12.0], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1])
    assert within_classes(values / 4, labels).error == pytest.approx(math.sqrt(2 * (2 * 0.5)) / 4)


def test_a_metric_of_the_head_does_not_depend_on_the_samples():
    for name in ("nc2_equinorm_head", "nc2_equiangular_head", "nc2_etf_head"):
        item = MEASURED[name]
        assert item.standard_error == 0 and item.influence is not None and not item.influence.any()


def test_standard_errors_can_be_left_out():
    representation = represent_arrays(*DATA.arrays)
    measured = measure_representation(representation, metrics=METRICS.values(), standard_errors=False)
    for name, item in measured.items():
        assert item.value == pytest.approx(MEASURED[name].value, rel=1e-12, nan_ok=True)
        assert math.isnan(item.standard_error) and item.influence is None
        assert item.reason == NOT_ASKED or "11 to 100" in str(item.reason), name
