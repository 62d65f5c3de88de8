"""The dumb reference of the metrics of calibration, at temperature 1 and at the one that the held-out half gives.

Ids are taken to be the numbers of the rows.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import root_scalar

Array = np.ndarray
BINS = 15
OfLogits = Callable[[Array, Array], float]


def is_held_out(number: int) -> bool:
    """The top bit of splitmix64's mix of a number."""
    bits = 2**64 - 1
    number &= bits
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & bits
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & bits
    return (number ^ (number >> 31)) >> 63 == 1


def held_out(n: int) -> Array:
    return np.array([is_held_out(i) for i in range(n)])


def softmax(z: Array) -> list[float]:
    exponentials = [math.exp(value - max(z)) for value in z]
    return [value / sum(exponentials) for value in exponentials]


def top(z: Array) -> int:
    return max(range(len(z)), key=lambda k: z[k])


def outcomes(logits: Array, labels: Array) -> list[tuple[float, bool]]:
    """Confidence and whether it was right."""
    return [(max(softmax(z)), top(z) == y) for z, y in zip(logits, labels, strict=True)]


def bins(pairs: list[tuple[float, bool]]) -> list[list[tuple[float, bool]]]:
    found: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for probability, hit in pairs:
        number = next(b for b in range(BINS) if probability <= (b + 1) / BINS or b == BINS - 1)
        found[number].append((probability, hit))
    return found


def signed_gaps(pairs: list[tuple[float, bool]]) -> list[float]:
    """For each bin that holds any, its share of the samples times (confidence - accuracy)."""
    found = []
    for members in filter(None, bins(pairs)):
        confidence = sum(c for c, _ in members) / len(members)
        accuracy = sum(hit for _, hit in members) / len(members)
        found.append(len(members) / len(pairs) * (confidence - accuracy))
    return found


def nll(logits: Array, labels: Array) -> float:
    total = 0.0
    for z, y in zip(logits, labels, strict=True):
        total += math.log(sum(math.exp(value - max(z)) for value in z)) + max(z) - z[y]
    return total / len(labels)


def ece(logits: Array, labels: Array) -> float:
    return sum(abs(gap) for gap in signed_gaps(outcomes(logits, labels)))


def over_confidence(logits: Array, labels: Array) -> float:
    return sum(gap for gap in signed_gaps(outcomes(logits, labels)) if gap > 0)


def under_confidence(logits: Array, labels: Array) -> float:
    return -sum(gap for gap in signed_gaps(outcomes(logits, labels)) if gap < 0)


def confidence_gap(logits: Array, labels: Array) -> float:
    pairs = outcomes(logits, labels)
    return sum(confidence for confidence, _ in pairs) / len(pairs) - sum(hit for _, hit in pairs) / len(pairs)


def brier(logits: Array, labels: Array) -> float:
    total = 0.0
    for z, y in zip(logits, labels, strict=True):
        total += sum((q - (k == y)) ** 2 for k, q in enumerate(softmax(z)))
    return total / len(labels)


def classwise_ece(logits: Array, labels: Array) -> float:
    K = logits.shape[1]
    probabilities = [softmax(z) for z in logits]
    total = 0.0
    for k in range(K):
        pairs = [(q[k], bool(y == k)) for q, y in zip(probabilities, labels, strict=True)]
        total += sum(abs(gap) for gap in signed_gaps(pairs))
    return total / K


def adaptive_ece(logits: Array, labels: Array) -> float:
    """Every sample is cut into 15 pieces, so that 15 bins share the pieces without remainder; ties share gaps."""
    pairs = outcomes(logits, labels)
    pieces = []
    for confidence, _ in sorted(pairs):
        tied = [other for c, other in pairs if c == confidence]
        pieces += [confidence - sum(tied) / len(tied)] * BINS
    n = len(pairs)
    return sum(abs(sum(pieces[b * n : (b + 1) * n])) for b in range(BINS)) / len(pieces)


def best_temperature(logits: Array, labels: Array) -> float:
    """Where the slope of the negative log-likelihood in 1/T is zero."""

    def slope(log_beta: float) -> float:
        beta, total = math.exp(log_beta), 0.0
        for z, y in zip(logits, labels, strict=True):
            total += sum(q * value for q, value in zip(softmax(beta * z), z, strict=True)) - z[y]
        return total / len(labels)

    return math.exp(-root_scalar(slope, bracket=(-12, 12), xtol=1e-14).root)


def at_one(value: OfLogits) -> Callable[..., float]:
    return lambda features, labels, logits, weight, bias: value(logits, labels)


def at_temperature(value: OfLogits) -> Callable[..., float]:
    def metric(features, labels, logits, weight, bias):
        out = held_out(len(labels))
        return value(logits[~out] / best_temperature(logits[out], labels[out]), labels[~out])

    return metric


def accuracy(features, labels, logits, weight, bias):
    return sum(top(z) == y for z, y in zip(logits, labels, strict=True)) / len(labels)


AT_BOTH = (nll, ece, brier, confidence_gap, over_confidence, under_confidence, classwise_ece, adaptive_ece)
ORACLE: dict[str, Callable[..., float]] = (
    {"accuracy": accuracy}
    | {function.__name__: at_one(function) for function in AT_BOTH}
    | {f"{function.__name__}_at_temperature": at_temperature(function) for function in AT_BOTH}
)
