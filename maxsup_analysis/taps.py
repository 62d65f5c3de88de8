"""Features of a model batch by batch: those before its head, or those that any layer gives."""

import difflib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maxsup_analysis.errors import InputError
from maxsup_analysis.heads import FoundHead
from maxsup_analysis.hooks import Forward, evaluated, heard, logits_of, pooled


@dataclass(frozen=True)
class Outputs:
    """One batch: features (of the head as in FoundHead, or of a layer as in LayerTap) and logits."""

    features: Float[Tensor, "B D"]
    logits: Float[Tensor, "B K"]


T = TypeVar("T", bound="_Tap")


class _Tap:
    """While it is open the model is in evaluation mode and some of its layers are heard; it holds the hooks."""

    def __init__(self, module: nn.Module, layers: Mapping[str, nn.Module], forward: Forward | None) -> None:
        self.module, self.layers, self.forward = module, layers, forward or module
        self.caught: dict[str, Tensor] = {}
        self.open = ExitStack()

    def __enter__(self: T) -> T:
        self.open.enter_context(evaluated(self.module))
        self.open.enter_context(heard(self.layers, self.keep))
        return self

    def __exit__(self, *exception: object) -> None:
        self.open.close()

    def keep(self, name: str, layer: nn.Module, entered: Tensor | None, given: Tensor | None) -> None:
        raise NotImplementedError

    def run(self, images: Tensor) -> Tensor:
        """The logits; what the layers caught is kept, of several calls of one layer the last."""
        self.caught.clear()
        with torch.inference_mode():
            logits = logits_of(self.forward(images))
        silent = next((name for name in self.layers if name not in self.caught), None)
        if silent is not None:
            raise InputError(f"expected layer {silent!r} to run and give a tensor, it does not; {_ADVICE}")
        return logits


_ADVICE = "choose another with --layer NAME (--list-layers shows them)"


class FeatureTap(_Tap):
    """Penultimate features and logits of each batch, in the convention of the head that was found.

    head.weights.logits(features) are the logits returned, up to rounding; they are the model's own, or those before
    its softmax where it ends in one. Tensors stay on the device of the model.

    >>> from maxsup_analysis.heads import find_head
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 3))
    >>> images = torch.linspace(-1, 1, 24).view(2, 3, 2, 2)
    >>> found = find_head(model, images)
    >>> with FeatureTap(model, found) as tap:
    ...     batch = tap(images)
    >>> found.layers, batch.features.shape, batch.logits.shape
    (('3',), torch.Size([2, 4]), torch.Size([2, 3]))
    """

    def __init__(self, module: nn.Module, found: FoundHead, *, forward: Forward | None = None) -> None:
        super().__init__(module, {name: module.get_submodule(name) for name in found.layers}, forward)
        self.found = found

    def keep(self, name: str, layer: nn.Module, entered: Tensor | None, given: Tensor | None) -> None:
        """What entered a linear map of the head, one vector a sample."""
        weight = layer.weight
        assert entered is not None and isinstance(weight, Tensor)
        self.caught[name] = pooled(entered, channels_first=weight.ndim > 2)

    def __call__(self, images: Tensor) -> Outputs:
        """Features and logits of one batch."""
        logits = self.run(images)
        with torch.inference_mode():
            features = torch.cat([self.caught[name] for name in self.found.layers], 1)
            if self.found.form == "cosine":
                features = nn.functional.normalize(features)
            if self.found.ending != "logits":
                logits = self._before_softmax(features)
        return Outputs(features, logits)

    def _before_softmax(self, features: Tensor) -> Tensor:
        head = self.found.weights
        bias = None if head.bias is None else head.bias.to(features)
        return nn.functional.linear(features, head.weight.to(features), bias)


class LayerTap(_Tap):
    """What any layer gives, one vector a sample, and the logits.

    [B, D] is taken as it is; of tokens [B, T, D] the mean over tokens; of maps [B, D, H, W] the mean over positions;
    a map is read as [B, H, W, D] where its second and third sizes are equal and the last differs from them, as the
    maps of Swin are. Other shapes, and layers that fold other things into the batch, are an InputError.
    """

    def __init__(self, module: nn.Module, name: str, *, forward: Forward | None = None) -> None:
        layers = {known: layer for known, layer in module.named_modules() if known}
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=3, cutoff=0.4)
            hint = f"the nearest are {', '.join(near)}" if near else "none is like it"
            raise InputError(
                f"expected a layer of the model, got {name!r}; {hint} (--list-layers shows them)"
            )
        super().__init__(module, {name: layers[name]}, forward)
        self.name = name

    def keep(self, name: str, layer: nn.Module, entered: Tensor | None, given: Tensor | None) -> None:
        """What the layer gave, one vector a sample."""
        if given is not None:
            self.caught[name] = _one_vector_a_sample(name, given)

    def __call__(self, images: Tensor) -> Outputs:
        """Features and logits of one batch."""
        logits = self.run(images)
        features = self.caught[self.name]
        if len(features) != len(images):
            raise InputError(
                f"expected one row for each of {len(images)} samples from layer {self.name!r}, got "
                f"{len(features)}; {_ADVICE}"
            )
        return Outputs(features, logits)


def _one_vector_a_sample(name: str, given: Tensor) -> Tensor:
    if not 2 <= given.ndim <= 4 or not given.is_floating_point():
        raise InputError(
            f"expected [B, D], [B, T, D] or [B, D, H, W] from layer {name!r}, got {list(given.shape)}; {_ADVICE}"
        )
    channels_last = given.ndim < 4 or given.shape[1] == given.shape[2] != given.shape[3]
    return pooled(given, channels_first=not channels_last)


def layer_names(
    module: nn.Module, probe: Tensor, *, forward: Forward | None = None
) -> dict[str, tuple[int, ...]]:
    """Every layer that gives a tensor and the shape of it, in the order in which they end (last) on the probe."""
    shapes: dict[str, tuple[int, ...]] = {}

    def keep(name: str, layer: nn.Module, entered: Tensor | None, given: Tensor | None) -> None:
        if given is not None:
            shapes.pop(name, None)
            shapes[name] = tuple(given.shape)

    layers = {name: layer for name, layer in module.named_modules() if name}
    with evaluated(module), heard(layers, keep), torch.inference_mode():
        (forward or module)(probe)
    return shapes
