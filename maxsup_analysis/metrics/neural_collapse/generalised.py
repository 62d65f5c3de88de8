"""Generalised neural collapse, GNC1 to GNC3: features and rows of the head on the unit sphere, K beyond D + 1."""

import torch
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.entry import moment_metric
from maxsup_analysis.metrics.neural_collapse.hulls import TOLERANCE, smallest_distance_to_hull
from maxsup_analysis.metrics.neural_collapse.vectors import JIANG, head_rows, smooth_in, units
from maxsup_analysis.metrics.variation.classes import require_spread_means, require_two_classes
from maxsup_analysis.moments import ClusterMoments
from maxsup_analysis.representation import Representation

MOST_CLASSES = 2048


@moment_metric(
    label="GNC1: tr(S_W pinv S_B)/K, unit features",
    formula="1/K tr(S_W S_B^+), h_i -> h_i / norm(h_i)",
    source=JIANG,
    collapsed=0.0,
    differs="of features scaled to length one",
    needs=("direction_span", "clear means"),
    skewed=True,
)
def gnc1(representation: Representation) -> Tensor:
    """nc1_pinv of the features scaled to length one.

    The means are those of the scaled features, and are not scaled again; S_B is around the average of class
    means. Zero vectors have no direction and are left out. No standard error where the means are linearly
    dependent.
    """
    directions = _spread_directions(representation)
    value = directions.distance_in_span / directions.counts.sum() / len(directions.counts)
    return smooth_in(representation.direction_span, value)


@moment_metric(
    label="GNC2: one-vs-rest distance of the head",
    formula="min_k min_(lambda in Delta) norm(w_k - sum_(l != k) lambda_l w_l)_2, norm(w_l) = 1",
    source=f"{JIANG}, the softmax code's margin",
    collapsed=None,
    differs="the least margin, not angles",
)
def gnc2(representation: Representation) -> Tensor:
    """Smallest distance between a unit row of the head and the convex hull of the others.

    0 when two rows point the same way; at most K/(K - 1), of a simplex, and 1 or less when K > D + 1. Rows
    scaled to length one, not centred. Found to 1e-10 by accelerated projected gradients with a certificate, where
    the authors' code descends for 10,000 steps. Undefined for more than 2048 classes, for the cost grows with K^3.
    It depends on no sample, so its standard error is 0.
    """
    rows = units(head_rows(representation))
    if len(rows) > MOST_CLASSES:
        raise Undefined(f"it takes too long for more than {MOST_CLASSES} classes")
    distance = smallest_distance_to_hull(rows)
    if distance is None:
        raise Undefined(f"the distance to the convex hull was not found to {TOLERANCE:g}")
    return torch.tensor(distance, dtype=rows.dtype)


@moment_metric(
    label="GNC3: self-duality, unit features",
    formula="1/K sum_k (1 - cos(w_k, overline(u)_k - overline(u))), u_i = h_i / norm(h_i)",
    source=JIANG,
    collapsed=0.0,
    differs="cosine distance, unit features around the mean of all samples",
    needs=("clear means",),
)
def gnc3(representation: Representation) -> Tensor:
    """Cosine distance between a row of the head and the mean direction of its class, averaged over classes.

    From 0 to 2. Mean directions are taken around the mean direction of all samples, as in the authors' code; rows
    of the head are not centred. Zero vectors have no direction; rows of the head whose class has none are left
    out.
    """
    directions = _spread_directions(representation)
    rows = head_rows(representation)[representation.known_moments.directions.counts > 0]
    means = directions.offsets - directions.sample_mean
    # Half the squared distance of unit vectors is 1 - cos, to all digits where that is small.
    return (units(rows) - units(means)).square().sum(1).mean() / 2


def _spread_directions(representation: Representation) -> ClusterMoments:
    """The moments of the directions, of which there are at least two different means."""
    require_two_classes(representation)
    directions = representation.directions
    if len(directions.counts) < 2:
        raise Undefined("only one class has features that are not zero vectors, and it takes two to compare")
    require_spread_means(directions)
    return directions
