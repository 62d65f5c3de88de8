"""The forward pass: a classifier and labelled images to features and logits, every sample once."""

from collections.abc import Iterator

import torch
from torch import Tensor

from maxsup_analysis.classifiers import Classifier
from maxsup_analysis.datasets import Samples
from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import Batch
from maxsup_analysis.heads import IDENTITY_TOLERANCE
from maxsup_analysis.representation import Head


def extract(
    classifier: Classifier, data: Samples, *, device: torch.device, batch_size: int, workers: int = 0
) -> Iterator[Batch]:
    """Features and logits, batch by batch, in the order of the data.

    On the first batch head(features) is checked to be the logits; InputError where it is not.
    """
    classifier.module.eval().to(device)
    with classifier.tap() as tap, ieee_float32():
        for batch in data.batches(classifier.preprocessing, batch_size, workers):
            outputs = tap(batch.images.to(device))
            features, logits = outputs.features.float().cpu(), outputs.logits.float().cpu()
            if classifier.weights is not None and not int(batch.ids[0]):
                require_identity(classifier.weights, features, logits)
            yield Batch(batch.ids, batch.labels, features, logits)


def require_identity(head: Head, features: Tensor, logits: Tensor) -> float:
    """How far head(features) is from the logits, relative to their size; InputError beyond the tolerance."""
    gap = (head.logits(features.double()) - logits.double()).abs().max()
    residual = float(gap / logits.double().abs().max().clamp(min=1))
    if not residual <= IDENTITY_TOLERANCE:
        raise InputError(
            f"head(features) differs from the model's output by {residual:.2g} of its size, more than "
            f"{IDENTITY_TOLERANCE:g}: what reaches the head is not what makes the logits"
        )
    return residual


class ieee_float32:  # noqa: N801
    """While it lasts, float32 on CUDA is float32, not TF32."""

    def __enter__(self) -> None:
        self.before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    def __exit__(self, *exception: object) -> None:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = self.before
