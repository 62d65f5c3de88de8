"""What a plan trains on: which samples, under which labels, seen how."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from torch import Tensor

from maxsup_analysis.architectures.known import index
from maxsup_analysis.datasets import LabelledImages, Samples, open_data
from maxsup_analysis.datasets.label_noise import noisy_labels
from maxsup_analysis.datasets.subsets import long_tail, some_per_class
from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from maxsup_analysis.training.models import RGB, full_name
from maxsup_analysis.training.plan import TrainingPlan

# Part of the resized image that the centre crop keeps, as in most recipes for ImageNet: 224 of 256.
CROP_FRACTION = 0.875
AT_ONCE = 1024


@dataclass(frozen=True)
class TrainingData:
    """N samples of a split, by their ids in it.

    labels: what is trained on. clean: what the data say.
    """

    samples: Samples
    ids: Int64[Tensor, " N"]
    labels: Int64[Tensor, " N"]
    clean: Int64[Tensor, " N"]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> int:
        """K."""
        return len(self.samples.class_names)

    @property
    def is_noisy(self) -> bool:
        """Whether any label was replaced."""
        return not torch.equal(self.labels, self.clean)

    @property
    def is_changed(self) -> bool:
        """Whether these are not simply the first samples with their own labels."""
        return self.is_noisy or not torch.equal(self.ids, torch.arange(len(self.ids)))


def training_data(plan: TrainingPlan) -> TrainingData:
    """The samples of a plan: the first so many, then so many a class, then a long tail; then noise on their labels.

    Raises InputError where the data are missing, have one class only, or too few samples.
    """
    return drawn_from(open_data(plan.data, plan.split, plan.data_dir), plan)


def drawn_from(samples: Samples, plan: TrainingPlan) -> TrainingData:
    """The same, of a split that is open."""
    if len(samples.class_names) < 2:
        raise InputError(
            f"expected two classes or more in {plan.data}, got {len(samples.class_names)}; check data"
        )
    ids = _first(samples, plan.train_samples)
    K = len(samples.class_names)
    if plan.samples_per_class is not None:
        labels = samples.labels[ids]
        ids = ids[some_per_class(labels, K, samples=plan.samples_per_class, seed=plan.seed)]
    if plan.imbalance > 1:
        ids = ids[long_tail(samples.labels[ids], K, ratio=plan.imbalance, seed=plan.seed)]
    clean = samples.labels[ids]
    noise = {"rate": plan.label_noise, "kind": plan.label_noise_kind, "seed": plan.seed}
    return TrainingData(samples, ids, noisy_labels(clean, K, **noise) if plan.label_noise else clean, clean)


def preprocessing_of(plan: TrainingPlan, data: TrainingData) -> Preprocessing:
    """How images are prepared for the model.

    Images in memory are normalised by their own mean and deviation; decoded ones by ImageNet's, and resized so that
    the centre crop keeps 7/8 of the shorter side, unless they have the model's size as they are.
    """
    if isinstance(data.samples, LabelledImages):
        return _of_memory(plan, data.samples.images, data.ids)
    side, first = plan.image_size or published_side(plan.model), _first_size(data)
    size = (RGB, side, side) if side else (RGB, *first)
    plain = Preprocessing(size, IMAGENET_MEAN, IMAGENET_STD)
    return plain if first == size[1:] else plain.with_crop_fraction(CROP_FRACTION)


def published_side(model: str) -> int | None:
    """The side of the images that the published weights of a model see; None where there are none.

    Example:
        >>> published_side("timm/deit_small_patch16_224"), published_side("small_cnn")
        (224, None)
    """
    known = index().architectures.get(full_name(model))
    return known.input_size[1] if known else None


def _first(samples: Samples, count: int | None) -> Int64[Tensor, " N"]:
    if not len(samples) or (count is not None and count > len(samples)):
        raise InputError(
            f"expected {count or 'some'} samples in {samples.name} {samples.split}, got {len(samples)}; "
            "ask for as many as there are with train_samples"
        )
    return torch.arange(count or len(samples))


def _of_memory(
    plan: TrainingPlan, images: Float32[Tensor, "N C H W"] | UInt8[Tensor, "N C H W"], ids: Tensor
) -> Preprocessing:
    channels, height, width = images.shape[1:]
    side = plan.image_size
    mean, deviation = _channel_statistics(images, ids)
    size = (channels, side, side) if side else (channels, height, width)
    return Preprocessing(size, tuple(mean.tolist()), tuple(deviation.tolist()))


def _channel_statistics(images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of values from 0 to 1; a channel that is constant has the deviation 1, to be divided by."""
    values, squares = torch.stack([_moments(images[part]) for part in ids.split(AT_ONCE)]).sum(0)
    count = len(ids) * images.shape[2] * images.shape[3]
    mean = values / count
    deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
    return mean, torch.where(deviation > 1e-6, deviation, 1.0)


def _moments(images: Tensor) -> Float64[Tensor, "2 C"]:
    """Sums of values and of their squares, by channel."""
    values = images.to(torch.float64) / (255 if images.dtype == torch.uint8 else 1)
    return torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])


def _first_size(data: TrainingData) -> tuple[int, int]:
    """Height and width of the first image."""
    source = getattr(data.samples, "source", None)
    if source is None:
        raise InputError(f"expected image_size for the images of {data.samples.name}, got none; give it")
    image = source.image(int(data.ids[0]))
    if isinstance(image, Tensor):
        return image.shape[1], image.shape[2]
    with image:
        return image.height, image.width
