"""What `--data` may name: ordered, labelled samples from wherever they lie.

`open_data` finds the source; every source gives `Samples`, whose `reader` fetches images by id. docs/data.md lists
the sources and what is done with images that are not plain RGB.
"""

from maxsup_analysis.datasets.idx import read_idx
from maxsup_analysis.datasets.images import ImageSamples, ImageSource
from maxsup_analysis.datasets.in_memory import LabelledImages
from maxsup_analysis.datasets.named import DATASETS, DEBIAN_FASHION_MNIST, DataSource, load
from maxsup_analysis.datasets.samples import Fetched, Reader, Samples, Unreadable
from maxsup_analysis.datasets.sources import open_data

__all__ = [
    "DATASETS",
    "DEBIAN_FASHION_MNIST",
    "DataSource",
    "Fetched",
    "ImageSamples",
    "ImageSource",
    "LabelledImages",
    "Reader",
    "Samples",
    "Unreadable",
    "load",
    "open_data",
    "read_idx",
]
