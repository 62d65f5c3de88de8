"""Data that tests share: random clouds with right and wrong predictions, and the exact simplex."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from maxsup_analysis import Measurements, estimates, influence, measure, moment_shares


@dataclass(frozen=True)
class Cloud:
    """Labelled features, their logits, and the head that makes them."""

    features: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.features, self.labels, self.logits, self.weight, self.bias

    def measured(self, *groups: str) -> Measurements:
        """All metrics, or those of groups."""
        return measure(*self.arrays, groups=groups or ("all",))


def cloud(K: int, D: int, counts: list[int], seed: int = 0) -> Cloud:
    """Gaussian classes around random centres, under a head that is only roughly theirs."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(K, D))
    labels = np.repeat(np.arange(K), counts)
    rng.shuffle(labels)
    features = centres[labels] + 0.8 * rng.normal(size=(len(labels), D))
    weight, bias = 0.3 * (centres + 0.5 * rng.normal(size=(K, D))), 0.1 * rng.normal(size=K)
    return Cloud(features, labels, features @ weight.T + bias, weight, bias)


def simplex(K: int, D: int, n: int, seed: int = 0) -> Cloud:
    """Every sample on its corner of a rotated simplex, and the head dual to it: exact collapse."""
    corners = np.zeros((K, D))
    corners[:, :K] = np.eye(K) - 1 / K
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(D, D)))
    corners = corners @ rotation
    labels = np.repeat(np.arange(K), n)
    features = 3 * corners[labels]
    return Cloud(features, labels, features @ corners.T, corners, np.zeros(K))


@contextmanager
def as_if_many_samples() -> Iterator[None]:
    """Influences are derivatives: without what is changed in them where classes are small, whatever their size."""
    with pytest.MonkeyPatch.context() as patched:
        for module, name in (
            (influence, "spread_factors"),
            (influence, "distance_factors"),
            (moment_shares, "spread_factors"),
            (moment_shares, "direction_factors"),
        ):
            patched.setattr(module, name, lambda counts, *_: torch.ones_like(counts))
        for reason in ("why_few", "few_members", "few_for_spectra"):
            patched.setattr(estimates, reason, lambda *_: None)
        yield
