"""Tests for corruptions by noise: their moments are those of their distributions."""

import numpy as np
import pytest
from scipy import stats

from maxsup_analysis.datasets import CORRUPTIONS

SMALL, LARGE = (60, 60, 3), (128, 128, 3)
# By severity, as the authors' scripts for CIFAR-10-C and ImageNet-C have them.
DEVIATIONS = {SMALL: [0.04, 0.06, 0.08, 0.09, 0.10], LARGE: [0.08, 0.12, 0.18, 0.26, 0.38]}
PHOTONS = {SMALL: [500, 250, 100, 75, 50], LARGE: [60, 25, 12, 5, 3]}
SHARES = {SMALL: [0.01, 0.02, 0.03, 0.05, 0.07], LARGE: [0.03, 0.06, 0.09, 0.17, 0.27]}
CASES = [(shape, severity) for shape in (SMALL, LARGE) for severity in range(1, 6)]


def corrupted(kind: str, value: float, shape: tuple, severity: int, number: int = 0) -> np.ndarray:
    return CORRUPTIONS[kind](np.full(shape, value), severity, seed=0, number=number)


@pytest.mark.parametrize(("shape", "severity"), CASES)
def test_gaussian_noise_is_normal(shape: tuple, severity: int):
    found = corrupted("gaussian_noise", 0.5, shape, severity)
    deviation = DEVIATIONS[shape][severity - 1]
    inside = found[(found > 0) & (found < 1)]
    normal = stats.truncnorm(-0.5 / deviation, 0.5 / deviation, loc=0.5, scale=deviation)
    assert stats.kstest(inside, normal.cdf).pvalue > 1e-4
    cut = float(2 * stats.norm.sf(0.5 / deviation))
    assert stats.binomtest(found.size - inside.size, found.size, cut).pvalue > 1e-4


@pytest.mark.parametrize(("shape", "severity"), CASES)
def test_shot_noise_counts_photons(shape: tuple, severity: int):
    photons = PHOTONS[shape][severity - 1]
    counts = corrupted("shot_noise", 0.4, shape, severity) * photons
    assert np.allclose(counts, np.rint(counts))
    # Clipping at 1 takes the counts above all photons together.
    chances = stats.poisson.pmf(np.arange(photons + 1), 0.4 * photons)
    chances[-1] = stats.poisson.sf(photons - 1, 0.4 * photons)
    found = np.bincount(np.rint(counts).astype(int).ravel(), minlength=photons + 1)
    common = chances * counts.size > 5
    expected = chances[common] / chances[common].sum() * found[common].sum()
    assert stats.chisquare(found[common], expected).pvalue > 1e-4
    assert found[~common].sum() <= 30 + 3 * chances[~common].sum() * counts.size


@pytest.mark.parametrize(("shape", "severity"), CASES)
def test_impulse_noise_replaces_a_share(shape: tuple, severity: int):
    found = corrupted("impulse_noise", 0.5, shape, severity)
    assert set(np.unique(found)) == {0, 0.5, 1}
    black, white = int((found == 0).sum()), int((found == 1).sum())
    assert stats.binomtest(black + white, found.size, SHARES[shape][severity - 1]).pvalue > 1e-4
    assert stats.binomtest(black, black + white, 0.5).pvalue > 1e-4


@pytest.mark.parametrize("kind", ["gaussian_noise", "shot_noise", "impulse_noise"])
def test_channels_and_images_have_noise_of_their_own(kind: str):
    one, other = (corrupted(kind, 0.5, SMALL, 5, number) for number in (0, 1))
    pairs = [(one[..., 0], one[..., 1]), (one, other), (one[:-1], one[1:]), (one[:, :-1], one[:, 1:])]
    for a, b in pairs:
        # A correlation of independent values has a deviation of 1 / sqrt(N).
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)
