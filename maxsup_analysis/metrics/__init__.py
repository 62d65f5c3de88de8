"""The catalogue of metrics, one file a family; importing this package fills `METRICS`."""

# The order of these imports is the order of the metrics wherever they are listed.
from maxsup_analysis.metrics import variation, neural_collapse, conditional, spectrum  # isort: skip
from maxsup_analysis.metrics import calibration, selection, logits  # isort: skip
from maxsup_analysis.metrics.entry import (
    class_metric,
    mean_metric,
    moment_metric,
    order_metric,
    spectral_metric,
    total_metric,
)
from maxsup_analysis.metrics.metric import METRICS, Metric, MomentMetric, SampleMetric

__all__ = [
    "METRICS",
    "Metric",
    "MomentMetric",
    "SampleMetric",
    "calibration",
    "class_metric",
    "conditional",
    "logits",
    "mean_metric",
    "moment_metric",
    "neural_collapse",
    "order_metric",
    "selection",
    "spectral_metric",
    "spectrum",
    "total_metric",
    "variation",
]
