"""What runs through a model: what enters and leaves its layers, and its logits."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maxsup_analysis.errors import InputError

Forward = Callable[[Tensor], object]
# Told, whenever a layer has run: its name, the layer, the first tensor that entered it, the first that it gave.
Listener = Callable[[str, nn.Module, Tensor | None, Tensor | None], None]


@contextmanager
def evaluated(module: nn.Module) -> Iterator[None]:
    """While it lasts, the model is in evaluation mode; then every layer is in the mode it was in before."""
    before = {layer: layer.training for layer in module.modules()}
    module.eval()
    try:
        yield
    finally:
        module.train(before[module])
        for layer, training in before.items():
            layer.training = training


@contextmanager
def heard(layers: Mapping[str, nn.Module], listener: Listener) -> Iterator[None]:
    """While it lasts, the listener is told whenever one of the layers has run; the hooks go whatever happens."""
    handles = []
    try:
        for name, layer in layers.items():
            handles.append(layer.register_forward_hook(_hook(name, listener), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(name: str, listener: Listener) -> Callable[..., None]:
    def hook(layer: nn.Module, arguments: tuple, words: dict, output: object) -> None:
        listener(name, layer, _first_tensor((*arguments, *words.values())), _first_tensor(output))

    return hook


def _first_tensor(values: object) -> Tensor | None:
    if isinstance(values, Mapping):
        values = tuple(values.values())
    found = values if isinstance(values, tuple | list) else (values,)
    return next((value for value in found if isinstance(value, Tensor)), None)


def pooled(features: Tensor, *, channels_first: bool) -> Tensor:
    """One vector a sample, its mean over positions; always a copy, since the model may go on in place."""
    if channels_first:
        return features.flatten(2).mean(2) if features.ndim > 2 else features.clone()
    return features.flatten(1, -2).mean(1) if features.ndim > 2 else features.clone()


def logits_of(output: object) -> Float[Tensor, "B K"]:
    """The logits [B, K] in what a model returns.

    Taken are a tensor (also [B, K, 1, 1]), anything called `logits` in an object or a mapping, and the only tensor
    of such a shape in a mapping, tuple or list; anything else is an InputError, never a guess.
    """
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(output, Tensor) or isinstance(named, Tensor):
        parts = [output if isinstance(output, Tensor) else named]
    else:
        parts = (
            output.values()
            if isinstance(output, Mapping)
            else output
            if isinstance(output, tuple | list)
            else ()
        )
    tables = [part for part in parts if isinstance(part, Tensor) and _is_table(part)]
    if len(tables) != 1:
        raise InputError(
            f"expected logits of shape [B, K] from the model, got {_shape_in_words(output)}; "
            "let it return its logits alone or under the name 'logits'"
        )
    return tables[0].flatten(1)


def as_two_logits(module: nn.Module, probe: Tensor) -> None:
    """Let a model of one output, the logit of the second of two classes, give two: 0 and that one.

    Their softmax is the sigmoid of the one. Models of more outputs stay as they are.
    """
    with evaluated(module), torch.inference_mode():
        output = module(probe)
    if not isinstance(output, Tensor) or output.shape not in ((len(probe), 1), (len(probe),)):
        return
    if isinstance(list(module.modules())[-1], nn.Sigmoid):
        raise InputError(
            "expected logits, got one probability: the model ends in Sigmoid; name one that does not with --model "
            "file.py:factory"
        )
    module.register_forward_hook(_beside_nothing)


def _beside_nothing(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    logit = output.reshape(-1, 1)
    return torch.cat([torch.zeros_like(logit), logit], 1)


def _is_table(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and (
        tensor.ndim == 2 or (tensor.ndim == 4 and tensor.shape[2:] == (1, 1))
    )


def _shape_in_words(output: object) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {list(output.shape)} and type {str(output.dtype).removeprefix('torch.')}"
    parts = list(output.values()) if isinstance(output, Mapping) else output
    if isinstance(parts, tuple | list):
        words = [
            str(list(part.shape)) if isinstance(part, Tensor) else type(part).__name__ for part in parts[:5]
        ]
        return f"a {type(output).__name__} of {len(parts)} ({', '.join(words)})"
    return f"a {type(output).__name__}"
