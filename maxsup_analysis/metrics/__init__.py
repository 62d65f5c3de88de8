"""The catalogue of metrics, one file a family; importing this package fills `METRICS`."""

# The order of these imports is the order of the metrics wherever they are listed.
from maxsup_analysis.metrics import variation, neural_collapse, conditional, spectrum  # isort: skip
from maxsup_analysis.metrics import calibration, selection, logits  # isort: skip
from maxsup_analysis.metrics.metric import METRICS, Metric, MomentMetric, SampleMetric

__all__ = [
    "METRICS",
    "Metric",
    "MomentMetric",
    "SampleMetric",
    "calibration",
    "conditional",
    "logits",
    "neural_collapse",
    "selection",
    "spectrum",
    "variation",
]
