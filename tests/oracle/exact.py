"""Metrics of moments once more, straight from their equations in extended precision: 64 bits of each number, not 53.

Arguments are those of the other oracles, in numpy.longdouble. Classes are numbered from 0 and all have samples.
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def inverse(matrix: Array) -> Array:
    """By Gauss and Jordan, with pivots; LAPACK knows no extended precision."""
    n = len(matrix)
    rows = np.concatenate([matrix, np.eye(n, dtype=matrix.dtype)], 1)
    for i in range(n):
        pivot = i + int(np.abs(rows[i:, i]).argmax())
        rows[[i, pivot]] = rows[[pivot, i]]
        rows[i] /= rows[i, i]
        others = np.arange(n) != i
        rows[others] -= rows[others, i : i + 1] * rows[i]
    return rows[:, n:]


def unit(vectors: Array) -> Array:
    return vectors / np.sqrt((vectors**2).sum(1, keepdims=True))


def means_of(points: Array, y: Array) -> Array:
    return np.stack([points[y == k].mean(0) for k in range(int(y.max()) + 1)])


def centred(points: Array, y: Array) -> Array:
    means = means_of(points, y)
    return means - means.mean(0)


def spreads(points: Array, y: Array) -> Array:
    means = means_of(points, y)
    return np.array([((points[y == k] - means[k]) ** 2).sum() for k in range(len(means))])


def sizes(y: Array) -> Array:
    return np.bincount(y).astype(np.longdouble)


def pairs(vectors: Array) -> tuple[Array, Array]:
    """Products and squared distances of all pairs."""
    first, second = np.triu_indices(len(vectors), 1)
    return (vectors[first] * vectors[second]).sum(1), ((vectors[first] - vectors[second]) ** 2).sum(1)


def frobenius(matrix: Array) -> Array:
    return np.sqrt((matrix**2).sum())


def etf(first: Array, second: Array) -> Array:
    K, gram = len(first), first @ second.T
    target = (np.eye(K, dtype=np.longdouble) - np.longdouble(1) / K) / np.sqrt(np.longdouble(K - 1))
    return frobenius(gram / frobenius(gram) - target)


def between(h: Array, y: Array) -> Array:
    return (centred(h, y) ** 2).sum(1).mean()


def gap(h: Array, y: Array) -> Array:
    return between(unit(h), y)


def d_within(h: Array, y: Array) -> Array:
    return (spreads(unit(h), y) / sizes(y)).mean()


def unbiased_between(h: Array, y: Array) -> Array:
    n, K = sizes(y), len(sizes(y))
    return between(h, y) - (1 - np.longdouble(1) / K) * (spreads(h, y) / (n - 1) / n).mean()


def separation_unbiased(h: Array, y: Array) -> Array:
    between = unbiased_between(unit(h), y)
    return between / ((spreads(unit(h), y) / (sizes(y) - 1)).mean() + between)


def cdnv(h: Array, y: Array) -> Array:
    v = spreads(h, y) / sizes(y)
    first, second = np.triu_indices(len(v), 1)
    return ((v[first] + v[second]) / (2 * pairs(means_of(h, y))[1])).mean()


def nc1_pinv(h: Array, y: Array) -> Array:
    """With A of K - 1 rows that span what the K centred means do, M^T M = A^T B A, B = I + J, as rows sum to zero."""
    M = centred(h, y)
    K, rows = len(M), M[:-1]
    deviations = h - means_of(h, y)[y]
    gram = inverse(rows @ rows.T)
    mixed = inverse(np.eye(K - 1, dtype=np.longdouble) + 1)
    # (A^T B A)^+ = A^T G B^-1 G A with G = (A A^T)^-1, and S_B = M^T M / K.
    pseudo = rows.T @ gram @ mixed @ gram @ rows
    return (deviations @ pseudo * deviations).sum() / len(y)


def cosine_spread(units: Array) -> Array:
    return np.sqrt(((pairs(units)[0] - pairs(units)[0].mean()) ** 2).mean())


def self_duality(h: Array, y: Array, w: Array) -> Array:
    M = centred(h, y)
    return ((w / frobenius(w) - M / frobenius(M)) ** 2).sum()


def gnc3(h: Array, y: Array, w: Array) -> Array:
    u = unit(h)
    return ((unit(w) - unit(means_of(u, y) - u.mean(0))) ** 2).sum(1).mean() / 2


def energies(vectors: Array) -> Array:
    return -np.log(pairs(unit(vectors))[1]) / 2


def variation(vectors: Array) -> Array:
    norms = np.sqrt((vectors**2).sum(1))
    return norms.std(ddof=1) / norms.mean()


EXACT: dict[str, Callable[[Array, Array, Array, Array, Array], Array]] = {
    "d_within": lambda h, y, z, w, b: d_within(h, y),
    "d_within_unbiased": lambda h, y, z, w, b: (spreads(unit(h), y) / (sizes(y) - 1)).mean(),
    "d_total": lambda h, y, z, w, b: d_within(h, y) + gap(h, y),
    "class_separation": lambda h, y, z, w, b: gap(h, y) / (d_within(h, y) + gap(h, y)),
    "class_separation_unbiased": lambda h, y, z, w, b: separation_unbiased(h, y),
    "cdnv": lambda h, y, z, w, b: cdnv(h, y),
    "within_variance": lambda h, y, z, w, b: spreads(h, y).sum() / len(y),
    "between_variance": lambda h, y, z, w, b: between(h, y),
    "between_variance_unbiased": lambda h, y, z, w, b: unbiased_between(h, y),
    "nc1_pinv": lambda h, y, z, w, b: nc1_pinv(h, y),
    "nc1_trace_ratio": lambda h, y, z, w, b: spreads(h, y).sum() / len(y) / between(h, y),
    "nc2_equinorm_means": lambda h, y, z, w, b: variation(centred(h, y)),
    "nc2_equinorm_head": lambda h, y, z, w, b: variation(w),
    "nc2_equiangular_means": lambda h, y, z, w, b: np.abs(
        pairs(unit(centred(h, y)))[0] + np.longdouble(1) / (len(sizes(y)) - 1)
    ).mean(),
    "nc2_cosine_spread_means": lambda h, y, z, w, b: cosine_spread(unit(centred(h, y))),
    "nc2_largest_cosine_means": lambda h, y, z, w, b: (
        pairs(unit(centred(h, y)))[0].max() + np.longdouble(1) / (len(sizes(y)) - 1)
    ),
    "nc2_etf_means": lambda h, y, z, w, b: etf(centred(h, y), centred(h, y)),
    "nc2_etf_head": lambda h, y, z, w, b: etf(w, w),
    "nc3_self_duality": lambda h, y, z, w, b: self_duality(h, y, w),
    "nc3_self_duality_norm": lambda h, y, z, w, b: np.sqrt(self_duality(h, y, w)),
    "nc3_etf": lambda h, y, z, w, b: etf(w, centred(h, y)),
    "nc3_etf_centred": lambda h, y, z, w, b: etf(w - w.mean(0), centred(h, y)),
    "nc3_cosine": lambda h, y, z, w, b: (unit(w) * unit(centred(h, y))).sum(1).mean(),
    "nc4_bias_collapse": lambda h, y, z, w, b: np.sqrt(((w @ h.mean(0) + b) ** 2).sum()),
    "gnc3": lambda h, y, z, w, b: gnc3(h, y, w),
    "uniformity_means": lambda h, y, z, w, b: energies(centred(h, y)).mean(),
    "uniformity_variance_means": lambda h, y, z, w, b: energies(centred(h, y)).var(),
    "distance_to_own_mean": lambda h, y, z, w, b: np.sqrt(((h - means_of(h, y)[y]) ** 2).sum(1)).mean(),
    "feature_norm": lambda h, y, z, w, b: np.sqrt((h**2).sum(1)).mean(),
    "cosine_to_own_direction": lambda h, y, z, w, b: (unit(h) * unit(means_of(unit(h), y))[y]).sum(1).mean(),
    "logit_norm_centred": lambda h, y, z, w, b: np.sqrt(((z - z.mean(1, keepdims=True)) ** 2).sum(1)).mean(),
    "logit_maxsup_penalty": lambda h, y, z, w, b: (z.max(1) - z.mean(1)).mean(),
    "nll": lambda h, y, z, w, b: (
        -np.log(
            (np.exp(z - z.max(1, keepdims=True)) / np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True))[
                np.arange(len(y)), y
            ]
        ).mean()
    ),
}
