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


def smoothed_entropy_rank(features: Array) -> float:
    """RankMe: min(N, D) singular values of what is not centred, 1e-7 added to each of their shares."""
    values = np.linalg.svd(features, compute_uv=False).tolist()
    assert len(values) == min(features.shape)
    values = [value if value > 1e-12 * values[0] else 0.0 for value in values]
    shares = [value / sum(values) + 1e-7 for value in values]
    return math.exp(-sum(p * math.log(p) for p in shares))


def rankme(features, labels, logits, weight, bias):
    return smoothed_entropy_rank(features)


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


def exponent(features: Array) -> float:
    return -power_law(features)[3]


def explained(features: Array) -> float:
    x, y, w, slope, intercept = power_law(features)
    mean = sum(w * y) / sum(w)
    left = sum(w[j] * (y[j] - slope * x[j] - intercept) ** 2 for j in range(90))
    return 1 - left / sum(w[j] * (y[j] - mean) ** 2 for j in range(90))


def alpha_req(features, labels, logits, weight, bias):
    return exponent(features)


def alpha_req_r2(features, labels, logits, weight, bias):
    return explained(features)


def within(number: Callable[[Array], float], takes_part: Callable[[Array], bool]) -> Callable[..., float]:
    """Averaged over classes, over the first 512 samples of each; those that have no number take no part."""

    def metric(features, labels, logits, weight, bias):
        parts = [features[labels == k][:512] for k in sorted(set(labels.tolist()))]
        numbers = [number(part) for part in parts if takes_part(part)]
        return sum(numbers) / len(numbers) if numbers else math.nan

    return metric


def differ(part: Array) -> bool:
    return any(np.any(row != part[0]) for row in part)


def are_several(part: Array) -> bool:
    return len(part) > 1 and bool(np.any(part != 0))


def are_enough(part: Array) -> bool:
    return differ(part) and len(singular_values(centred(part))) >= 100


ORACLE: dict[str, Callable[..., float]] = {
    "effective_rank": effective_rank,
    "rankme": rankme,
    "stable_rank": stable_rank,
    "participation_ratio": participation_ratio,
    "alpha_req": alpha_req,
    "alpha_req_r2": alpha_req_r2,
    "effective_rank_within": within(lambda part: entropy_rank(singular_values(centred(part))), differ),
    "rankme_within": within(smoothed_entropy_rank, are_several),
    "stable_rank_within": within(lambda part: stable(singular_values(centred(part))), differ),
    "participation_ratio_within": within(lambda part: participation(singular_values(centred(part))), differ),
    "alpha_req_within": within(exponent, are_enough),
    "alpha_req_r2_within": within(explained, are_enough),
}
