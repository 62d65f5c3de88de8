"""Where classes have too few samples to say how a metric varies."""

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from maxsup_analysis.class_rows import MOST
from maxsup_analysis.linearisation import Linearised, MomentGradient
from maxsup_analysis.metrics.metric import SUBSETS, Metric, SampleMetric, SpectralMetric, Subset
from maxsup_analysis.moments import ClusterMoments
from maxsup_analysis.representation import Representation
from maxsup_analysis.spectra import Spectra

# Of the variance of a metric that classes of two samples may have, unseen: its error is then too small by half of it.
NEGLIGIBLE_SHARE = 0.05
# Samples for an interval of what logits make of them, which is skewed where few are wrong.
LEAST_OF_LOGITS = 100
LEAST_SEEN = 10  # samples of a class, for an interval of where correct or wrong ones lie from its mean
LEAST_MEMBERS = 5  # samples of a class that are correct, or wrong, for an interval of their geometry
MOST_OF_ONE = 0.55  # of a variance, of one class, where that has few samples
LEAST_LEADING = 10  # samples of a class that has most of the variance of a metric through spreads
LEAST_A_DIMENSION = 4  # samples, for an interval of the spectrum of all
LEAST_OF_CLASS = 2  # samples of a class a dimension, for one of its own
MOST_NOISE = (
    0.1  # of class means, over the variance between them, for an interval of their angles and lengths
)
MOST_CURVED = 0.2  # of a variance, left out by linearisation


def why_few(entry: Linearised, representation: Representation, spectra: Spectra | None = None) -> str | None:
    """Why nobody knows how the metric varies, or why its linearisation does not say it with so few samples."""
    counts, gradient = representation.means.features.counts, entry.gradient
    single = counts == 1
    if isinstance(gradient, MomentGradient):
        if (alone := int((_touched(gradient, counts) & single).sum())) > 0:
            return singletons(alone)
        if pairs := _unknown_spreads(gradient, representation):
            return two_alike(pairs)
        if (most := _outweighing(gradient, counts)) is not None:
            return most
        looks_at_means = "clear means" in entry.metric.needs and gradient.any
        return _unclear_means(representation) if looks_at_means else None
    if single.any():
        return singletons(int(single.sum()))
    if isinstance(entry.metric, SpectralMetric):
        return _unclear_spectrum(entry.metric, gradient, representation, spectra)
    if (of_some := _few_that_are_seen(entry.metric, counts)) is not None:
        return of_some
    if entry.metric.is_geometric or representation.samples >= LEAST_OF_LOGITS:
        return None
    return (
        f"{representation.samples} samples are too few for an interval of this, which takes {LEAST_OF_LOGITS}"
    )


def few_members(representation: Representation, subset: Subset) -> str | None:
    """Why the geometry of some samples has no interval: it changes with how many of a class there happen to be."""
    counts = representation.means.features.counts
    few = int(((counts > 0) & (counts < LEAST_MEMBERS)).sum())
    if not few:
        return None
    return f"{_so_many(few)} fewer than {LEAST_MEMBERS} {SUBSETS[subset]}, too few for an interval of their geometry"


def few_for_spectra(representation: Representation) -> str | None:
    """Why spectra of classes have no interval: with fewer samples than dimensions, they are those of the samples."""
    counts, D = representation.means.features.counts, representation.dimensions
    few = int(((counts > 1) & (counts.clamp(max=MOST) < LEAST_OF_CLASS * D)).sum())
    if not few:
        return None
    return (
        f"{_so_many(few)} fewer than {LEAST_OF_CLASS} samples a dimension, too few for an interval of spectra"
    )


def _few_that_are_seen(metric: Metric, counts: Float64[Tensor, " K"]) -> str | None:
    """Where correct or wrong samples draw the mean that they are seen from to themselves, by more than linearly."""
    seen = metric.seen_from if isinstance(metric, SampleMetric) else None
    few = int(((counts > 0) & (counts < LEAST_SEEN)).sum())
    if seen is None or not few or (seen.by == "all" and seen.mean != "predicted"):
        return None
    return (
        f"{_so_many(few)} fewer than {LEAST_SEEN} samples, too few for an interval of where some of them lie"
    )


def _unclear_means(representation: Representation) -> str | None:
    """Where the noise of class means is not small beside what lies between them, what is quadratic in it matters."""
    moments = representation.known_moments.features.occupied
    n = moments.counts
    noise = float((moments.spreads / ((n - 1) * n).clamp(min=1)).mean().detach())
    between = float(moments.centred_means.square().sum(1).mean().detach()) - noise
    if noise <= MOST_NOISE * between:
        return None
    share = noise / max(between + noise, noise)
    return f"of the variance between class means {share:.0%} is noise, too much for an interval: take more samples"


def _unclear_spectrum(
    metric: SpectralMetric, gradient: Tensor | None, representation: Representation, spectra: Spectra | None
) -> str | None:
    N, D = representation.samples, representation.dimensions
    if (least := LEAST_A_DIMENSION * D) > N:
        return f"{N} samples in {D} dimensions are too few for an interval of a spectrum, which takes {least}"
    if spectra is None or gradient is None:
        return None
    # Perturbation of the second order, of normal samples, along the axes that might change places with the first.
    values = spectra.of(metric.matrix).values
    first, others = values[0], values[1:]
    slopes = (gradient[0] - gradient[1:]) / (first - others)
    curved = 2 * float((slopes * first * others).square().sum()) / N**2
    linear = 2 * float((gradient * values).square().sum()) / N
    if curved <= MOST_CURVED * linear:
        return None
    return "the largest eigenvalues are too close to each other for an interval with so few samples"


def singletons(classes: int) -> str:
    """The reason where so many classes have one sample."""
    return f"{_so_many(classes)} one sample, so the sampling variance is unknown"


def two_alike(classes: int) -> str:
    """The reason where so many classes that matter have two samples."""
    return f"{_so_many(classes)} two samples, which deviate alike, so the sampling variance of a spread is unknown"


def _so_many(classes: int) -> str:
    return "1 class has" if classes == 1 else f"{classes} classes have"


def _touched(gradient: MomentGradient, counts: Float64[Tensor, " K"]) -> Bool[Tensor, " K"]:
    """The classes whose moments matter."""
    if gradient.in_scatter:
        return counts > 0
    parts = [part for part in (gradient.features.touched, gradient.directions.touched) if part is not None]
    return torch.stack(parts).any(0) if parts else torch.zeros_like(counts, dtype=torch.bool)


def _unknown_spreads(gradient: MomentGradient, representation: Representation) -> int:
    """How many classes have two samples, where a spread of theirs matters more than negligibly."""
    moments = representation.known_moments
    of_scatter = torch.ones_like(moments.features.counts) if gradient.in_scatter else None
    return max(
        _pairs_that_matter(of_scatter, moments.features),
        _pairs_that_matter(gradient.features.spreads, moments.features),
        _pairs_that_matter(gradient.directions.spreads, moments.directions),
    )


def _outweighing(gradient: MomentGradient, counts: Float64[Tensor, " K"]) -> str | None:
    """Where one small class has most of the variance: whether it is known as badly as that shows in larger ones.

    For equal covariances g^2 (n - 1), of n samples and the derivative g with respect to the spread. Of two classes of
    equal size none has most.
    """
    for slope in (gradient.features.spreads, gradient.directions.spreads):
        if slope is None or int((counts > 1).sum()) < 2:
            continue
        variances = slope.square() * (counts - 1).clamp(min=0)
        most, place = (variances / variances.sum()).max(0)
        if most > MOST_OF_ONE and counts[place] < LEAST_LEADING:
            return (
                f"most of the variance is of a class of {int(counts[place])} samples, too few to know it; "
                f"an interval takes {LEAST_LEADING}"
            )
    return None


def _pairs_that_matter(slope: Float64[Tensor, " K"] | None, moments: ClusterMoments) -> int:
    """Of classes of n samples, spread S and derivative g, g^2 S^2/(n - 1) is the variance of g S but for a factor.

    The factor is twice the purity of the covariance, taken to be the same for all classes.
    """
    if slope is None:
        return 0
    n = moments.counts
    variances = (slope * moments.spreads).square() / (n - 1).clamp(min=1)
    pairs = (n == 2) & (slope != 0)
    if not variances[pairs].sum() > NEGLIGIBLE_SHARE * variances.sum():
        return 0
    return int(pairs.sum())
