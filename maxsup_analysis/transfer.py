"""From a checkpoint and other data to a linear probe of its features."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.classifiers import Classifier, ModelChoice, classifier_of
from maxsup_analysis.datasets import LabelledImages, Samples, open_data
from maxsup_analysis.devices import device_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import workers_for
from maxsup_analysis.influence import Samples as SampleSet
from maxsup_analysis.loading import Loader, images_at_once
from maxsup_analysis.probe import STRENGTHS, Labelled, Probe, probe
from maxsup_analysis.progress import say, track


@dataclass(frozen=True)
class Transfer:
    """Where features are transferred to. splits: of the data, to train the probe on and to test it on.

    model: what the user says about the model.
    """

    data: str
    data_dir: Path | None = None
    splits: tuple[str, str] = ("train", "test")
    batch_size: int = 256
    device: str = "auto"
    workers: int | None = None
    model: ModelChoice = field(default_factory=ModelChoice)


@dataclass(frozen=True)
class Transferred:
    """The probe, and the test samples that its influences speak of."""

    probe: Probe
    samples: SampleSet
    class_names: tuple[str, ...]


def transferred(checkpoint: Path, target: Transfer) -> Transferred:
    """A linear probe of a checkpoint's features on other data, whose classes are its own.

    Images are brought to what the model takes: resized, and made grey or of three channels.
    """
    classifier = classifier_of(open_checkpoint(checkpoint), target.model)
    device = device_of(target.device)
    classifier.module.to(device)
    train, test = (open_data(target.data, split, target.data_dir) for split in target.splits)
    if train.split == test.split:
        raise InputError(
            f"expected two splits of {target.data} to train the probe on and to test it on, got {train.split} twice; "
            "name two that differ with --splits"
        )
    if train.class_names != test.class_names:
        raise InputError(
            f"expected the same classes in {target.data} {' and '.join(target.splits)}, got {len(train.class_names)} "
            f"and {len(test.class_names)} that differ; name two splits of one data set"
        )
    known, new = (_features(classifier, samples, target, device) for samples in (train, test))
    N, D = known.features.shape
    say(f"fitting a linear classifier to {N:,} x {D} features with {len(STRENGTHS)} strengths of its penalty")
    found = probe(known, new, watch=lambda steps: track(steps, len(steps), "strengths of the probe"))
    ids = np.arange(len(test))
    return Transferred(found, SampleSet(ids, test.labels.numpy()), test.class_names)


def _features(classifier: Classifier, samples: Samples, target: Transfer, device: torch.device) -> Labelled:
    """Features in float32 on the CPU, of every sample."""
    with classifier.tap() as tap:
        parts = [
            tap(classifier.preprocessing.normalised(images.to(device))).features.float().cpu()
            for images in _images(classifier, samples, target)
        ]
    return Labelled(torch.cat(parts).clone(), samples.labels)


def _images(classifier: Classifier, samples: Samples, target: Transfer) -> Iterator[Tensor]:
    reader = _resizable(samples, classifier).reader(_with_resize(classifier))
    batch = min(target.batch_size, images_at_once(classifier.preprocessing.size))
    order: Sequence[Sequence[int]] = [part.tolist() for part in torch.arange(len(samples)).split(batch)]
    for fetched in Loader(reader, workers_for(samples, target.workers)).batches(order):
        if fetched.unreadable:
            raise InputError(f"{fetched.unreadable[0]}; a probe needs every image: mend or remove it")
        yield fetched.images


def _with_resize(classifier: Classifier):  # noqa: ANN202
    """Preprocessing that resizes, where the model's own takes images as they are."""
    own = classifier.preprocessing
    return own if own.resize is not None else replace(own, resize=min(own.size[1:]))


def _resizable(samples: Samples, classifier: Classifier) -> Samples:
    """Values from 0 to 1 as bytes, where they have another size than the model takes."""
    if not isinstance(samples, LabelledImages) or samples.images.dtype == torch.uint8:
        return samples
    if tuple(samples.images.shape[1:]) == classifier.preprocessing.size:
        return samples
    return replace(samples, images=(samples.images * 255).round().clamp(0, 255).to(torch.uint8))
