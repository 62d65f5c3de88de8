"""What `--data` may name: ordered, labelled samples from wherever they lie.

`open_data` finds the source; every source gives `Samples`, whose `reader` fetches images by id. docs/data.md lists
the sources and what is done with images that are not plain RGB.
"""

from maxsup_analysis.datasets.corruptions import CORRUPTIONS, CorruptedSamples, Corruption, corrupted
from maxsup_analysis.datasets.derived import relabelled, subset
from maxsup_analysis.datasets.idx import read_idx
from maxsup_analysis.datasets.images import ImageSamples, ImageSource
from maxsup_analysis.datasets.in_memory import LabelledImages
from maxsup_analysis.datasets.innermost import by_innermost_folders
from maxsup_analysis.datasets.label_noise import noisy_labels
from maxsup_analysis.datasets.named import DATASETS, DEBIAN_FASHION_MNIST, DataSource, load
from maxsup_analysis.datasets.samples import Fetched, Reader, Samples, Unreadable
from maxsup_analysis.datasets.sources import open_data
from maxsup_analysis.datasets.stated_data import stated_data, stated_split
from maxsup_analysis.datasets.subsets import long_tail, some_per_class

__all__ = [
    "CORRUPTIONS",
    "DATASETS",
    "DEBIAN_FASHION_MNIST",
    "CorruptedSamples",
    "Corruption",
    "DataSource",
    "Fetched",
    "ImageSamples",
    "ImageSource",
    "LabelledImages",
    "Reader",
    "Samples",
    "Unreadable",
    "by_innermost_folders",
    "corrupted",
    "load",
    "long_tail",
    "noisy_labels",
    "open_data",
    "read_idx",
    "relabelled",
    "some_per_class",
    "stated_data",
    "stated_split",
    "subset",
]
