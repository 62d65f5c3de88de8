"""The dumb reference: every loss and its gradient from the equation, one sample at a time, in NumPy float64.

Imports nothing from the package. A value takes logits z, target weights s and class weights w, each K numbers, and what
the loss is told; a gradient takes z, the label y and what the loss is told.
"""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray


def softmax(z: Array) -> Array:
    powers = [math.exp(one - max(z)) for one in z]
    return np.array(powers) / sum(powers)


def unit(k: int, K: int) -> Array:
    return np.array([float(j == k) for j in range(K)])


def entropy_of(s: Array, z: Array, w: Array) -> float:
    """H(s, softmax(z)), each term times the weight of its class."""
    q = softmax(z)
    return -sum(w[k] * s[k] * math.log(q[k]) for k in range(len(z)))


def plus(term: Callable[..., float]) -> Callable[..., float]:
    """Cross entropy plus alpha times the weight of the sample times a term."""
    return lambda z, s, w, alpha, **told: (
        entropy_of(s, z, w) + alpha * sum(w * s) * term(z, s, sum(s * z), **told)
    )


def below(z, s, true, divisor="counts"):
    gaps = [true - one for one in z if one < true]
    return sum(gaps) / (len(z) if divisor == "classes" else max(len(gaps), 1))


def above(z, s, true, divisor="counts"):
    gaps = [true - one for one in z if one > true]
    return sum(gaps) / (len(z) if divisor == "classes" else max(len(gaps), 1))


def zipf_parts(z, gt, power):
    """The law of ranks and the softmax of the wrong classes."""
    wrong = [k for k in range(len(z)) if k != gt]
    law = np.array([(1 + sum(z[j] > z[k] for j in wrong)) ** -float(power) for k in wrong])
    return wrong, law / law.sum(), softmax(z[wrong])


def zipf(z, s, true, power=1.0):
    _, law, q = zipf_parts(z, int(np.argmax(s)), power)
    return sum(p * math.log(p / one) for p, one in zip(law, q, strict=True))


def acls(z, s, true, margin=10.0, lambda_1=1.0, lambda_2=0.1):
    K, top = len(z), int(np.argmax(z))
    others = [max(0, z[top] - z[k] - margin) ** 2 for k in range(K) if k != top]
    return lambda_1 * max(0, z[top] - margin) ** 2 + lambda_2 * sum(others) / (K - 1)


def mbls(z, s, true, margin=10.0, over_classes="mean"):
    total = sum(max(0, max(z) - one - margin) for one in z)
    return total / len(z) if over_classes == "mean" else total


def focal(z, s, w, gamma=2.0):
    q = softmax(z)
    return -sum(w[k] * s[k] * (1 - q[k]) ** gamma * math.log(q[k]) for k in range(len(z)))


def flsd53(z, s, w):
    q = softmax(z)
    return -sum(w[k] * s[k] * (1 - q[k]) ** (5 if q[k] < 0.2 else 3) * math.log(q[k]) for k in range(len(z)))


def smoothed(s: Array, alpha: float) -> Array:
    return (1 - alpha) * s + alpha / len(s)


def smoothed_over_the_wrong(s: Array, alpha: float) -> Array:
    return (1 - alpha) * s + alpha * (1 - s) / (len(s) - 1)


def first_rows(s: Array, alpha: float, initial_smoothing: float | None = None) -> Array:
    """OLS before any epoch: half the target and half the rows of its classes."""
    K, e = len(s), initial_smoothing
    rows = [[1 / K if e is None else 1 - e if j == k else e / (K - 1) for j in range(K)] for k in range(K)]
    return (1 - alpha) * s + alpha * sum(s[k] * np.array(rows[k]) for k in range(K))


VALUES: dict[str, Callable[..., float]] = {
    "ce": lambda z, s, w: entropy_of(s, z, w),
    "ls": lambda z, s, w, alpha: entropy_of(smoothed(s, alpha), z, w),
    "ls_wrong": lambda z, s, w, alpha: entropy_of(smoothed_over_the_wrong(s, alpha), z, w),
    "maxsup": plus(lambda z, s, true: max(z) - sum(z) / len(z)),
    "regularisation": plus(below),
    "error_amplification": plus(above),
    "error_amplification_max": plus(lambda z, s, true: true - max(z)),
    "ols": lambda z, s, w, alpha, **told: entropy_of(first_rows(s, alpha, **told), z, w),
    "zipf_ls": plus(zipf),
    "confidence_penalty": plus(lambda z, s, true: sum(one * math.log(one) for one in softmax(z))),
    "logit_penalty": plus(lambda z, s, true: sum(one**2 for one in z) / 2),
    "focal": focal,
    "flsd53": flsd53,
    "poly1": plus(lambda z, s, true: 1 - sum(s * softmax(z))),
    "logit_norm": lambda z, s, w, temperature=0.04: entropy_of(
        s, z / (temperature * math.sqrt(sum(z**2))), w
    ),
    "cosine": lambda z, s, w: entropy_of(s, z, w),
    "mbls": plus(mbls),
    "acls": plus(acls),
    "disturb_label": lambda z, s, w, alpha: entropy_of(s, z, w),
}


def of_the_true_probability(slope: Callable[[float], float]) -> Callable[[Array, int], Array]:
    """The gradient of a function of p = q_y: its slope times dp/dz_k = p (1[k = y] - q_k)."""

    def gradient(z: Array, y: int) -> Array:
        q = softmax(z)
        return slope(q[y]) * q[y] * (unit(y, len(z)) - q)

    return gradient


def focal_slope(gamma: float) -> Callable[[float], float]:
    return lambda p: gamma * (1 - p) ** (gamma - 1) * math.log(p) - (1 - p) ** gamma / p


def halves_gradient(z, y, alpha, divisor, sign):
    """Alpha at the true class for each logit of the half, minus alpha at that logit; divided by M, N or K."""
    concerned = [k for k in range(len(z)) if sign * (z[y] - z[k]) > 0]
    size = len(z) if divisor == "classes" else max(len(concerned), 1)
    added = sum((unit(y, len(z)) - unit(k, len(z)) for k in concerned), np.zeros(len(z)))
    return softmax(z) - unit(y, len(z)) + alpha / size * added


def maxsup_gradient(z, y, alpha):
    """Equation 9 and appendix C: q_k - y_k - alpha/K + alpha 1[k = argmax]."""
    K = len(z)
    return softmax(z) - unit(y, K) - alpha / K + alpha * unit(int(np.argmax(z)), K)


def zipf_gradient(z, y, alpha, power=1.0):
    gradient = softmax(z) - unit(y, len(z))
    for k, p, q in zip(*zipf_parts(z, y, power), strict=True):
        gradient[k] += alpha * (q - p)
    return gradient


def confidence_gradient(z, y, alpha):
    q = softmax(z)
    entropy = -sum(q * np.log(q))
    return q - unit(y, len(z)) + alpha * q * (np.log(q) + entropy)


def logit_norm_gradient(z, y, temperature=0.04):
    """Of the direction only: what lies along z falls away."""
    length = math.sqrt(sum(z**2))
    slope = softmax(z / (temperature * length)) - unit(y, len(z))
    along = sum(slope * z) / length
    return (slope - along * z / length) / (temperature * length)


def mbls_gradient(z, y, alpha, margin=10.0, over_classes="mean"):
    K, top = len(z), int(np.argmax(z))
    far = [k for k in range(K) if z[top] - z[k] > margin]
    added = sum((unit(top, K) - unit(k, K) for k in far), np.zeros(K))
    return softmax(z) - unit(y, K) + alpha * added / (K if over_classes == "mean" else 1)


def acls_gradient(z, y, alpha, margin=10.0, lambda_1=1.0, lambda_2=0.1):
    K, top = len(z), int(np.argmax(z))
    gradient = softmax(z) - unit(y, K)
    gradient[top] += 2 * alpha * lambda_1 * max(0, z[top] - margin)
    for k in range(K):
        if k != top:
            gradient[k] -= 2 * alpha * lambda_2 * max(0, z[top] - z[k] - margin) / (K - 1)
    return gradient


def of_target(target: Callable[..., Array]) -> Callable[..., Array]:
    """Cross entropy with a fixed target: q - s'."""
    return lambda z, y, **told: softmax(z) - target(unit(y, len(z)), **told)


GRADIENTS: dict[str, Callable[..., Array]] = {
    "ce": of_target(lambda s: s),
    "ls": of_target(smoothed),
    "ls_wrong": of_target(smoothed_over_the_wrong),
    "maxsup": maxsup_gradient,
    "regularisation": lambda z, y, alpha, divisor="counts": halves_gradient(z, y, alpha, divisor, 1),
    "error_amplification": lambda z, y, alpha, divisor="counts": halves_gradient(z, y, alpha, divisor, -1),
    "error_amplification_max": lambda z, y, alpha: (
        softmax(z) - unit(y, len(z)) + alpha * (unit(y, len(z)) - unit(int(np.argmax(z)), len(z)))
    ),
    "ols": of_target(first_rows),
    "zipf_ls": zipf_gradient,
    "confidence_penalty": confidence_gradient,
    "logit_penalty": lambda z, y, alpha: softmax(z) - unit(y, len(z)) + alpha * z,
    "focal": lambda z, y, gamma=2.0: of_the_true_probability(focal_slope(gamma))(z, y),
    "flsd53": lambda z, y: of_the_true_probability(lambda p: focal_slope(5 if p < 0.2 else 3)(p))(z, y),
    "poly1": lambda z, y, alpha: of_the_true_probability(lambda p: -1 / p - alpha)(z, y),
    "logit_norm": logit_norm_gradient,
    "cosine": of_target(lambda s: s),
    "mbls": mbls_gradient,
    "acls": acls_gradient,
    "disturb_label": of_target(lambda s, alpha: s),
}
