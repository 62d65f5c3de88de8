"""Where the logits of any classifier come from: its last linear map, found by running it once.

Nothing here knows an architecture. A layer is the head when what entered it and its weight reproduce the model's
output; run models in true float32 (no TF32, no half precision), or rounding hides the identity.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from maxsup_analysis.errors import InputError
from maxsup_analysis.hooks import Forward, evaluated, heard, logits_of, pooled
from maxsup_analysis.representation import Head

# Largest relative distance between the head's own arithmetic and the model's output, in float32.
IDENTITY_TOLERANCE = 1e-4
# Logits may be fitted with a free constant only where there are enough of them to refute it.
FEWEST_LOGITS = 4
# Probabilities below this are taken as this; float32 has none far below.
SMALLEST_PROBABILITY = 1e-37
# Float32 probabilities say nothing finer about log-probabilities that vary by less than this.
SMALLEST_VARIATION = 0.01

Form = Literal["linear", "cosine", "mean of heads"]
Ending = Literal["logits", "log-softmax", "softmax"]


class NoLinearHead(InputError):
    """No layer of the model is a linear map onto its logits, so it has no penultimate features."""


@dataclass(frozen=True)
class FoundHead:
    """The map from penultimate features to logits: weights.logits(features) are the logits.

    layers: names of the linear maps, in the order they run.
    form: with 'cosine' the features are unit vectors, h / |h|, and the rows of the weight are s w / |w|;
        with 'mean of heads' the features of H heads stand side by side, the weight is [W1/H ... WH/H] and the
        bias the mean of theirs (heads of unequal shares count by their share instead of 1/H);
        with 'linear' the features are what enters the layer (of a map of positions, before or after average
        pooling: their mean).
    weights: in float64 on the CPU, temperature and scale folded in.
    residual: largest |weights.logits(features) - logits| on the probe, relative to the largest |logit|.
    temperature: logits are the layer's own linear map (or mean, or cosines) divided by it.
    ending: what the model applies to the logits before it returns them; log-softmax and softmax are undone.
    """

    layers: tuple[str, ...]
    form: Form
    weights: Head
    residual: float
    temperature: float = 1.0
    ending: Ending = "logits"

    @property
    def description(self) -> str:
        """The head in words, for a report."""
        K, D = self.weights.weight.shape
        bias = "no bias" if self.weights.bias is None else "bias"
        form = f"mean of {len(self.layers)} heads" if self.form == "mean of heads" else f"{self.form} head"
        scaled = "" if self.temperature == 1 else f", temperature {self.temperature:.4g}"
        ending = (
            ""
            if self.ending == "logits"
            else f"; the model ends in {self.ending}, its logits stand before it"
        )
        return f"{form} {', '.join(self.layers)}: {D} features to {K} classes, {bias}{scaled}{ending}"


@dataclass(frozen=True)
class _Map:
    """Linear maps that might be the head: their names, the features on the probe, the weights."""

    layers: tuple[str, ...]
    form: Form
    features: Float64[Tensor, "B D"]
    head: Head

    @property
    def logits(self) -> Float64[Tensor, "B K"]:
        return self.head.logits(self.features)


@dataclass(frozen=True)
class _Target:
    """The logits to reproduce; behind a softmax they are known up to one constant a sample."""

    logits: Float64[Tensor, "B K"]
    ending: Ending

    def comparable(self, logits: Float64[Tensor, "B K"]) -> Float64[Tensor, "B K"]:
        if self.ending == "logits":
            return logits
        log_probabilities = logits.log_softmax(1).clamp(min=torch.tensor(SMALLEST_PROBABILITY).log().item())
        return log_probabilities - log_probabilities.mean(1, keepdim=True)

    def residual(self, logits: Float64[Tensor, "B K"]) -> float:
        aim = self.comparable(self.logits)
        size = aim.abs().max().clamp(min=0 if self.ending == "logits" else SMALLEST_VARIATION)
        return float((self.comparable(logits) - aim).abs().max() / size)

    def scale(self, logits: Float64[Tensor, "B K"]) -> float:
        """The constant that brings these logits closest to the target, by least squares."""
        given, aim = self.comparable(logits), self.comparable(self.logits)
        return float((given * aim).sum() / given.square().sum())


def find_head(module: nn.Module, probe: Tensor, *, forward: Forward | None = None) -> FoundHead:
    """The linear map that makes the model's logits, found by running it once, in evaluation mode, on a few inputs.

    Tried in this order, and of several layers that fit the last one run: a linear layer, a constant multiple of
    one, the mean of several, scaled cosines; then the same before a final log-softmax or softmax. Nothing fits:
    NoLinearHead. forward: how to run the model on a batch, where calling it is not enough.
    """
    calls: dict[str, tuple[Tensor, Tensor, Tensor | None]] = {}

    def keep(name: str, layer: nn.Module, entered: Tensor | None, given: Tensor | None) -> None:
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        if entered is not None and isinstance(weight, Tensor) and _is_linear(weight) and entered.ndim > 1:
            calls.pop(name, None)
            features = pooled(entered, channels_first=weight.ndim > 2)
            calls[name] = features, weight, bias if isinstance(bias, Tensor) else None

    with evaluated(module), heard(dict(module.named_modules()), keep), torch.inference_mode():
        output = logits_of((forward or module)(probe))
    with torch.no_grad():
        logits = _float64(output)
        _require_something(logits)
        maps = [linear for name, call in calls.items() for linear in _linear_maps(name, *call, logits)]
        return _head_among(maps, logits)


def _require_something(logits: Tensor) -> None:
    if not logits.isfinite().all() or not logits.any():
        came = "nothing but zeros" if logits.isfinite().all() else "NaN or infinity"
        raise InputError(
            f"expected finite logits that tell layers apart, got {came} on the probe; load trained weights, or "
            "bring other images"
        )


def _is_linear(weight: Tensor) -> bool:
    return weight.ndim >= 2 and weight.shape[2:].numel() == 1 and weight.is_floating_point()


def _float64(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().to(torch.float64, copy=True)


def _linear_maps(
    name: str, features: Tensor, weight: Tensor, bias: Tensor | None, logits: Tensor
) -> Iterator[_Map]:
    """The maps onto K classes that a layer may be: by rows, and by columns where the weight is D x K."""
    (B, K), matrix = logits.shape, weight.flatten(1)
    if features.shape[0] != B:
        return
    if K == 2 and matrix.shape == (1, features.shape[1]):
        # One logit against none: that of the first class is 0.
        matrix = torch.cat([torch.zeros_like(matrix), matrix])
        bias = None if bias is None else torch.cat([torch.zeros_like(bias), bias])
    shift = _float64(bias) if bias is not None and bias.shape == (K,) else None
    for turned in (matrix, matrix.T):
        if turned.shape == (K, features.shape[1]):
            found = _Map((name,), "linear", _float64(features), Head(_float64(turned), shift))
            if found.logits.isfinite().all():
                yield found


def _head_among(maps: list[_Map], logits: Tensor) -> FoundHead:
    targets = [_Target(values, ending) for ending, values in _endings(logits)]
    for target in targets:
        found = next(_fits(maps, target), None)
        if found is not None:
            return found
    residuals = sorted((targets[0].residual(linear.logits), linear.layers[0]) for linear in maps)[:5]
    tried = (
        ", ".join(f"{name} {residual:.2g}" for residual, name in residuals) or "none has that many outputs"
    )
    raise NoLinearHead(
        f"expected a linear layer that makes the model's {logits.shape[1]} outputs, got none (relative residuals: "
        f"{tried}); choose a layer with --layer NAME (--list-layers shows them)"
    )


def _endings(output: Tensor) -> Iterator[tuple[Ending, Tensor]]:
    """What the logits are if the output is them, their log-softmax, or their softmax."""
    yield "logits", output
    if ((output.exp().sum(1) - 1).abs() < IDENTITY_TOLERANCE).all():
        yield "log-softmax", output
    if (output >= 0).all() and ((output.sum(1) - 1).abs() < IDENTITY_TOLERANCE).all():
        yield "softmax", output.clamp(min=SMALLEST_PROBABILITY).log()


def _fits(maps: list[_Map], target: _Target) -> Iterator[FoundHead]:
    """Heads that reproduce the target, the plainest first."""
    latest = maps[::-1]
    yield from (found for linear in latest if (found := _found(linear, target)))
    if target.logits.numel() < FEWEST_LOGITS:
        return
    yield from (found for linear in latest if (found := _found(linear, target, scaled=True)))
    for mean in _means_of_heads(maps, target):
        yield from (found for scaled in (False, True) if (found := _found(mean, target, scaled=scaled)))
    yield from (found for linear in latest if (found := _found(_cosines(linear), target, scaled=True)))


def _found(linear: _Map, target: _Target, *, scaled: bool = False) -> FoundHead | None:
    scale = target.scale(linear.logits) if scaled else 1.0
    if not scale > 0:
        return None
    bias = None if linear.head.bias is None else linear.head.bias * scale
    head = Head(linear.head.weight * scale, bias)
    residual = target.residual(head.logits(linear.features))
    if not residual <= IDENTITY_TOLERANCE:
        return None
    return FoundHead(linear.layers, linear.form, head, residual, 1 / scale, target.ending)


def _cosines(linear: _Map) -> _Map:
    weight = nn.functional.normalize(linear.head.weight)
    return _Map(linear.layers, "cosine", nn.functional.normalize(linear.features), Head(weight))


def _means_of_heads(maps: list[_Map], target: _Target) -> Iterator[_Map]:
    """Means of the maps that have a share in the logits, equal or as fitted; the caller checks that it is them."""
    # At least two equations for each share, or any logits could be mixed from unrelated layers.
    recent = maps[-(target.logits.numel() // 2) :]
    if len(recent) < 2:
        return
    mixed = torch.stack([target.comparable(linear.logits).flatten() for linear in recent], 1)
    shares = torch.linalg.lstsq(mixed, target.comparable(target.logits).flatten()[:, None]).solution[:, 0]
    for least, equal in ((0.5, True), (IDENTITY_TOLERANCE, False)):
        chosen = (shares > least * shares.max()).nonzero()[:, 0]
        if len(chosen) > 1:
            fitted = torch.ones(len(chosen)).double() if equal else shares[chosen]
            yield _weighted_mean([recent[number] for number in chosen], fitted / fitted.sum())


def _weighted_mean(heads: list[_Map], shares: Float64[Tensor, " H"]) -> _Map:
    weights = [share * linear.head.weight for share, linear in zip(shares, heads, strict=True)]
    biases = [
        share * one.head.bias for share, one in zip(shares, heads, strict=True) if one.head.bias is not None
    ]
    return _Map(
        tuple(linear.layers[0] for linear in heads),
        "mean of heads",
        torch.cat([linear.features for linear in heads], 1),
        Head(torch.cat(weights, 1), torch.stack(biases).sum(0) if biases else None),
    )
