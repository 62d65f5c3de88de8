"""The dumb reference for neural collapse: matrices are inverted as they are written, hulls by active sets."""

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import nnls

from tests.oracle.variation import (
    Array,
    between_variance_unbiased,
    cosine_distance,
    groups,
    squared,
    with_subsets,
    within_variance,
    within_variance_unbiased,
)


def class_means(features: Array, labels: Array) -> Array:
    return np.array([sum(part) / len(part) for part in groups(features, labels)])


def centred_means(features: Array, labels: Array) -> Array:
    means = class_means(features, labels)
    return means - sum(means) / len(means)


def outer_sum(rows: Array) -> Array:
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for row in rows:
        total += np.outer(row, row)
    return total


def within_covariance(features: Array, labels: Array) -> Array:
    scatters = [outer_sum(part - sum(part) / len(part)) for part in groups(features, labels)]
    return np.sum(scatters, axis=0) / len(features)


def between_covariance(features: Array, labels: Array) -> Array:
    means = centred_means(features, labels)
    return outer_sum(means) / len(means)


def inverse(matrix: Array) -> Array:
    return np.linalg.pinv(matrix, rcond=1e-10, hermitian=True)


def one_class(labels: Array) -> bool:
    return len(set(labels.tolist())) < 2


def nc1_papyan(features, labels, logits, weight, bias):
    return float(
        np.trace(within_covariance(features, labels) @ inverse(between_covariance(features, labels)))
    )


def nc1_pinv(features, labels, *others):
    return nc1_papyan(features, labels, *others) / len(set(labels.tolist()))


def nc1_zhu(features, labels, logits, weight, bias):
    gaps = class_means(features, labels) - sum(features) / len(features)
    between = outer_sum(gaps) / len(gaps)
    return float(np.trace(within_covariance(features, labels) @ inverse(between))) / len(gaps)


def nc1_trace_ratio(features, labels, logits, weight, bias):
    if one_class(labels):
        return math.nan
    return float(
        np.trace(within_covariance(features, labels)) / np.trace(between_covariance(features, labels))
    )


def nc1_trace_ratio_unbiased(*data):
    between = between_variance_unbiased(*data)
    return within_variance_unbiased(*data) / between if between > 0 else math.nan


def variation_of_norms(vectors: Array) -> float:
    norms = [math.sqrt(squared(v)) for v in vectors]
    mean = sum(norms) / len(norms)
    return math.sqrt(sum((norm - mean) ** 2 for norm in norms) / (len(norms) - 1)) / mean


def cosines(vectors: Array) -> list[float]:
    K = len(vectors)
    return [1 - cosine_distance(vectors[i], vectors[j]) for i in range(K) for j in range(K) if i != j]


def angle_error(vectors: Array) -> float:
    return float(np.mean([abs(c + 1 / (len(vectors) - 1)) for c in cosines(vectors)]))


def spread_of_cosines(vectors: Array) -> float:
    return float(np.std(cosines(vectors)))


def largest_cosine(vectors: Array) -> float:
    return max(cosines(vectors)) + 1 / (len(vectors) - 1)


def frobenius(matrix: Array) -> float:
    return math.sqrt(sum(float(entry) ** 2 for entry in matrix.ravel()))


def etf_error(gram: Array) -> float:
    K = len(gram)
    target = np.array([[(i == j) - 1 / K for j in range(K)] for i in range(K)]) / math.sqrt(K - 1)
    return frobenius(gram / frobenius(gram) - target)


def gram_error(vectors: Array) -> float:
    return etf_error(vectors @ vectors.T)


def energies(vectors: Array) -> list[float]:
    units = [v / math.sqrt(squared(v)) for v in vectors]
    K = len(units)
    return [math.log(1 / math.sqrt(squared(units[i] - units[j]))) for i in range(K) for j in range(i + 1, K)]


def mean_energy(vectors: Array) -> float:
    return float(np.mean(energies(vectors)))


def variance_of_energy(vectors: Array) -> float:
    return float(np.var(energies(vectors)))


def of_means(measure: Callable[[Array], float]) -> Callable[..., float]:
    return lambda features, labels, logits, weight, bias: measure(centred_means(features, labels))


def of_head(measure: Callable[[Array], float]) -> Callable[..., float]:
    return lambda features, labels, logits, weight, bias: measure(weight)


def nc2_etf_head_centred(features, labels, logits, weight, bias):
    return gram_error(weight - sum(weight) / len(weight))


def pairs_of_rows(features, labels, weight):
    return weight[sorted(set(labels.tolist()))], centred_means(features, labels)


def nc3_self_duality(features, labels, logits, weight, bias):
    rows, means = pairs_of_rows(features, labels, weight)
    return frobenius(rows / frobenius(rows) - means / frobenius(means)) ** 2


def nc3_self_duality_norm(*data):
    return math.sqrt(nc3_self_duality(*data))


def nc3_etf(features, labels, logits, weight, bias):
    rows, means = pairs_of_rows(features, labels, weight)
    return etf_error(rows @ means.T)


def nc3_etf_centred(features, labels, logits, weight, bias):
    rows, means = pairs_of_rows(features, labels, weight)
    return etf_error((rows - sum(rows) / len(rows)) @ means.T)


def nc3_cosine(features, labels, logits, weight, bias):
    rows, means = pairs_of_rows(features, labels, weight)
    return sum(1 - cosine_distance(w, m) for w, m in zip(rows, means, strict=True)) / len(means)


def agreement(features: Array, labels: Array, scores: Array) -> float:
    present, means = sorted(set(labels.tolist())), class_means(features, labels)
    hits = 0
    for h, z in zip(features, scores, strict=True):
        nearest = min(range(len(present)), key=lambda k: squared(h - means[k]))
        hits += present[nearest] == max(range(len(z)), key=lambda k: z[k])
    return hits / len(features)


def nc4_agreement(features, labels, logits, weight, bias):
    return agreement(features, labels, logits)


def nc4_mismatch(features, labels, logits, weight, bias):
    return 1 - agreement(features, labels, logits)


def nc4_agreement_without_bias(features, labels, logits, weight, bias):
    return agreement(features, labels, features @ weight.T)


def nc4_bias_collapse(features, labels, logits, weight, bias):
    return math.sqrt(squared(weight @ (sum(features) / len(features)) + bias))


def between_rank(features, labels, logits, weight, bias):
    return float(np.linalg.matrix_rank(between_covariance(features, labels), tol=1e-10, hermitian=True))


def vci(features, labels, *others):
    within, between = within_covariance(features, labels), between_covariance(features, labels)
    explained = np.trace(inverse(within + between) @ between)
    return 1 - float(explained) / between_rank(features, labels, *others)


def directions(features: Array, labels: Array) -> tuple[Array, Array]:
    kept = np.array([bool(np.any(row != 0)) for row in features])
    return np.array([h / math.sqrt(squared(h)) for h in features[kept]]), labels[kept]


def gnc1(features, labels, *others):
    return nc1_pinv(*directions(features, labels), *others)


def distance_to_hull(point: Array, others: Array) -> float:
    """The nearest point of a hull to the origin is a non-negative least squares problem, up to scale."""
    system = np.vstack([(others - point).T, np.ones(len(others))])
    weights, _ = nnls(system, np.eye(len(system))[-1])
    return math.sqrt(squared((others - point).T @ (weights / sum(weights))))


def gnc2(features, labels, logits, weight, bias):
    units = np.array([w / math.sqrt(squared(w)) for w in weight])
    return min(distance_to_hull(units[k], np.delete(units, k, 0)) for k in range(len(units)))


def gnc3(features, labels, logits, weight, bias):
    units, kept = directions(features, labels)
    means = class_means(units, kept) - sum(units) / len(units)
    rows = weight[sorted(set(kept.tolist()))]
    return sum(cosine_distance(w, m) for w, m in zip(rows, means, strict=True)) / len(means)


def between_condition(features, labels, *others):
    rank = int(between_rank(features, labels, *others))
    values = np.sort(np.linalg.eigvalsh(between_covariance(features, labels)))[::-1]
    return float(values[0] / values[rank - 1])


def within_share_in_span(features, labels, *others):
    between = between_covariance(features, labels)
    projection = between @ inverse(between)
    return float(np.trace(projection @ within_covariance(features, labels))) / within_variance(
        features, labels, *others
    )


def etf_floor(features, labels, logits, weight, bias):
    """The distance of the simplex's Gram matrix from itself with all but D eigenvalues cut, of norm one."""
    K, D = len(set(labels.tolist())), features.shape[1]
    kept = min(K - 1, D)
    values = np.array([1.0] * kept + [0.0] * (K - 1 - kept))
    return frobenius(values / frobenius(values) - np.ones(K - 1) / math.sqrt(K - 1))


def nc2_etf_means_excess(*data):
    return ORACLE["nc2_etf_means"](*data) - etf_floor(*data)


def samples_per_dimension(features, labels, *others):
    return float(np.mean([len(part) for part in groups(features, labels)])) / features.shape[1]


ORACLE: dict[str, Callable[..., float]] = {
    function.__name__: function
    for function in (
        nc1_pinv, nc1_papyan, nc1_zhu, nc1_trace_ratio, nc1_trace_ratio_unbiased, nc2_etf_head_centred,
        nc3_self_duality, nc3_self_duality_norm, nc3_etf, nc3_etf_centred, nc3_cosine, nc4_agreement, nc4_mismatch,
        nc4_agreement_without_bias, nc4_bias_collapse, vci, gnc1, gnc2, gnc3, between_rank, between_condition,
        within_share_in_span, etf_floor, nc2_etf_means_excess, samples_per_dimension,
    )
} | {
    f"{name}_{part}": of(measure)
    for name, measure in (
        ("nc2_equinorm", variation_of_norms), ("nc2_equiangular", angle_error),
        ("nc2_cosine_spread", spread_of_cosines), ("nc2_largest_cosine", largest_cosine), ("nc2_etf", gram_error),
        ("uniformity", mean_energy), ("uniformity_variance", variance_of_energy),
    )
    for part, of in (("means", of_means), ("head", of_head))
} | with_subsets(nc1_trace_ratio)  # fmt: skip
