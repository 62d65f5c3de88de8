"""Tests for every metric against the dumb reference, on the simplex, and as entries of the table."""

import math

import pytest

from maxsup_analysis.metrics import METRICS
from tests.clouds import Cloud, cloud, simplex
from tests.oracle import ORACLE

CLOUDS = {
    "balanced": cloud(4, 7, [12] * 4),
    "unbalanced": cloud(5, 9, [3, 14, 8, 2, 20], seed=1),
    "two classes": cloud(2, 5, [9, 13], seed=5),
    "more classes than dimensions": cloud(7, 3, [8] * 7, seed=3),
    "as many as dimensions allow": cloud(5, 4, [9] * 5, seed=4),
}


def test_the_reference_knows_every_metric():
    assert set(ORACLE) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("kind", CLOUDS)
def test_every_metric_is_its_equation(name: str, kind: str):
    data: Cloud = CLOUDS[kind]
    assert data.measured()[name].value == pytest.approx(ORACLE[name](*data.arrays), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize(("K", "D"), [(2, 2), (4, 4), (5, 9), (10, 64)])
@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.collapsed is not None])
def test_every_metric_is_right_at_exact_collapse(name: str, K: int, D: int):
    # Norms and angles lose half the digits where they are zero: their square is what is exact.
    assert simplex(K, D, 6).measured()[name].value == pytest.approx(METRICS[name].collapsed, abs=1e-7)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_described_and_has_an_error(name: str):
    metric, item = METRICS[name], CLOUDS["balanced"].measured()[name]
    assert (
        metric.summary.endswith(".")
        and metric.convention
        and metric.source
        and metric.formula
        and metric.label
    )
    assert math.isfinite(item.value) and item.standard_error >= 0 and item.reason is None
