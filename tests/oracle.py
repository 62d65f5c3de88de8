"""The dumb reference: every metric from its equation, in plain loops over NumPy float64.

Imports nothing from the package. Each function takes (features, labels, logits, weight, bias) and returns a float.
Slow on purpose: all pairs are visited, matrices are inverted as they are written.
"""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray


def cosine_distance(a: Array, b: Array) -> float:
    return 1 - float(np.dot(a, b)) / math.sqrt(float(np.dot(a, a)) * float(np.dot(b, b)))


def groups(features: Array, labels: Array) -> list[Array]:
    """Samples of each class that has some, in the order of the labels."""
    return [features[labels == k] for k in sorted(set(labels.tolist()))]


def nonzero_groups(features: Array, labels: Array) -> list[Array]:
    kept = np.array([bool(np.any(row != 0)) for row in features])
    return groups(features[kept], labels[kept])


def mean_pair_distance(first: Array, second: Array) -> float:
    return sum(cosine_distance(a, b) for a in first for b in second) / (len(first) * len(second))


def d_within(features, labels, logits, weight, bias):
    classes = nonzero_groups(features, labels)
    return sum(mean_pair_distance(part, part) for part in classes) / len(classes)


def d_within_unbiased(features, labels, logits, weight, bias):
    means = []
    for part in nonzero_groups(features, labels):
        n = len(part)
        if n > 1:
            pairs = [cosine_distance(part[i], part[j]) for i in range(n) for j in range(n) if i != j]
            means.append(sum(pairs) / (n * (n - 1)))
    return sum(means) / len(means)


def d_total(features, labels, logits, weight, bias):
    classes = nonzero_groups(features, labels)
    return sum(mean_pair_distance(a, b) for a in classes for b in classes) / len(classes) ** 2


def class_separation(*data):
    return 1 - d_within(*data) / d_total(*data)


def class_means(features: Array, labels: Array) -> Array:
    return np.array([sum(part) / len(part) for part in groups(features, labels)])


def centred_means(features: Array, labels: Array) -> Array:
    means = class_means(features, labels)
    return means - sum(means) / len(means)


def cdnv(features, labels, logits, weight, bias):
    classes, means = groups(features, labels), class_means(features, labels)
    variances = [
        sum(float(np.dot(h - mean, h - mean)) for h in part) / len(part)
        for part, mean in zip(classes, means, strict=True)
    ]
    K, total = len(classes), 0.0
    for i in range(K):
        for j in range(i + 1, K):
            gap = means[i] - means[j]
            total += (variances[i] + variances[j]) / (2 * float(np.dot(gap, gap)))
    return total / (K * (K - 1) / 2)


def within_covariance(features: Array, labels: Array) -> Array:
    D = features.shape[1]
    total = np.zeros((D, D))
    for part in groups(features, labels):
        mean = sum(part) / len(part)
        for h in part:
            total += np.outer(h - mean, h - mean)
    return total / len(features)


def between_covariance(features: Array, labels: Array) -> Array:
    means = centred_means(features, labels)
    return np.sum([np.outer(m, m) for m in means], axis=0) / len(means)


def nc1_pinv(features, labels, logits, weight, bias):
    within, between = within_covariance(features, labels), between_covariance(features, labels)
    K = len(set(labels.tolist()))
    return float(np.trace(within @ np.linalg.pinv(between, rcond=1e-10, hermitian=True))) / K


def nc1_trace_ratio(features, labels, logits, weight, bias):
    return float(
        np.trace(within_covariance(features, labels)) / np.trace(between_covariance(features, labels))
    )


def variation_of_norms(vectors: Array) -> float:
    norms = [math.sqrt(float(np.dot(v, v))) for v in vectors]
    mean = sum(norms) / len(norms)
    return math.sqrt(sum((norm - mean) ** 2 for norm in norms) / (len(norms) - 1)) / mean


def angle_error(vectors: Array) -> float:
    K = len(vectors)
    pairs = [(i, j) for i in range(K) for j in range(K) if i != j]
    return sum(abs(1 - cosine_distance(vectors[i], vectors[j]) + 1 / (K - 1)) for i, j in pairs) / len(pairs)


def frobenius(matrix: Array) -> float:
    return math.sqrt(sum(float(entry) ** 2 for entry in matrix.ravel()))


def etf_error(gram: Array) -> float:
    K = len(gram)
    target = np.array([[(i == j) - 1 / K for j in range(K)] for i in range(K)]) / math.sqrt(K - 1)
    return frobenius(gram / frobenius(gram) - target)


def nc2_equinorm_means(features, labels, logits, weight, bias):
    return variation_of_norms(centred_means(features, labels))


def nc2_equinorm_head(features, labels, logits, weight, bias):
    return variation_of_norms(weight)


def nc2_equiangular_means(features, labels, logits, weight, bias):
    return angle_error(centred_means(features, labels))


def nc2_equiangular_head(features, labels, logits, weight, bias):
    return angle_error(weight)


def nc2_etf_means(features, labels, logits, weight, bias):
    means = centred_means(features, labels)
    return etf_error(means @ means.T)


def nc2_etf_head(features, labels, logits, weight, bias):
    return etf_error(weight @ weight.T)


def nc3_self_duality(features, labels, logits, weight, bias):
    means, rows = centred_means(features, labels), weight[sorted(set(labels.tolist()))]
    return frobenius(rows / frobenius(rows) - means / frobenius(means)) ** 2


def nc3_etf(features, labels, logits, weight, bias):
    means, rows = centred_means(features, labels), weight[sorted(set(labels.tolist()))]
    return etf_error(rows @ means.T)


def nc4_agreement(features, labels, logits, weight, bias):
    present, means = sorted(set(labels.tolist())), class_means(features, labels)
    hits = 0
    for h, z in zip(features, logits, strict=True):
        nearest = min(range(len(present)), key=lambda k: float(np.dot(h - means[k], h - means[k])))
        hits += present[nearest] == max(range(len(z)), key=lambda k: z[k])
    return hits / len(features)


def softmax(z: Array) -> list[float]:
    largest = max(z)
    exponentials = [math.exp(value - largest) for value in z]
    return [value / sum(exponentials) for value in exponentials]


def correct(z: Array, y: int) -> bool:
    return max(range(len(z)), key=lambda k: z[k]) == y


def accuracy(features, labels, logits, weight, bias):
    return sum(correct(z, y) for z, y in zip(logits, labels, strict=True)) / len(labels)


def nll(features, labels, logits, weight, bias):
    total = 0.0
    for z, y in zip(logits, labels, strict=True):
        largest = max(z)
        total += math.log(sum(math.exp(value - largest) for value in z)) + largest - z[y]
    return total / len(labels)


def ece(features, labels, logits, weight, bias):
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for z, y in zip(logits, labels, strict=True):
        confidence = max(softmax(z))
        number = next(b for b in range(15) if confidence <= (b + 1) / 15 or b == 14)
        bins[number].append((confidence, correct(z, y)))
    total = 0.0
    for members in filter(None, bins):
        confidence = sum(c for c, _ in members) / len(members)
        hits = sum(hit for _, hit in members) / len(members)
        total += len(members) / len(labels) * abs(hits - confidence)
    return total


def regularisation(z: Array, y: int) -> float:
    return sum(z[y] - value for value in z if value < z[y]) / len(z)


def amplification(z: Array, y: int) -> float:
    return sum(z[y] - value for value in z if value > z[y]) / len(z)


def mean_over(subset: str, value: Callable[[Array, int], float]) -> Callable[..., float]:
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


ORACLE: dict[str, Callable[..., float]] = {
    function.__name__: function
    for function in (
        d_within, d_within_unbiased, d_total, class_separation, cdnv, nc1_pinv, nc1_trace_ratio, nc2_equinorm_means,
        nc2_equinorm_head, nc2_equiangular_means, nc2_equiangular_head, nc2_etf_means, nc2_etf_head, nc3_self_duality,
        nc3_etf, nc4_agreement, accuracy, nll, ece, near_zero_logits, near_zero_logits_centred,
    )
} | {
    f"logit_{name}" + ("" if subset == "all" else f"_{subset}"): mean_over(subset, value)
    for name, value in (("regularisation", regularisation), ("error_amplification", amplification))
    for subset in ("all", "correct", "wrong")
}  # fmt: skip
