"""Classes by the innermost folders, as timm has them, where others take the outermost."""

from dataclasses import replace

import torch

from maxsup_analysis.datasets.corruptions import CorruptedSamples
from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.samples import Samples


def by_innermost_folders(samples: Samples) -> Samples:
    """The same samples, each of the class of the folder that it lies in itself; the very same where that changes none.

    Folders of one name in different places are one class, as in timm.
    """
    if isinstance(samples, CorruptedSamples):
        inner = by_innermost_folders(samples.samples)
        return samples if inner is samples.samples else replace(samples, samples=inner)
    if not isinstance(samples, ImageSamples) or not samples.sorted_classes:
        return samples
    folders = [_folder_of(samples.source.called(number)) for number in range(len(samples))]
    names = tuple(sorted(set(folders)))
    place = {name: label for label, name in enumerate(names)}
    labels = torch.tensor([place[folder] for folder in folders])
    if names == samples.class_names and torch.equal(labels, samples.labels):
        return samples
    return replace(samples, labels=labels, class_names=names)


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0].rpartition("/")[2]
