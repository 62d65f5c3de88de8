"""The dumb reference of the metrics of logits: every one from its equation, sample by sample."""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray
OfSample = Callable[[Array, int], float]


def top(z: Array) -> int:
    """The first of the largest."""
    return max(range(len(z)), key=lambda k: z[k])


def correct(z: Array, y: int) -> bool:
    return top(z) == y


def norm(vector: Array) -> float:
    return math.sqrt(sum(float(entry) ** 2 for entry in vector))


def regularisation(z: Array, y: int) -> float:
    return sum(z[y] - value for value in z if value < z[y]) / len(z)


def error_amplification(z: Array, y: int) -> float:
    return sum(z[y] - value for value in z if value > z[y]) / len(z)


def maxsup_penalty(z: Array, y: int) -> float:
    return max(z) - sum(z) / len(z)


def margin(z: Array, y: int) -> float:
    return z[y] - max(value for k, value in enumerate(z) if k != y)


def mean_over(subset: str, value: OfSample) -> Callable[..., float]:
    def metric(features, labels, logits, weight, bias):
        chosen = [
            value(z, y)
            for z, y in zip(logits, labels, strict=True)
            if subset == "all" or correct(z, y) == (subset == "correct")
        ]
        return sum(chosen) / len(chosen)

    return metric


def near_zero_logits(features, labels, logits, weight, bias):
    return sum(abs(value) < 0.01 for z in logits for value in z) / logits.size


def near_zero_logits_centred(features, labels, logits, weight, bias):
    return sum(abs(value - sum(z) / len(z)) < 0.01 for z in logits for value in z) / logits.size


def true_class_rank(features, labels, logits, weight, bias):
    total = 0
    for z, y in zip(logits, labels, strict=True):
        # Python's sort keeps the order of equals.
        total += 1 + sorted(range(len(z)), key=lambda k: -z[k]).index(y)
    return total / len(labels)


def feature_norm(features, labels, logits, weight, bias):
    return sum(norm(h) for h in features) / len(features)


def logit_norm(features, labels, logits, weight, bias):
    return sum(norm(z) for z in logits) / len(logits)


def logit_norm_centred(features, labels, logits, weight, bias):
    return sum(norm(z - sum(z) / len(z)) for z in logits) / len(logits)


def head_norm(features, labels, logits, weight, bias):
    return sum(norm(w) for w in weight) / len(weight)


def cosine_to_head(features, labels, logits, weight, bias):
    cosines = [
        sum(a * b for a, b in zip(h, weight[y], strict=True)) / (norm(h) * norm(weight[y]))
        for h, y in zip(features, labels, strict=True)
        if any(h != 0)
    ]
    return sum(cosines) / len(cosines)


ORACLE: dict[str, Callable[..., float]] = {
    function.__name__: function
    for function in (
        near_zero_logits, near_zero_logits_centred, true_class_rank, feature_norm, logit_norm, logit_norm_centred,
        head_norm, cosine_to_head,
    )
} | {
    f"logit_{function.__name__}" + ("" if subset == "all" else f"_{subset}"): mean_over(subset, function)
    for function in (regularisation, error_amplification, maxsup_penalty, margin)
    for subset in ("all", "correct", "wrong")
}  # fmt: skip
