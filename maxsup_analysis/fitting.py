"""Weights into a module: under the names that fit, and where none do, what differs and which flag mends it."""

import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from maxsup_analysis.architectures.guess import Fit, guess, nearest
from maxsup_analysis.architectures.known import REGENERABLE, index
from maxsup_analysis.architectures.transformers_config import Configuration
from maxsup_analysis.checkpoints import Checkpoint
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.recognition import agreeing

Weights = Mapping[str, Tensor]


def fit_weights(
    module: nn.Module, checkpoint: Checkpoint, name: str, arguments: Mapping[str, object]
) -> nn.Module:
    """The module with the weights, every one of them in its place.

    Names are tried without wrappers, as they are in the file, and as timm's own filters translate those of original
    releases; factored weights (weight norm, spectral norm, pruning) are multiplied out. Raises InputError where
    something is missing, left over or of another shape.
    """
    wanted = module.state_dict()
    known = index().architectures.get(name)
    for weights in _namings(module, checkpoint):
        weights = _without_auxiliary(weights, wanted, known.auxiliary if known else ())
        folded = complete(folded_into(weights, wanted), wanted)
        if _fits(folded, wanted):
            module.load_state_dict(dict(folded), strict=True)
            return module
    folded = complete(folded_into(checkpoint.state_dict, wanted), wanted)
    raise InputError(mismatch(checkpoint, name, arguments, folded, wanted))


def fit_transformers(checkpoint: Checkpoint, name: str, found: Configuration | None) -> nn.Module:
    """The network of a configuration with the weights; transformers renames what older versions of it wrote."""
    if found is None:
        raise InputError(f"{name} is no network of transformers; name the right one with --model")
    from maxsup_analysis.architectures.transformers_models import trained

    return trained(found, name, checkpoint.written)


def _namings(module: nn.Module, checkpoint: Checkpoint) -> Iterator[Weights]:
    written = checkpoint.written
    for stage in checkpoint.inspection.weights.stages:
        yield {key: written[place] for key, place in stage.items()}
    translate = getattr(sys.modules.get(type(module).__module__), "checkpoint_filter_fn", None)
    if type(module).__module__.startswith("timm.models.") and callable(translate):
        try:
            translated: dict[str, Tensor] = translate(dict(checkpoint.state_dict), module)  # type: ignore[assignment]
            if _is_renaming(translated, checkpoint.state_dict):
                yield translated
        except Exception:  # timm's filters may raise anything where weights are not theirs.
            return


def _is_renaming(translated: Weights, weights: Weights) -> bool:
    """Whether the tensors are the file's own: timm also resamples patches and positions, which changes the model."""
    own = {(tensor.data_ptr(), tensor.numel()) for tensor in weights.values()}
    return all((tensor.data_ptr(), tensor.numel()) in own for tensor in translated.values())


def _without_auxiliary(weights: Weights, wanted: Weights, layers: tuple[str, ...]) -> Weights:
    """Heads that make no output in evaluation are the module's own where they are for another number of classes."""
    other = {
        key: wanted[key]
        for layer in layers
        for key in (f"{layer}.weight", f"{layer}.bias")
        if key in weights and key in wanted and weights[key].shape != wanted[key].shape
    }
    return {**weights, **other}


def _fits(weights: Weights, wanted: Weights) -> bool:
    return set(weights) == set(wanted) and all(weights[key].shape == wanted[key].shape for key in wanted)


def complete(weights: Weights, wanted: Weights) -> Weights:
    """Without tables that the module computes itself, with the counters that old files lack."""
    surplus = {key for key in weights if key not in wanted and key.rpartition(".")[2] in REGENERABLE}
    lacking = {
        key: tensor
        for key, tensor in wanted.items()
        if key not in weights and key.rpartition(".")[2] in REGENERABLE
    }
    return {key: tensor for key, tensor in weights.items() if key not in surplus} | lacking


def folded_into(weights: Weights, wanted: Weights) -> Weights:
    """The same weights with factored ones multiplied out, where the module wants the product."""
    folded = dict(weights)
    for key in wanted:
        if key not in folded:
            for factors, product in FACTORED:
                names = [
                    key + suffix if suffix.startswith("_") else _parametrised(key, suffix)
                    for suffix in factors
                ]
                if all(name in folded for name in names) and _makes(folded, names, wanted[key]):
                    folded[key] = product(*(folded.pop(name).float() for name in names))
                    break
    for key in [key for key in folded if key.endswith(("weight_u", "weight_v")) and key not in wanted]:
        if key.removesuffix("_u").removesuffix("_v") in wanted:
            del folded[key]
    return folded


def _makes(weights: Weights, names: list[str], wanted: Tensor) -> bool:
    """Whether the largest of the factors has the shape of the product: else it would be made in vain."""
    return max((weights[name] for name in names), key=Tensor.numel).shape == wanted.shape


def _parametrised(key: str, suffix: str) -> str:
    layer, _, name = key.rpartition(".")
    return f"{layer}.parametrizations.{name}.{suffix}" if layer else f"parametrizations.{name}.{suffix}"


def _weight_norm(length: Tensor, direction: Tensor) -> Tensor:
    """G v / |v|, by rows (torch's dim=0)."""
    norm = direction.flatten(1).norm(dim=1).view(-1, *[1] * (direction.ndim - 1))
    return length.view(-1, *[1] * (direction.ndim - 1)) * direction / norm


def _spectral_norm(weight: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """W / (u' W v)."""
    return weight / torch.dot(left, weight.flatten(1) @ right)


FACTORED = (
    (("_g", "_v"), _weight_norm),
    (("original0", "original1"), _weight_norm),
    (("_orig", "_mask"), lambda weight, mask: weight * mask),
    (("_orig", "_u", "_v"), _spectral_norm),
)


def mismatch(
    checkpoint: Checkpoint, name: str, arguments: Mapping[str, object], weights: Weights, wanted: Weights
) -> str:
    """One line: what differs between file and model, and the flag that would fix it."""
    file = checkpoint.inspection.path
    lacking = [key for key in wanted if key not in weights]
    surplus = [key for key in weights if key not in wanted]
    reshaped = [key for key in wanted if key in weights and weights[key].shape != wanted[key].shape]
    parts = [f"{file}: its weights are not those of {name}"]
    if lacking:
        parts.append(f"{len(lacking)} are missing ({_pairs(lacking, surplus)})")
    if surplus:
        parts.append(f"{len(surplus)} are left over ({_pairs(surplus, lacking)})")
    if reshaped:
        parts.append(f"{len(reshaped)} have another shape ({_shapes(reshaped, weights, wanted)})")
    return "; ".join([*parts, _advice(checkpoint, name, arguments, lacking, surplus, reshaped, wanted)])


def _pairs(keys: list[str], others: list[str]) -> str:
    """Up to three names, each with the nearest of the other side."""
    shown = []
    for key in keys[:3]:
        near = get_close_matches(key, others, n=1, cutoff=0.5)
        shown.append(clean_label(key) + (f", nearest {clean_label(near[0])}" if near else ""))
    return "; ".join(shown)


def _shapes(keys: list[str], weights: Weights, wanted: Weights) -> str:
    return "; ".join(
        f"{clean_label(key)}: file {tuple(weights[key].shape)}, model {tuple(wanted[key].shape)}"
        for key in keys[:3]
    )


def _advice(
    checkpoint: Checkpoint,
    name: str,
    arguments: Mapping[str, object],
    lacking: list[str],
    surplus: list[str],
    reshaped: list[str],
    wanted: Weights,
) -> str:
    found = checkpoint.inspection
    fits = guess(found.weights.shapes)
    same = agreeing(name, fits)
    chosen = (same,) if same else fits
    if chosen:
        flags = " or ".join(_flags(fit, arguments) for fit in chosen[:3])
        return f"they fit {flags}"
    heads = [key for key in lacking if key.rpartition(".")[0] in found.head or _is_last(key, wanted)]
    if lacking and len(heads) == len(lacking) and not surplus and not reshaped:
        return "the file is a backbone without its head; name a checkpoint of the whole classifier"
    if len(found.weights.tensors) <= 4 and len(lacking) > 10:
        return "the file holds a head alone; name the checkpoint of the whole model"
    rows = {len(checkpoint.state_dict[key]) for key in reshaped if checkpoint.state_dict[key].ndim}
    if reshaped and len(rows) == 1 and not lacking and not surplus and len(reshaped) <= 2:
        return f"the head has {rows.pop()} classes in the file: give --model-args num_classes={found.num_classes}"
    near = nearest(found.weights.shapes, count=1)
    hint = f"the nearest known architecture is {near[0].architecture.name}; " if near else ""
    others = [one.key for one in found.weights.candidates if one.key != found.weights.key]
    other = f"; other weights in the file: --weights-key {' or '.join(others[:3])}" if others else ""
    return f"{hint}name the right one with --model, or your own code with --model file.py:factory{other}"


def _is_last(key: str, wanted: Weights) -> bool:
    return key in list(wanted)[-2:]


def _flags(fit: Fit, given: Mapping[str, object]) -> str:
    """The flags of a fit; arguments that are its defaults need no word."""
    needed = {
        key: value
        for key, value in fit.arguments.items()
        if key in given or not (key == "num_classes" and value == fit.num_classes)
    }
    words = ",".join(f"{key}={value}" for key, value in needed.items())
    return f"--model {fit.architecture.name}" + (f" --model-args {words}" if words else "")
