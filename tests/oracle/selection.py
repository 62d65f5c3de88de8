"""The dumb reference of selective prediction: areas as averages over the orders of samples of equal score.

Ids are taken to be the numbers of the rows.
"""

import math
from collections.abc import Callable

import numpy as np

from tests.oracle.calibration import held_out, top

Array = np.ndarray
Area = Callable[[list[float], list[bool]], float]


def error_curve(scores: list[float], wrong: list[bool]) -> list[float]:
    """Errors among the 1, 2, ..., N most confident, in the average order of those of equal score."""
    curve, before = [], 0.0
    for score in sorted(set(scores), reverse=True):
        tied = [w for s, w in zip(scores, wrong, strict=True) if s == score]
        curve += [before + (place + 1) * sum(tied) / len(tied) for place in range(len(tied))]
        before += sum(tied)
    return curve


def aurc(scores: list[float], wrong: list[bool]) -> float:
    return sum(errors / (i + 1) for i, errors in enumerate(error_curve(scores, wrong))) / len(scores)


def e_aurc(scores: list[float], wrong: list[bool]) -> float:
    return aurc(scores, wrong) - aurc([float(not w) for w in wrong], wrong)


def augrc(scores: list[float], wrong: list[bool]) -> float:
    """The trapezoids under errors/N over coverage, from (0, 0)."""
    n, curve = len(scores), [0.0, *error_curve(scores, wrong)]
    return sum((curve[i] + curve[i + 1]) / 2 / n * (1 / n) for i in range(n))


def weighted_aurc(scores: Array, wrong: Array, weights: Array) -> float:
    """Risks that weigh their samples, averaged with the weights; no two scores are equal."""
    total, covered, failed = 0.0, 0.0, 0.0
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        covered += weights[i]
        failed += weights[i] * wrong[i]
        total += weights[i] * failed / covered
    return total / sum(weights)


def weighted_augrc(scores: Array, wrong: Array, weights: Array) -> float:
    total, failed = 0.0, 0.0
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        total += weights[i] * (failed + weights[i] * wrong[i] / 2)
        failed += weights[i] * wrong[i]
    return total / sum(weights) ** 2


def msp(z: Array) -> float:
    """The log odds of the largest probability, whose order is that of the probabilities."""
    others = [value for k, value in enumerate(z) if k != top(z)]
    return max(z) - max(others) - math.log(sum(math.exp(value - max(others)) for value in others))


def max_logit(z: Array) -> float:
    return max(z)


def normalised(z: Array, p: int) -> float:
    centred = [value - sum(z) / len(z) for value in z]
    if p == 1:
        # What is above the mean sums to half the norm; written so, equal scores are equal in floating point too.
        norm = 2 * sum(value for value in centred if value > 0)
    else:
        norm = sum(abs(value) ** p for value in centred) ** (1 / p)
    return 0.0 if norm == 0 else max(centred) / norm


def errors(logits: Array, labels: Array) -> list[bool]:
    return [top(z) != y for z, y in zip(logits, labels, strict=True)]


def best_power(logits: Array, labels: Array) -> int:
    wrong = errors(logits, labels)
    return min(range(1, 11), key=lambda p: aurc([normalised(z, p) for z in logits], wrong))


def ranked(area: Area, score: Callable[[Array], float]) -> Callable[..., float]:
    return lambda features, labels, logits, weight, bias: area(
        [score(z) for z in logits], errors(logits, labels)
    )


def ranked_by_normalised(area: Area) -> Callable[..., float]:
    def metric(features, labels, logits, weight, bias):
        if logits.shape[1] < 3:
            # v and -v: every sample has the same score.
            return math.nan
        out = held_out(len(labels))
        p = best_power(logits[out], labels[out])
        return area([normalised(z, p) for z in logits[~out]], errors(logits[~out], labels[~out]))

    return metric


ORACLE: dict[str, Callable[..., float]] = {
    f"{area.__name__}_{name}": metric
    for area in (aurc, e_aurc, augrc)
    for name, metric in (
        ("msp", ranked(area, msp)),
        ("max_logit", ranked(area, max_logit)),
        ("normalised_logit", ranked_by_normalised(area)),
    )
}
