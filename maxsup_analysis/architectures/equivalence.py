"""Do two modules with the same names and shapes compute the same thing?

First by structure: classes and their settings, layer by layer. Where structures differ, by numbers: the
same weights, the same image, in float64, where settings as small as an epsilon show.
"""

import re
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from math import prod
from types import BuiltinFunctionType, FunctionType
from zlib import crc32

import torch
from jaxtyping import Float64
from torch import Tensor, nn

TOLERANCE = 1e-6
# Settings that training reads and evaluation does not, and labels.
TRAINING_ONLY = re.compile(
    r"training|.*drop.*|.*cfg.*|name|grad_checkpointing|momentum|.*init.*|num_classes|inplace|fused_attn|"
    r"fuse.*|scriptable|exportable|no_jit|distilled_training|track_running_stats"
)
INERT = re.compile(r".*Drop.*|Identity|StochasticDepth")


def structural_digest(module: nn.Module) -> str:
    """One word for the classes and settings of every layer; equal words compute equal things."""
    return sha256("\n".join(_structure(module)).encode()).hexdigest()[:16]


def _structure(module: nn.Module) -> Iterator[str]:
    for path, layer in module.named_modules():
        kind = type(layer)
        if not INERT.fullmatch(kind.__name__):
            yield f"{path} {kind.__module__}.{kind.__qualname__} {sorted(_settings(layer))}"


def _settings(layer: nn.Module) -> Iterator[tuple[str, str]]:
    for name, value in vars(layer).items():
        kept = not name.startswith("_") and not TRAINING_ONLY.fullmatch(name)
        if kept and (written := _written(value)) is not None:
            yield name, written


def _written(value: object) -> str | None:
    match value:
        case None | bool() | int() | float() | str():
            return repr(value)
        case tuple() | list():
            return repr([_written(part) for part in value])
        case FunctionType() | BuiltinFunctionType() | type():
            return value.__qualname__
        case partial():
            return f"{_written(value.func)}{sorted((key, _written(word)) for key, word in value.keywords.items())}"
    return None


def fill(module: nn.Module) -> None:
    """Weights that depend only on the name and shape of a tensor, of a size that keeps activations near 1."""
    state = module.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            tensor.copy_(_weights(name, tensor, normalised=f"{name.rpartition('.')[0]}.running_var" in state))


def _weights(name: str, tensor: Tensor, *, normalised: bool) -> Tensor:
    generator = torch.Generator().manual_seed(crc32(f"{name} {tuple(tensor.shape)}".encode()))
    last, shape = name.rpartition(".")[2], tensor.shape
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    if last == "running_var":
        # Small, so that the epsilon of a normalisation matters; its weight is small in turn.
        return 0.01 + 0.03 * uniform
    if last == "weight" and tensor.ndim == 1:
        return 0.1 + 0.1 * uniform if normalised else 0.8 + 0.4 * uniform
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    if tensor.ndim >= 2 and last.endswith("weight"):
        return 1.2 * normal / max(1, prod(shape[1:])) ** 0.5
    return 0.2 + 0.1 * normal


def probe(module: nn.Module, size: tuple[int, int, int]) -> Float64[Tensor, " N"]:
    """The output for one batch of two images, the module filled by name."""
    module.double().eval()
    fill(module)
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        output = module(torch.randn(2, *size, generator=generator, dtype=torch.float64))
    while isinstance(output, tuple | list):
        output = output[0]
    return output.double().flatten()


def agree(one: Float64[Tensor, " N"], other: Float64[Tensor, " M"]) -> bool:
    """Whether two outputs are equal to the tolerance, relative to the largest; never where not finite."""
    if one.shape != other.shape or not (one.isfinite().all() and other.isfinite().all()):
        return False
    return bool((one - other).abs().max() <= TOLERANCE * one.abs().max())
