"""Which of the tensors in a container are the weights of the classifier, and what they are called without wrappers."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from maxsup_analysis.containers import Contents, Node, Object, StoredTensor
from maxsup_analysis.containers.contents import entries_of, tensors_in
from maxsup_analysis.errors import InputError

Tensors = Mapping[str, StoredTensor]

# Preferred places of weights, the first first; "" is the top of the file.
RAW_PLACES = (
    "", "state_dict", "model", "model_state_dict", "net", "network", "params", "module", "teacher", "student",
    "state_dict_best", "trunk", "backbone",
)  # fmt: skip
EMA_PLACES = (
    "state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "params_ema", "model_ema_state_dict",
)  # fmt: skip
NOT_WEIGHTS = re.compile(
    r"optim|sched|scaler|loops|callbacks|rng|random_state|criterion|hyper_param|hparams|message_hub|meters|^amp$|^opt$"
    r"|loss|^args$|^config$|^meta$|^dls$|__metadata__|datamodule|^heads$|buffer_names|param_shapes"
)
# Parts of a name that a wrapper adds, wherever they stand.
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
PREFIXES = frozenset({
    "model", "net", "network", "backbone", "encoder", "teacher", "student", "ema_model", "online_encoder",
    "encoder_q", "base_encoder", "visual", "_feature_blocks", "classifier_model",
})  # fmt: skip
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
REFUSED = {"lora_A": "LoRA adapters", "_packed_params": "quantised weights", "qweight": "quantised weights"}
BESIDE_BACKBONE = re.compile(r"backbone|head|fc|classifier|linear|neck|cls_head|projector")


@dataclass(frozen=True)
class Candidate:
    """A state dict in the file: where it stands, and whether it is an average over training."""

    key: str
    ema: bool
    tensors: Tensors


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
    candidates = tuple(sorted(_candidates(contents.tree), key=_rank))
    if not candidates:
        raise InputError(_nothing(contents))
    chosen = _chosen(candidates, use_ema, weights_key, averaged=_timm_evaluates_average(contents.tree))
    for name in chosen.tensors:
        for part, what in REFUSED.items():
            if part in name.split("."):
                raise InputError(f"it holds {what} ({name[:60]!r}); merge them into the model and save that")
    if _is_emptied(chosen.tensors):
        raise InputError(
            "its tensors are empty, their contents in shards of DeepSpeed's ZeRO-3; join them with zero_to_fp32.py "
            "and name the file that it writes"
        )
    return _cleaned(chosen, candidates)


def _rank(candidate: Candidate) -> tuple[bool, int, int]:
    last = candidate.key.rpartition(".")[2]
    order = EMA_PLACES if candidate.ema else RAW_PLACES
    return candidate.ema, order.index(last) if last in order else len(order), candidate.key.count(".")


def _candidates(tree: Node, path: str = "") -> Iterator[Candidate]:
    """Every state dict below; mmengine, known by its `message_hub`, writes average and raw under swapped names."""
    entries = entries_of(tree)
    if is_state_dict(entries):
        ema = path.rpartition(".")[2] in EMA_PLACES
        yield Candidate(path, ema, {name: t for name, t in entries.items() if isinstance(t, StoredTensor)})
        return
    joined = _joined(entries)
    if joined:
        yield Candidate(path, path.rpartition(".")[2] in EMA_PLACES, joined)
        return
    for name, entry in entries.items():
        if isinstance(entry, Mapping | Object) and not NOT_WEIGHTS.search(name.lower()):
            for found in _candidates(entry, f"{path}.{name}" if path else name):
                yield replace(found, ema=not found.ema) if "message_hub" in entries else found


def is_state_dict(entries: Mapping[str, Node]) -> bool:
    """Whether these are weights by name: `layer.weight`, or the weight and bias of one layer."""
    names = [name for name, entry in entries.items() if isinstance(entry, StoredTensor)]
    return any("." in name.strip(".") for name in names) or {"weight"} <= set(names) <= {"weight", "bias"}


def _joined(entries: Mapping[str, Node]) -> dict[str, StoredTensor] | None:
    """A body and a head that are kept apart, as one."""
    bodies = [
        name
        for name in ("feat_model", "features", "backbone")
        if is_state_dict(entries_of(entries.get(name)))
    ]
    heads = [name for name in ("classifier", "fc", "head") if is_state_dict(entries_of(entries.get(name)))]
    if len(bodies) != 1 or len(heads) != 1:
        return None
    body, head = dict(tensors_in(entries[bodies[0]])), dict(tensors_in(entries[heads[0]]))
    return body | {f"{heads[0]}.{name.removeprefix('module.')}": tensor for name, tensor in head.items()}


def _timm_evaluates_average(tree: Node) -> bool:
    entries = entries_of(tree)
    return "state_dict_ema" in entries and "arch" in entries


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
