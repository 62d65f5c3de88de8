"""Simulated coverage of the 95 % intervals; prints a Markdown table.

Each setting draws many data sets, measures them, and counts how often value +- 1.96 SE holds the metric's expected
value at that number of samples (the mean over all data sets drawn), and for d_within_unbiased also the population's
value (from one very large sample). Run: python benchmarks/coverage.py
"""

from dataclasses import dataclass

import numpy as np
import torch

from maxsup_analysis.estimates import estimate
from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.metrics import METRICS

METRIC_NAMES = (
    "d_within", "class_separation", "nc1_trace_ratio", "distance_to_own_mean_relative", "accuracy", "d_within_unbiased",
)  # fmt: skip
DATA_SETS = 2000
NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Setting:
    """Classes around random centres; `gap` scales the centres, `rectified` clips below zero as ReLU does."""

    title: str
    K: int
    n: int
    D: int
    gap: float
    rectified: bool = False
    unequal: bool = False

    def centres(self) -> np.ndarray:
        """K class centres, always the same."""
        return self.gap * np.random.default_rng(0).normal(size=(self.K, self.D))

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels, n samples a class."""
        labels = np.repeat(np.arange(self.K), n)
        spread = np.linspace(0.5, 1.5, self.K)[labels, None] if self.unequal else 1.0
        features = self.centres()[labels] + spread * rng.normal(size=(len(labels), self.D))
        return (features.clip(min=0) if self.rectified else features), labels


SETTINGS = (
    Setting("Gaussian classes", 10, 100, 32, 0.6),
    Setting("rectified, as after ReLU", 10, 100, 64, 1.0, rectified=True),
    Setting("unequal spreads", 20, 200, 16, 0.8, unequal=True),
    Setting("hardly separated", 10, 100, 8, 0.2),
)


def measured(setting: Setting, rng: np.random.Generator, n: int) -> np.ndarray:
    """Value and standard error of each metric on one data set."""
    features, labels = setting.draw(rng, n)
    centres = setting.centres()
    representation = represent_arrays(features, labels, weight=centres, bias=-(centres**2).sum(1) / 2)
    estimates = estimate(representation, [METRICS[name] for name in METRIC_NAMES])
    return np.array([(estimates[name].value, estimates[name].standard_error) for name in METRIC_NAMES])


def coverage(results: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of intervals that hold the truth, metric by metric, in percent."""
    values, errors = results[..., 0], results[..., 1]
    return 100 * (np.abs(values - truth) <= NORMAL_95 * errors).mean(0)


def main() -> None:
    torch.set_num_threads(2)
    print("| setting | K | n | D | metric | mean | SD over data sets | mean SE | coverage % |")
    print("|---|--:|--:|--:|---|--:|--:|--:|--:|")
    for setting in SETTINGS:
        rng = np.random.default_rng(1)
        results = np.stack([measured(setting, rng, setting.n) for _ in range(DATA_SETS)])
        means, spread = results.mean(0), results[..., 0].std(0, ddof=1)
        covered = coverage(results, means[:, 0])
        head = f"| {setting.title} | {setting.K} | {setting.n} | {setting.D}"
        for i, name in enumerate(METRIC_NAMES):
            row = f"{name} | {means[i, 0]:.5f} | {spread[i]:.5f} | {means[i, 1]:.5f} | {covered[i]:.1f}"
            print(f"{head} | {row} |")
        population = measured(setting, rng, 50_000)[-1, 0]
        against = coverage(results, np.array([np.nan] * (len(METRIC_NAMES) - 1) + [population]))[-1]
        row = f"same, population | {population:.5f} | {spread[-1]:.5f} | {means[-1, 1]:.5f} | {against:.1f}"
        print(f"{head} | {row} |", flush=True)


if __name__ == "__main__":
    main()
