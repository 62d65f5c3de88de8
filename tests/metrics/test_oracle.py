"""Tests for every metric against the dumb reference, on the simplex, and as entries of the table."""

import math

import pytest

from maxsup_analysis import Measurements
from maxsup_analysis.metrics import METRICS
from tests.clouds import cloud, simplex
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


# The fit takes ranks 11 to 100: tests of its own have wider data.
ON_WIDE_DATA = {"alpha_req", "alpha_req_r2", "alpha_req_within", "alpha_req_r2_within"}


@pytest.fixture(scope="module")
def measured() -> dict[str, Measurements]:
    """Every metric of each cloud."""
    return {kind: data.measured() for kind, data in CLOUDS.items()}


@pytest.mark.parametrize("name", [name for name in METRICS if name not in ON_WIDE_DATA])
@pytest.mark.parametrize("kind", CLOUDS)
def test_every_metric_is_its_equation(name: str, kind: str, measured: dict[str, Measurements]):
    expected = ORACLE[name](*CLOUDS[kind].arrays)
    assert measured[kind][name].value == pytest.approx(expected, rel=1e-10, abs=1e-14, nan_ok=True)


@pytest.mark.parametrize(("K", "D"), [(2, 2), (4, 4), (5, 9), (10, 64)])
def test_every_metric_is_right_at_exact_collapse(K: int, D: int):
    found = simplex(K, D, 6).measured()
    for name, metric in METRICS.items():
        # Norms and angles lose half the digits where they are zero: their square is what is exact.
        if metric.collapsed is not None:
            assert found[name].value == pytest.approx(metric.collapsed, abs=1e-7), name


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_described_and_has_an_error(name: str, measured: dict[str, Measurements]):
    metric, item = METRICS[name], measured["balanced"][name]
    assert (
        metric.summary.endswith(".")
        and metric.convention
        and metric.source
        and metric.formula
        and metric.label
    )
    if name in ON_WIDE_DATA:
        assert item.reason and "11 to 100" in item.reason
    else:
        assert math.isfinite(item.value)
        assert item.standard_error >= 0 or item.reason
