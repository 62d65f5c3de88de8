"""Neural collapse, NC1 to NC4 (Papyan, Han & Donoho 2020) and what came after, in conventions that are named.

M is the K x D matrix of class means minus their average over classes (classes weigh equally). W is the weight
of the head as it is, not centred. S_W = 1/N sum_i (h_i - mu_k)(h_i - mu_k)^T, and S_B = 1/K M^T M.
"""

# The order of these imports is the order of the metrics wherever they are listed.
from maxsup_analysis.metrics.neural_collapse import (  # isort: skip
    within_between,
    equinorm,
    angles,
    simplex,
    self_duality,
    nearest_mean,
    variability_index,
    generalised,
    uniformity,
    health,
)

__all__ = [
    "angles",
    "equinorm",
    "generalised",
    "health",
    "nearest_mean",
    "self_duality",
    "simplex",
    "uniformity",
    "variability_index",
    "within_between",
]
