"""The dumb reference of the conditional geometry: one distance, one cosine at a time."""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray


def length(vector: Array) -> float:
    return math.sqrt(sum(float(entry) ** 2 for entry in vector))


def prediction(z: Array) -> int:
    return max(range(len(z)), key=lambda k: z[k])


def mean_of_class(features: Array, labels: Array, k: int) -> Array:
    members = [h for h, y in zip(features, labels, strict=True) if y == k]
    return np.array(members).sum(0) / len(members)


def between(features: Array, labels: Array) -> float:
    means = [mean_of_class(features, labels, k) for k in sorted(set(labels.tolist()))]
    squares = [length(a - b) ** 2 for i, a in enumerate(means) for b in means[:i]]
    return math.sqrt(sum(squares) / len(squares))


def average(subset: str, labels: Array, logits: Array, value: Callable[[int], float | None]) -> float:
    """Over the samples of a subset that have a value."""
    values = [
        value(i)
        for i in range(len(labels))
        if subset == "all" or (prediction(logits[i]) == labels[i]) == (subset == "correct")
    ]
    chosen = [one for one in values if one is not None]
    return sum(chosen) / len(chosen)


def distance(to: str, subset: str, *, relative: bool) -> Callable[..., float]:
    def metric(features, labels, logits, weight, bias):
        def value(i: int) -> float | None:
            k = labels[i] if to == "own" else prediction(logits[i])
            if k not in labels:
                return None
            return length(features[i] - mean_of_class(features, labels, k))

        unit = between(features, labels) if relative else 1.0
        return average(subset, labels, logits, value) / unit

    return metric


def cosine(subset: str) -> Callable[..., float]:
    def metric(features, labels, logits, weight, bias):
        directed = [i for i in range(len(labels)) if length(features[i]) > 0]
        features, labels, logits = features[directed], labels[directed], logits[directed]
        units = np.array([h / length(h) for h in features])

        def value(i: int) -> float:
            direction = mean_of_class(units, labels, labels[i])
            return float(np.dot(units[i], direction)) / length(direction)

        return average(subset, labels, logits, value)

    return metric


def suffixed(name: str, subset: str) -> str:
    return name if subset == "all" else f"{name}_{subset}"


SUBSETS = {"own": ("all", "correct", "wrong"), "predicted": ("all", "wrong")}
ORACLE: dict[str, Callable[..., float]] = {
    suffixed(f"distance_to_{to}_mean{'_relative' if relative else ''}", subset): distance(
        to, subset, relative=relative
    )
    for relative in (False, True)
    for to, subsets in SUBSETS.items()
    for subset in subsets
} | {suffixed("cosine_to_own_direction", subset): cosine(subset) for subset in SUBSETS["own"]}
