"""Simulated coverage of the 95 % intervals, and false verdicts where nothing differs; prints Markdown tables.

Each setting draws many data sets, measures them, and counts how often the interval of a metric holds its expected value
at these numbers of samples a class: the mean over all data sets drawn. A difference is of two networks that see the
same samples with noise of their own, or of two sets of samples, or of two groups of three such networks.
Run: python benchmarks/coverage.py [SETTING ...], with how many data sets in DATA_SETS.
"""

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from maxsup_analysis.contrasts import Repeated, Term, contrast
from maxsup_analysis.estimates import Estimates, estimate
from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.metrics import METRICS

NAMES = (
    "d_within", "d_within_unbiased", "class_separation", "cdnv", "within_variance", "between_variance",
    "nc1_trace_ratio", "nc2_etf_means", "nc3_self_duality", "distance_to_own_mean", "distance_to_own_mean_correct",
    "distance_to_own_mean_relative", "distance_to_predicted_mean", "cosine_to_own_direction_correct", "effective_rank",
    "effective_rank_within", "accuracy", "nll", "brier", "aurc_msp", "feature_norm", "logit_margin",
)  # fmt: skip
DATA_SETS = int(os.environ.get("DATA_SETS", "2000"))
LEAST_GIVEN = 0.5  # of data sets that have an interval, for its coverage to be told


@dataclass(frozen=True)
class Setting:
    """Normal classes around random centres.

    sizes: samples of each class. gap: the length scale of the centres. wrong: share of samples that are of another
    class than their label. ties: whether logits are rounded, so that many scores are equal.
    """

    title: str
    sizes: tuple[int, ...]
    D: int = 16
    gap: float = 0.6
    wrong: float = 0.0
    ties: bool = False
    names: tuple[str, ...] = NAMES

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels."""
        labels = np.repeat(np.arange(len(self.sizes)), self.sizes)
        shift = rng.integers(1, len(self.sizes), len(labels)) * (rng.random(len(labels)) < self.wrong)
        true = (labels + shift) % len(self.sizes)
        return self.centres[true] + rng.normal(size=(len(labels), self.D)), labels

    @property
    def centres(self) -> np.ndarray:
        """Class centres, always the same."""
        return self.gap * np.random.default_rng(0).normal(size=(len(self.sizes), self.D))

    def measured(self, features: np.ndarray, labels: np.ndarray, *, draw: int = 0) -> Estimates:
        """All metrics of one data set; the head is that of the centres. draw: other samples have other ids."""
        centres = self.centres
        bias = -(centres**2).sum(1) / 2
        logits = features @ centres.T + bias
        logits = 3 * np.round(logits / 3) if self.ties else logits
        ids = np.arange(len(labels)) + draw * len(labels)
        representation = represent_arrays(features, labels, logits, weight=centres, bias=bias, ids=ids)
        return estimate(representation, [METRICS[name] for name in self.names])


MANY = (
    "d_within",
    "d_within_unbiased",
    "class_separation",
    "within_variance",
    "accuracy",
    "nll",
    "feature_norm",
)
SETTINGS = (
    Setting("10 x 3", (3,) * 10),
    Setting("10 x 5", (5,) * 10),
    Setting("10 x 10", (10,) * 10),
    Setting("5 x 30", (30,) * 5, gap=1.0),
    Setting("300 to 3", (300, 100, 30, 10, 3)),
    Setting("2 x 3", (3, 3)),
    Setting("2 x 30", (30, 30)),
    Setting("1000 x 3", (3,) * 1000, D=8, names=MANY),
    Setting("wrong labels", (30,) * 5, gap=2.0, wrong=0.2),
    Setting("ties", (30,) * 5, ties=True),
    Setting("one of 2", (2,) + (10,) * 9),
    Setting("2 each", (2,) * 10),
)


def coverage(setting: Setting, rng: np.random.Generator, sets: int) -> dict[str, float]:
    """Of each metric the share of intervals that hold its mean, in percent; NaN where few data sets have one."""
    found = [setting.measured(*setting.draw(rng)) for _ in range(sets)]
    shares = {}
    for name in setting.names:
        values = np.array([one[name].value for one in found])
        lows, highs = (np.array([getattr(one[name], end) for one in found]) for end in ("low", "high"))
        given, mean = np.isfinite(lows), np.nanmean(values)
        held = ((lows <= mean) & (mean <= highs))[given]
        shares[name] = 100 * float(held.mean()) if given.mean() >= LEAST_GIVEN else math.nan
    return shares


def false_verdicts(setting: Setting, rng: np.random.Generator, sets: int) -> dict[str, tuple[float, ...]]:
    """Of each metric the share of differences that are called one: paired, unpaired, and over three seeds."""
    called = {name: np.zeros(3) for name in setting.names}
    for _ in range(sets):
        features, labels = setting.draw(rng)
        others, _ = setting.draw(rng)
        runs = [setting.measured(_seen(features, rng), labels) for _ in range(6)]
        other = setting.measured(_seen(others, rng), labels, draw=1)
        for name in setting.names:
            pairs = ([runs[:1], runs[1:2]], [runs[:1], [other]], [runs[:3], runs[3:]])
            called[name] += [_is_told(name, first, second) for first, second in pairs]
    return {name: tuple(100 * counts / sets) for name, counts in called.items()}


def _seen(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By one of several networks."""
    return features + 0.3 * rng.normal(size=features.shape)


def _is_told(name: str, first: Sequence[Estimates], second: Sequence[Estimates]) -> bool:
    terms = []
    for weight, group in ((1.0, first), (-1.0, second)):
        samples = group[0].samples
        assert samples is not None, "standard errors were asked for"
        terms.append(Term(weight, Repeated(tuple(one[name] for one in group), samples)))
    return contrast(terms).verdict in ("lower", "higher")


def main() -> None:
    torch.set_num_threads(1)
    chosen = [one for one in SETTINGS if not sys.argv[1:] or one.title in sys.argv[1:]]
    for setting in chosen:
        sets = max(DATA_SETS // (2 if sum(setting.sizes) > 1000 else 1), 20)
        shares = coverage(setting, np.random.default_rng(1), sets)
        told = false_verdicts(setting, np.random.default_rng(2), max(sets // 5, 20))
        print(f"\n{setting.title} ({sets} sets)\n\n| metric | coverage % | told: paired | unpaired | seeds |")
        print("|---|--:|--:|--:|--:|")
        for name, share in shares.items():
            cells = " | ".join(f"{cell:.1f}" for cell in told[name])
            print(
                f"| {name} | {'no interval' if math.isnan(share) else f'{share:.1f}'} | {cells} |", flush=True
            )


if __name__ == "__main__":
    main()
