"""The 15 corruptions of ImageNet-C and CIFAR-10-C, in five severities.

`CORRUPTIONS` has each with its strengths; `corrupted` gives samples whose images are corrupted when they are read.
docs/data.md says what is taken from whom.
"""

from maxsup_analysis.datasets.corruptions import blur, digital, noise, weather
from maxsup_analysis.datasets.corruptions.entry import CORRUPTIONS, SEVERITIES, Corruption
from maxsup_analysis.datasets.corruptions.samples import CorruptedSamples, corrupted, corruption_in

__all__ = [
    "CORRUPTIONS",
    "SEVERITIES",
    "CorruptedSamples",
    "Corruption",
    "blur",
    "corrupted",
    "corruption_in",
    "digital",
    "noise",
    "weather",
]
