"""The dumb reference for variation: all pairs of samples are visited, in plain loops."""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray
Metric = Callable[..., float]


def cosine_distance(a: Array, b: Array) -> float:
    return 1 - float(np.dot(a, b)) / math.sqrt(float(np.dot(a, a)) * float(np.dot(b, b)))


def groups(features: Array, labels: Array) -> list[Array]:
    """Samples of each class that has some, in the order of the labels."""
    return [features[labels == k] for k in sorted(set(labels.tolist()))]


def nonzero_groups(features: Array, labels: Array) -> list[Array]:
    kept = np.array([bool(np.any(row != 0)) for row in features])
    return groups(features[kept], labels[kept])


def of_two_or_more(parts: list[Array]) -> list[Array]:
    return [part for part in parts if len(part) > 1]


def mean_pair_distance(first: Array, second: Array) -> float:
    return sum(cosine_distance(a, b) for a in first for b in second) / (len(first) * len(second))


def mean_distance_of_others(part: Array) -> float:
    n = len(part)
    pairs = [cosine_distance(part[i], part[j]) for i in range(n) for j in range(n) if i != j]
    return sum(pairs) / len(pairs)


def d_within(features, labels, logits, weight, bias):
    classes = nonzero_groups(features, labels)
    return sum(mean_pair_distance(part, part) for part in classes) / len(classes)


def d_within_unbiased(features, labels, logits, weight, bias):
    means = [mean_distance_of_others(part) for part in of_two_or_more(nonzero_groups(features, labels))]
    return sum(means) / len(means) if means else math.nan


def d_total(features, labels, logits, weight, bias):
    classes = nonzero_groups(features, labels)
    return sum(mean_pair_distance(a, b) for a in classes for b in classes) / len(classes) ** 2


def d_total_unbiased(features, labels, logits, weight, bias):
    classes = of_two_or_more(nonzero_groups(features, labels))
    total = sum(
        mean_distance_of_others(a) if j == k else mean_pair_distance(a, b)
        for j, a in enumerate(classes)
        for k, b in enumerate(classes)
    )
    return total / len(classes) ** 2 if classes else math.nan


def class_separation(features, labels, *others):
    if len(set(labels.tolist())) < 2:
        return math.nan
    return 1 - d_within(features, labels, *others) / d_total(features, labels, *others)


def class_separation_unbiased(features, labels, *others):
    if len(of_two_or_more(nonzero_groups(features, labels))) < 2:
        return math.nan
    return 1 - d_within_unbiased(features, labels, *others) / d_total_unbiased(features, labels, *others)


def mean_of(part: Array) -> Array:
    return part.sum(0) / len(part)


def squared(vector: Array) -> float:
    return float(np.dot(vector, vector))


def spread(part: Array) -> float:
    mean = mean_of(part)
    return sum(squared(h - mean) for h in part)


def cdnv(features, labels, logits, weight, bias):
    classes = groups(features, labels)
    ratios = []
    for i, a in enumerate(classes):
        for b in classes[i + 1 :]:
            variances = spread(a) / len(a) + spread(b) / len(b)
            ratios.append(variances / (2 * squared(mean_of(a) - mean_of(b))))
    return sum(ratios) / len(ratios) if ratios else math.nan


def cdnv_unbiased(features, labels, logits, weight, bias):
    classes = of_two_or_more(groups(features, labels))
    ratios = []
    for i, a in enumerate(classes):
        for b in classes[i + 1 :]:
            first, second = spread(a) / (len(a) - 1), spread(b) / (len(b) - 1)
            distance = squared(mean_of(a) - mean_of(b)) - first / len(a) - second / len(b)
            if distance <= 0:
                return math.nan
            ratios.append((first + second) / (2 * distance))
    return sum(ratios) / len(ratios) if ratios else math.nan


def within_variance(features, labels, logits, weight, bias):
    return sum(spread(part) for part in groups(features, labels)) / len(features)


def within_variance_unbiased(features, labels, logits, weight, bias):
    classes = groups(features, labels)
    freedom = len(features) - len(classes)
    return sum(spread(part) for part in classes) / freedom if freedom else math.nan


def between_variance(features, labels, logits, weight, bias):
    means = [mean_of(part) for part in groups(features, labels)]
    average = sum(means) / len(means)
    return sum(squared(mean - average) for mean in means) / len(means) if len(means) > 1 else math.nan


def between_variance_unbiased(features, labels, logits, weight, bias):
    """Half the mean over ordered pairs, a class with itself included, of unbiased squared distances."""
    classes = of_two_or_more(groups(features, labels))
    if len(classes) < 2:
        return math.nan
    total = 0.0
    for i, a in enumerate(classes):
        for j, b in enumerate(classes):
            if i != j:
                noise = spread(a) / (len(a) - 1) / len(a) + spread(b) / (len(b) - 1) / len(b)
                total += squared(mean_of(a) - mean_of(b)) - noise
    return total / len(classes) ** 2 / 2


def over(subset: str, metric: Metric) -> Metric:
    """The metric of the samples that are classified correctly, or wrongly."""

    def restricted(features, labels, logits, weight, bias):
        hits = [max(range(len(z)), key=lambda k: z[k]) == y for z, y in zip(logits, labels, strict=True)]
        chosen = np.array([hit == (subset == "correct") for hit in hits])
        if not chosen.any():
            return math.nan
        return metric(features[chosen], labels[chosen], logits[chosen], weight, bias)

    return restricted


def with_subsets(*metrics: Metric) -> dict[str, Metric]:
    return {
        f"{metric.__name__}_{subset}": over(subset, metric)
        for metric in metrics
        for subset in ("correct", "wrong")
    }


ORACLE: dict[str, Metric] = {
    function.__name__: function
    for function in (
        d_within, d_within_unbiased, d_total, d_total_unbiased, class_separation, class_separation_unbiased, cdnv,
        cdnv_unbiased, within_variance, within_variance_unbiased, between_variance, between_variance_unbiased,
    )
} | with_subsets(d_within, d_within_unbiased, class_separation, cdnv)  # fmt: skip
