"""Which of the tensors in a container are the weights of the classifier, and what they are called without wrappers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from maxsup_analysis.containers import Contents, StoredTensor
from maxsup_analysis.containers.contents import entries_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.naming import STEPS, Names
from maxsup_analysis.state_dicts import Candidate, Tensors, candidates_in, evaluates_average

QUANTISED = "quantised weights"
# Parts of names that tell weights of another kind -> what they are, and what to do.
REFUSED = {
    "lora_A": ("LoRA adapters", "merge them into the model and save that"),
    "_flat_param": ("flattened weights of FSDP", "save the model with StateDictType.FULL_STATE_DICT"),
    "flat_param": ("flattened weights of FSDP", "save the model with StateDictType.FULL_STATE_DICT"),
} | dict.fromkeys(
    ("_packed_params", "qweight", "qzeros", "SCB", "quant_map", "absmax", "weight_scale", "weight_scale_inv", "_scale",
     "weight_zero_point", "weight:_data", "weight:_scale", "weight:_qdata"),
    (QUANTISED, "save the model before quantising it"),
)  # fmt: skip
# Types that hold codes of weights, not weights.
CODES = ("int8", "uint8", "int32")
MATRICES = ("weight", "_data", "in_proj_weight")


@dataclass(frozen=True)
class Weights:
    """The weights that were chosen.

    tensors: by the names without wrappers; written: by the names in the file.
    stages: name without wrappers -> name in the file, after each step of stripping, the last one first.
    prefixes: what was stripped; dropped: names that belong to no classifier.
    candidates: every state dict in the file.
    normalizer: mean and deviation of pixels, where the model carries them along.
    """

    key: str
    ema: bool
    written: Tensors
    stages: tuple[Mapping[str, str], ...]
    prefixes: tuple[str, ...]
    dropped: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    normalizer: Tensors

    @property
    def tensors(self) -> dict[str, StoredTensor]:
        """By the shortest names."""
        return {name: self.written[written] for name, written in self.stages[0].items()}

    def named(self, names: Names) -> "Weights":
        """The same by other names, name -> name in the file."""
        return replace(self, stages=(names, *self.stages))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """By the shortest names."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}


def choose_weights(
    contents: Contents, *, use_ema: bool | None = None, weights_key: str | None = None
) -> Weights:
    """The weights of the classifier in a container.

    use_ema: the average over training, or not; by default what the program that wrote the file evaluates: timm's
    train.py the average, all others the plain weights. weights_key: the place in the file, such as `model_ema`.

    Raises InputError where there are none, none of that kind, or names collide without their wrappers.
    """
    candidates = candidates_in(contents.tree)
    if not candidates:
        raise InputError(_nothing(contents))
    chosen = _chosen(candidates, use_ema, weights_key, averaged=evaluates_average(contents.tree))
    chosen.require_read()
    _require_plain(chosen.tensors)
    if _is_emptied(chosen.tensors):
        raise InputError(
            "its tensors are empty, their contents in shards of DeepSpeed's ZeRO-3; join them with zero_to_fp32.py "
            "and name the file that it writes"
        )
    return _cleaned(chosen, candidates)


def _chosen(
    candidates: tuple[Candidate, ...], use_ema: bool | None, key: str | None, *, averaged: bool
) -> Candidate:
    places = ", ".join(candidate.key or "the top" for candidate in candidates)[:200]
    if key is not None:
        exact = [one for one in candidates if key in (one.key, one.key.rpartition(".")[2])]
        if not exact:
            raise InputError(f"it has no weights at {key!r}; --weights-key takes one of: {places}")
        return exact[0]
    wanted = averaged if use_ema is None else use_ema
    fitting = [candidate for candidate in candidates if candidate.ema == wanted]
    if not fitting and use_ema:
        raise InputError(f"it has no averaged (EMA) weights, only: {places}; leave out --use-ema")
    if not fitting and use_ema is False:
        raise InputError(f"it has averaged (EMA) weights only: {places}; leave out --no-use-ema")
    return (fitting or list(candidates))[0]


def _nothing(contents: Contents) -> str:
    tensors = contents.tensors
    names = ", ".join(list(entries_of(contents.tree))[:6])[:200] or "nothing"
    if tensors:
        return (
            f"it holds {len(tensors)} tensors but no weights of a model, which have names such as layer.weight (at the "
            f"top: {names}); name the checkpoint"
        )
    return f"it holds no weights (at the top: {names}); name a checkpoint"


def _require_plain(tensors: Tensors) -> None:
    """Raise InputError for adapters, flattened shards, and codes of quantised weights, which are no weights."""
    for name, tensor in tensors.items():
        last = name.rpartition(".")[2]
        what, advice = next((said for part, said in REFUSED.items() if part in name.split(".")), ("", ""))
        if tensor.dtype in CODES and sum(length > 1 for length in tensor.shape) > 1 and last in MATRICES:
            what, advice = f"{QUANTISED} ({tensor.dtype})", "save the model before quantising it"
        if what:
            raise InputError(f"it holds {what}, such as {name[:60]!r}; {advice}")


def _is_emptied(tensors: Tensors) -> bool:
    weights = [tensor for name, tensor in tensors.items() if name.endswith("weight")]
    return bool(weights) and all(tensor.size == 0 for tensor in weights)


def _cleaned(chosen: Candidate, candidates: tuple[Candidate, ...]) -> Weights:
    names = {name: name for name in chosen.tensors}
    stages: list[Names] = [names]
    prefixes: list[str] = []
    dropped: list[str] = []
    for _ in range(20):
        for step in STEPS:
            after, said = step(stages[-1])
            if after != stages[-1]:
                dropped += sorted(set(stages[-1].values()) - set(after.values()))
                stages.append(after)
                prefixes += [said] if said else []
                break
        else:
            break
    normalizer = {
        name: chosen.tensors[name] for name in dropped if "normalize" in name and "attacker" not in name
    }
    return Weights(
        chosen.key,
        chosen.ema,
        chosen.tensors,
        tuple(reversed(stages)),
        tuple(prefixes),
        tuple(dropped),
        candidates,
        normalizer,
    )
