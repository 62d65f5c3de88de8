"""Which of the tensors in a container are the weights of the classifier, and what they are called without wrappers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from maxsup_analysis.containers import Contents, StoredTensor
from maxsup_analysis.containers.contents import entries_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.state_dicts import EMA_PARTS, Candidate, Tensors, candidates_in, evaluates_average

# Parts of a name that a wrapper adds, wherever they stand.
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
PREFIXES = frozenset({
    "model", "net", "network", "backbone", "encoder", "teacher", "student", "ema_model", "online_encoder",
    "encoder_q", "base_encoder", "visual", "_feature_blocks", "classifier_model", "online_model",
}) | EMA_PARTS  # fmt: skip
# Which of several towers is the classifier's: where the first is there, the others are not.
SIBLINGS = {
    "encoder_q": ("encoder_k", "queue", "queue_ptr"),
    "base_encoder": ("momentum_encoder", "predictor"),
    "online_encoder": ("target_encoder", "predictor", "projector"),
    "visual": ("token_embedding", "transformer", "positional_embedding", "text_projection", "logit_scale", "ln_final"),
}  # fmt: skip
EXTRA = re.compile(
    r"criterion|loss|loss_fn|loss_func|n_averaged|steps|attacker|normalizer|normalize|"
    r"(\w*_)?(acc|accuracy|acc1|acc5|top1|top5|metrics?|auroc|f1|ece)(_\w*)?"
)
COUNTERS = frozenset({"total_ops", "total_params", "n_averaged"})
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
BESIDE_BACKBONE = re.compile(r"backbone|head|fc|classifier|linear|neck|cls_head|projector")


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
            f"it holds {len(tensors)} tensors but no weights of a model (at the top: {names}); name the checkpoint, "
            "or its place in the file with --weights-key"
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


Names = Mapping[str, str]


def _renamed(names: Names, rename: Callable[[str], str]) -> dict[str, str]:
    renamed: dict[str, str] = {}
    for name, written in names.items():
        new = rename(name)
        if new in renamed:
            raise InputError(
                f"two of its tensors are called {new[:60]!r} without their prefixes ({renamed[new][:60]!r} and "
                f"{written[:60]!r}); name the right part with --weights-key"
            )
        renamed[new] = written
    return renamed


def _without_extras(names: Names) -> tuple[Names, str]:
    """Losses, accuracies, counters and attackers that were saved along."""
    kept = {
        name: written
        for name, written in names.items()
        if name.rpartition(".")[2] not in COUNTERS and not _is_extra(name)
    }
    return (kept, "") if kept else (names, "")


def _is_extra(name: str) -> bool:
    first, _, rest = name.partition(".")
    return bool(EXTRA.fullmatch(first)) and (bool(rest) or first in ("n_averaged", "steps"))


def _without_wrappers(names: Names) -> tuple[Names, str]:
    """`module.`, `_orig_mod.` and their kin, wherever they stand."""
    stripped = {part for name in names for part in name.split(".")[:-1] if part in WRAPPERS}
    if not stripped:
        return names, ""
    renamed = _renamed(names, lambda name: ".".join(p for p in name.split(".") if p not in WRAPPERS))
    return renamed, ".".join(sorted(stripped)) + "."


def _without_siblings(names: Names) -> tuple[Names, str]:
    """One tower of several."""
    firsts = {name.partition(".")[0] for name in names}
    for tower, others in SIBLINGS.items():
        if tower in firsts and firsts <= {tower, *others} and len(firsts) > 1:
            return {name: written for name, written in names.items() if name.startswith(f"{tower}.")}, ""
    return names, ""


def _without_prefix(names: Names) -> tuple[Names, str]:
    """A prefix that every name carries."""
    firsts = {name.partition(".")[0] for name in names}
    (first, *others) = firsts
    if others or first not in PREFIXES or not all("." in name for name in names):
        return names, ""
    return _renamed(names, lambda name: name.partition(".")[2]), f"{first}."


def _without_backbone(names: Names) -> tuple[Names, str]:
    """`backbone.` beside a head of its own: mmpretrain's `head.fc.` is the classifier, DINO's `head.` is not."""
    firsts = {name.partition(".")[0] for name in names}
    if "backbone" not in firsts or not all(BESIDE_BACKBONE.fullmatch(first) for first in firsts):
        return names, ""
    projection = ("head.mlp.", "head.last_layer.", "neck.", "projector.")
    kept = {name: written for name, written in names.items() if not name.startswith(projection)}
    ours = {"head.fc.": "fc.", "backbone.": ""}

    def rename(name: str) -> str:
        old = next((prefix for prefix in ours if name.startswith(prefix)), "")
        return ours.get(old, "") + name.removeprefix(old)

    return _renamed(kept, rename), "backbone."


STEPS: tuple[Callable[[Names], tuple[Names, str]], ...] = (
    _without_wrappers,
    _without_extras,
    _without_siblings,
    _without_prefix,
    _without_backbone,
)
