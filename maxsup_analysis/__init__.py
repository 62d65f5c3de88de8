"""Is the representation of a classifier collapsing? Measure it, with intervals.

The public names, imported when they are first used: `import maxsup_analysis` alone is instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from maxsup_analysis.version import __version__

if TYPE_CHECKING:
    from maxsup_analysis.comparison import Comparison, Difference, compare
    from maxsup_analysis.contrasts import Interval
    from maxsup_analysis.errors import InputError, Undefined
    from maxsup_analysis.estimates import Estimate
    from maxsup_analysis.feature_store import FeatureStore, open_store
    from maxsup_analysis.losses import LOSSES
    from maxsup_analysis.measurements import Measurements, measure, measure_representation
    from maxsup_analysis.metrics import METRICS
    from maxsup_analysis.representation import Head, Representation

_HOME = {
    "LOSSES": "losses",
    "METRICS": "metrics",
    "Comparison": "comparison",
    "Difference": "comparison",
    "Estimate": "estimates",
    "FeatureStore": "feature_store",
    "Head": "representation",
    "InputError": "errors",
    "Interval": "contrasts",
    "Measurements": "measurements",
    "Representation": "representation",
    "Undefined": "errors",
    "compare": "comparison",
    "measure": "measurements",
    "measure_representation": "measurements",
    "open_store": "feature_store",
}

__all__ = [
    "LOSSES",
    "METRICS",
    "Comparison",
    "Difference",
    "Estimate",
    "FeatureStore",
    "Head",
    "InputError",
    "Interval",
    "Measurements",
    "Representation",
    "Undefined",
    "__version__",
    "compare",
    "measure",
    "measure_representation",
    "open_store",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"maxsup_analysis.{_HOME[name]}"), name)
    raise AttributeError(f"module 'maxsup_analysis' has no attribute {name!r}")
