"""Variation within classes and separation between them: the cosine measures and their Euclidean kin."""

# The order of these imports is the order of the metrics wherever they are listed.
from maxsup_analysis.metrics.variation import cosine, euclidean  # isort: skip

__all__ = ["cosine", "euclidean"]
