"""The catalogue of metrics, one file a family; importing this package fills `METRICS`."""

from maxsup_analysis.metrics import calibration, logits, neural_collapse, variation
from maxsup_analysis.metrics.metric import METRICS, Metric, MomentMetric, SampleMetric

__all__ = [
    "METRICS",
    "Metric",
    "MomentMetric",
    "SampleMetric",
    "calibration",
    "logits",
    "neural_collapse",
    "variation",
]
