"""From an architecture and weights to a classifier whose head is known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maxsup_analysis.checkpoints import Checkpoint
from maxsup_analysis.errors import InputError
from maxsup_analysis.representation import Head, head_of
from maxsup_analysis.table import Table

# Largest relative distance between the head's own arithmetic and the model's output, in float32.
IDENTITY_TOLERANCE = 1e-4
ARCHITECTURES: "Table[Callable[..., nn.Module]]" = Table("architecture")


@dataclass(frozen=True)
class Preprocessing:
    """What happens to pixel values from 0 to 1 before the model sees them: (x - mean) / std, by channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Normalised images."""
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std


@dataclass(frozen=True)
class Classifier:
    """A model in evaluation mode, its head, and its preprocessing.

    layer: the name of the head's module.
    """

    module: nn.Module
    head: nn.Linear
    layer: str
    preprocessing: Preprocessing
    class_names: tuple[str, ...]

    @property
    def weights(self) -> Head:
        """The head's numbers, in float64."""
        bias = None if self.head.bias is None else self.head.bias.detach().cpu()
        head = head_of(self.head.weight.detach().cpu(), bias)
        assert head is not None
        return head


def build_module(name: str, arguments: Mapping[str, object]) -> nn.Module:
    """An untrained model: an entry of ARCHITECTURES, or `timm/NAME`."""
    if name.startswith("timm/"):
        import timm

        try:
            return timm.create_model(name.removeprefix("timm/"), pretrained=False, **arguments)  # type: ignore[arg-type]
        except (RuntimeError, TypeError) as reason:
            raise InputError(f"timm cannot build {name!r}: {reason}; see timm.list_models()") from None
    return ARCHITECTURES[name](**arguments)


def classifier_of(checkpoint: Checkpoint) -> Classifier:
    """The classifier that a checkpoint describes; raises InputError where weights and description differ."""
    about = checkpoint.metadata
    try:
        architecture, classes = about["architecture"], tuple(about["classes"])  # type: ignore[arg-type]
        scaling = about["preprocessing"]
        module = build_module(architecture["name"], architecture["arguments"])  # type: ignore[index]
        preprocessing = Preprocessing(tuple(scaling["mean"]), tuple(scaling["std"]))  # type: ignore[index]
        input_size = tuple(about["input_size"])  # type: ignore[arg-type]
    except (KeyError, TypeError) as reason:
        raise InputError(
            f"the metadata of {checkpoint.name} are incomplete ({reason}); expected architecture, classes, "
            "preprocessing and input_size: train it again"
        ) from None
    try:
        module.load_state_dict(checkpoint.state_dict)
    except RuntimeError as reason:
        detail = " ".join(str(reason).split())[:200]
        raise InputError(f"the weights of {checkpoint.name} do not fit its architecture: {detail}") from None
    module.eval()
    layer, head = find_head(module, input_size)
    if head.out_features != len(classes):
        raise InputError(
            f"{checkpoint.name} names {len(classes)} classes but its head {layer!r} has {head.out_features} "
            "outputs; the file does not describe itself correctly: train it again"
        )
    return Classifier(module, head, layer, preprocessing, classes)


def find_head(module: nn.Module, input_size: Sequence[int]) -> tuple[str, nn.Linear]:
    """The linear layer whose output is the model's output, found by running the model once.

    Raises InputError where there is none: then there are no penultimate features to speak of.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda layer, inputs, output: outputs.__setitem__(name, output)

    linear = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    hooks = [layer.register_forward_hook(keep(name)) for name, layer in linear.items()]
    try:
        with torch.inference_mode():
            probe = torch.linspace(-1, 1, 2 * int(torch.tensor(input_size).prod())).view(2, *input_size)
            logits = module(probe)
    finally:
        for hook in hooks:
            hook.remove()
    for name, output in outputs.items():
        if output.shape == logits.shape and torch.equal(output, logits):
            return name, linear[name]
    raise InputError(
        f"no linear layer of this model makes its output (tried {', '.join(linear) or 'none'}); "
        "extract its features yourself and bring them as .npz"
    )


def require_identity(head: Head, features: Tensor, logits: Tensor) -> float:
    """How far head(features) is from the logits, relative to their size; InputError beyond the tolerance."""
    if features.ndim != 2:
        raise InputError(
            f"expected one feature vector a sample at the head, got shape {tuple(features.shape)}"
        )
    gap = (head.logits(features.double()) - logits.double()).abs().max()
    residual = float(gap / logits.double().abs().max().clamp(min=1))
    if not residual <= IDENTITY_TOLERANCE:
        raise InputError(
            f"head(features) differs from the model's output by {residual:.2g} of its size, more than "
            f"{IDENTITY_TOLERANCE:g}: what reaches the head is not what makes the logits"
        )
    return residual


def small_cnn(channels: int, classes: int, widths: Sequence[int] = (32, 64, 64)) -> nn.Module:
    """Three 3 x 3 convolutions with batch normalisation, one pooling, global average, and a linear head.

    For images of 8 to 64 pixels; D is the last width.
    """
    first, second, third = widths
    return nn.Sequential(
        *_convolution(channels, first),
        *_convolution(first, second),
        nn.MaxPool2d(2),
        *_convolution(second, third),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(third, classes),
    )


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


ARCHITECTURES.add("small_cnn", small_cnn)
