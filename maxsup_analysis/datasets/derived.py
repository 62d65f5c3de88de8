"""Samples made of others: some of them, or the same under other labels."""

from jaxtyping import Int64
from torch import Tensor

from maxsup_analysis.datasets.samples import Samples
from maxsup_analysis.errors import InputError


def subset(samples: Samples, ids: Int64[Tensor, " M"]) -> Samples:
    """The samples of these ids, in this order.

    Their ids are positions in the subset, from 0, as everywhere; `numbers` says where they are in the whole split, and
    their names stay what they were. State and fingerprint are of what is left. Images in memory are copied.

    Raises InputError where there is no such id, or none is asked for.
    """
    if not len(ids):
        raise InputError(f"expected at least one sample of {samples.name} {samples.split}, got none")
    outside = (ids < 0) | (ids >= len(samples))
    if outside.any():
        raise InputError(
            f"expected ids from 0 to {len(samples) - 1} of {samples.name} {samples.split}, got {int(ids[outside][0])}"
        )
    return samples.at(ids)


def relabelled(samples: Samples, labels: Int64[Tensor, " N"]) -> Samples:
    """The same samples under other labels of the same classes; the state stays, the fingerprint does not.

    Raises InputError where the labels are not one a sample, or no class.
    """
    if len(labels) != len(samples):
        raise InputError(
            f"expected {len(samples)} labels for {samples.name} {samples.split}, got {len(labels)}"
        )
    most = len(samples.class_names) - 1
    outside = (labels < 0) | (labels > most)
    if outside.any():
        raise InputError(
            f"expected labels from 0 to {most} for {samples.name} {samples.split}, got {int(labels[outside][0])}"
        )
    return samples.with_labels(labels)
