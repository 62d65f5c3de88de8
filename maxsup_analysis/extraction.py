"""The forward pass: a classifier and labelled images to features and logits, every sample once."""

from collections.abc import Iterator

import torch
from torch import Tensor

from maxsup_analysis.classifiers import Classifier, require_identity
from maxsup_analysis.datasets import LabelledImages
from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import Batch


def extract(
    classifier: Classifier, data: LabelledImages, *, device: torch.device, batch_size: int
) -> Iterator[Batch]:
    """Penultimate features (what enters the head) and logits, batch by batch, in the order of the data.

    On the first batch head(features) is checked to be the logits; InputError where it is not.
    """
    require_fit(classifier, data)
    caught: list[Tensor] = []
    hook = classifier.head.register_forward_pre_hook(lambda layer, inputs: caught.append(inputs[0]))
    classifier.module.eval().to(device)
    try:
        for start in range(0, len(data.labels), batch_size):
            part = slice(start, start + batch_size)
            with torch.inference_mode(), ieee_float32():
                logits = classifier.module(classifier.preprocessing(data.images[part]).to(device))
            features = caught.pop()
            if start == 0:
                require_identity(classifier.weights, features.cpu(), logits.cpu())
            yield Batch(data.ids[part], data.labels[part], features.float().cpu(), logits.float().cpu())
    finally:
        hook.remove()


def require_fit(classifier: Classifier, data: LabelledImages) -> None:
    """Raise InputError where the data are not of the classes or the channels that the classifier knows."""
    if len(classifier.class_names) != len(data.class_names):
        raise InputError(
            f"the checkpoint has {len(classifier.class_names)} classes but {data.name} has "
            f"{len(data.class_names)}; pass --data for the data it was trained on"
        )
    if len(classifier.preprocessing.mean) != data.images.shape[1]:
        raise InputError(
            f"the checkpoint takes images with {len(classifier.preprocessing.mean)} channels but {data.name} "
            f"has {data.images.shape[1]}; pass --data for the data it was trained on"
        )


class ieee_float32:  # noqa: N801
    """While it lasts, float32 on CUDA is float32, not TF32."""

    def __enter__(self) -> None:
        self.before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    def __exit__(self, *exception: object) -> None:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = self.before
