"""The dumb reference of the spectral metrics: singular values of the features themselves, and a plain fit."""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray


def centred(features: Array) -> Array:
    return features - sum(features) / len(features)


def singular_values(matrix: Array) -> list[float]:
    values = np.linalg.svd(matrix, compute_uv=False).tolist()
    return [value for value in values if value > 1e-12 * values[0]]


def entropy_rank(values: list[float]) -> float:
    shares = [value / sum(values) for value in values]
    return math.exp(-sum(p * math.log(p) for p in shares))


def stable(values: list[float]) -> float:
    return sum(value**2 for value in values) / max(values) ** 2


def participation(values: list[float]) -> float:
    return sum(value**2 for value in values) ** 2 / sum(value**4 for value in values)


def effective_rank(features, labels, logits, weight, bias):
    return entropy_rank(singular_values(centred(features)))


def stable_rank(features, labels, logits, weight, bias):
    return stable(singular_values(centred(features)))


def participation_ratio(features, labels, logits, weight, bias):
    return participation(singular_values(centred(features)))


def rankme(features, labels, logits, weight, bias):
    values = np.linalg.svd(features, compute_uv=False).tolist()
    values = [value if value > 1e-12 * values[0] else 0.0 for value in values]
    values += [0.0] * (features.shape[1] - len(values))
    shares = [value / sum(values) + 1e-7 for value in values]
    return math.exp(-sum(p * math.log(p) for p in shares))


def power_law(features: Array) -> tuple[Array, Array, Array, float, float]:
    """ln j, ln lambda_j, weights, slope and intercept over ranks 11 to 100, from the normal equations."""
    values = singular_values(centred(features))
    assert len(values) >= 100
    ranks = range(11, 101)
    x = np.array([math.log(j) for j in ranks])
    y = np.array([math.log(values[j - 1] ** 2 / len(features)) for j in ranks])
    w = np.array([1 / j for j in ranks])
    design = np.stack([x, np.ones(90)], 1)
    slope, intercept = np.linalg.solve(design.T @ np.diag(w) @ design, design.T @ (w * y))
    return x, y, w, float(slope), float(intercept)


def alpha_req(features, labels, logits, weight, bias):
    return -power_law(features)[3]


def alpha_req_r2(features, labels, logits, weight, bias):
    x, y, w, slope, intercept = power_law(features)
    mean = sum(w * y) / sum(w)
    left = sum(w[j] * (y[j] - slope * x[j] - intercept) ** 2 for j in range(90))
    return 1 - left / sum(w[j] * (y[j] - mean) ** 2 for j in range(90))


def within(rank: Callable[[list[float]], float]) -> Callable[..., float]:
    """Averaged over the classes whose first 512 samples differ."""

    def metric(features, labels, logits, weight, bias):
        ranks = []
        for k in sorted(set(labels.tolist())):
            part = features[labels == k][:512]
            if any(np.any(row != part[0]) for row in part):
                ranks.append(rank(singular_values(centred(part))))
        return sum(ranks) / len(ranks)

    return metric


ORACLE: dict[str, Callable[..., float]] = {
    "effective_rank": effective_rank,
    "rankme": rankme,
    "stable_rank": stable_rank,
    "participation_ratio": participation_ratio,
    "alpha_req": alpha_req,
    "alpha_req_r2": alpha_req_r2,
    "effective_rank_within": within(entropy_rank),
    "stable_rank_within": within(stable),
    "participation_ratio_within": within(participation),
}
