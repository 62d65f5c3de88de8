"""Where classes have too few samples to say how a metric varies."""

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from maxsup_analysis.linearisation import Linearised, MomentGradient
from maxsup_analysis.moments import ClusterMoments
from maxsup_analysis.representation import Representation

# Of the variance of a metric that classes of two samples may have, unseen: its error is then too small by half of it.
NEGLIGIBLE_SHARE = 0.05


def why_few(entry: Linearised, representation: Representation) -> str | None:
    """Why nobody knows how the metric varies: a class that it depends on has one sample, or two for a spread."""
    counts, gradient = representation.means.features.counts, entry.gradient
    single = counts == 1
    if not isinstance(gradient, MomentGradient):
        return singletons(int(single.sum())) if single.any() else None
    if (alone := int((_touched(gradient, counts) & single).sum())) > 0:
        return singletons(alone)
    pairs = _unknown_spreads(gradient, representation)
    return two_alike(pairs) if pairs else None


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
