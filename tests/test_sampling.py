"""Tests for variances within classes and how well they are known: against normal numbers, whose answers are closed."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from maxsup_analysis.sampling import (
    direction_factors,
    distance_factors,
    interval_ends,
    quantile_95,
    spread_factors,
    within_classes,
)


def variance_of(values: np.ndarray, labels: np.ndarray):
    return within_classes(torch.from_numpy(values), torch.from_numpy(labels))


@pytest.mark.parametrize("n", [2, 3, 12])
def test_one_class_of_normal_numbers_has_students_interval(n: int):
    """The variance of a sum of n numbers is n s^2, and its interval has n - 1 degrees of freedom."""
    values = stats.norm.ppf((np.arange(n) + 0.5) / n)
    found = variance_of(values, np.zeros(n, int))
    assert found.value == pytest.approx(n * values.var(ddof=1), rel=1e-12)
    assert found.degrees_of_freedom == pytest.approx(n - 1, rel=1e-12)


def test_classes_add_and_pool_what_is_known_of_them():
    """Of K classes of n normal numbers of one variance: K (n - 1) degrees of freedom, but for chance."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(1000), 3)
    found = variance_of(rng.normal(size=3000), labels)
    assert found.degrees_of_freedom == pytest.approx(2000, rel=0.1)
    assert found.value == pytest.approx(3000, rel=0.1)
    halves = [variance_of(rng.normal(size=30), np.repeat(np.arange(3), 10)) for _ in range(2)]
    both = halves[0] + halves[1]
    assert both.value == halves[0].value + halves[1].value
    assert max(half.degrees_of_freedom for half in halves) < both.degrees_of_freedom


def test_a_few_samples_that_differ_are_few_degrees_of_freedom():
    """Of m ones among many zeros the variance is known as well as m is, whose relative variance is 1/m."""
    for m in (4, 40):
        values = (np.arange(10_000) < m).astype(float)
        assert variance_of(values, np.zeros(10_000, int)).degrees_of_freedom == pytest.approx(2 * m, rel=0.6)
    assert variance_of((np.arange(300) < 1).astype(float), np.arange(300) % 3).degrees_of_freedom == 1


@pytest.mark.parametrize("scale", [1e-120, 1e-90, 1.0, 1e90])
def test_the_size_of_influences_changes_no_degree_of_freedom(scale: float):
    values, labels = np.random.default_rng(1).normal(size=40), np.arange(40) % 4
    found, plain = variance_of(scale * values, labels), variance_of(values, labels)
    assert found.degrees_of_freedom == pytest.approx(plain.degrees_of_freedom, rel=1e-9)
    assert found.error == pytest.approx(scale * plain.error, rel=1e-9)


def test_numbers_that_are_equal_have_no_variance_and_numbers_beyond_range_no_finite_one():
    assert variance_of(np.ones(6), np.arange(6) % 2).error == 0
    assert not math.isfinite(variance_of(np.array([1e200, -1e200, 0.0]), np.zeros(3, int)).error)


@pytest.mark.parametrize("freedom", [1.0, 2.5, 30.0, math.inf])
def test_quantiles_are_students(freedom: float):
    assert quantile_95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-10)


@pytest.mark.parametrize("n", [3, 4, 10])
def test_the_variance_of_a_spread_is_unbiased_for_normal_vectors(n: int):
    """Var(sum |x - mean x|^2) = 2 (n - 1) tr(S^2), whatever the covariance S."""
    rng = np.random.default_rng(n)
    scales = np.array([3.0, 1.0, 1.0, 0.5])
    x = rng.normal(size=(20_000, n, 4)) * scales
    squares = torch.from_numpy(((x - x.mean(1, keepdims=True)) ** 2).sum(2))
    factor = float(spread_factors(torch.tensor([float(n)]).double()))
    draws = torch.arange(20_000).repeat_interleave(n)
    found = within_classes(factor * squares.flatten(), draws).value / 20_000
    assert found == pytest.approx(2 * (n - 1) * (scales**4).sum(), rel=0.05)


@pytest.mark.parametrize("gap", [0.05, 0.6, 3.0])
@pytest.mark.parametrize("n", [3, 10])
def test_the_variance_of_a_spread_of_directions_is_that_over_many_draws(n: int, gap: float):
    """Isotropic noise around a mean that is none, as long as the noise, or much longer."""
    rng = np.random.default_rng(n)
    x = gap + rng.normal(size=(6_000, n, 20))
    u = x / np.linalg.norm(x, axis=2, keepdims=True)
    squares = torch.from_numpy(((u - u.mean(1, keepdims=True)) ** 2).sum(2))
    spreads = squares.sum(1)
    factors = direction_factors(torch.full_like(spreads, n), spreads)
    draws = torch.arange(6_000).repeat_interleave(n)
    found = within_classes((factors[:, None] * squares).flatten(), draws).value / 6_000
    assert found == pytest.approx(float(spreads.var()), rel=0.15)


def test_a_mean_distance_has_the_variance_of_a_spread_however_few_samples():
    """With what goes through the mean, on average what the mean distance has over many draws."""
    rng, n, D = np.random.default_rng(3), 4, 40
    x = rng.normal(size=(6_000, n, D))
    deviations = x - x.mean(1, keepdims=True)
    lengths = np.linalg.norm(deviations, axis=2, keepdims=True)
    pulls = (deviations / lengths).sum(1, keepdims=True)
    factor = float(distance_factors(torch.tensor([float(n)]).double()))
    influences = factor * lengths[..., 0] - (pulls * deviations).sum(2) / n
    found = within_classes(torch.from_numpy(influences).flatten(), torch.arange(6_000).repeat_interleave(n))
    assert found.value / 6_000 == pytest.approx(lengths.sum(1).var(), rel=0.1)


@pytest.mark.parametrize("ratio", [0.01, 0.4, 3.0])
def test_the_interval_of_a_skewed_number_is_that_of_its_logarithm(ratio: float):
    """ln v +- (t SE)/v, which stays above 0, and is v +- t SE where that is short."""
    found = interval_ends(2.0, 2.0 * ratio, skewed=True)
    assert (math.log(found.low), math.log(found.high)) == pytest.approx(
        (math.log(2) - ratio, math.log(2) + ratio)
    )
    plain = interval_ends(2.0, 2.0 * ratio, skewed=False)
    assert (plain.low, plain.high) == pytest.approx((2 - 2 * ratio, 2 + 2 * ratio))
    assert found.low > 0 and found.low > plain.low and found.high > plain.high


def test_a_number_that_is_not_positive_has_no_logarithm_and_an_unknown_error_no_ends():
    assert interval_ends(-1.0, 0.5, skewed=True) == interval_ends(-1.0, 0.5, skewed=False)
    assert math.isnan(interval_ends(1.0, math.nan, skewed=True).low)
    assert interval_ends(1e-9, 1.0, skewed=True).low == pytest.approx(0, abs=1e-300)
