"""From the names in a file to those of the network: without what wrappers, losses and other towers add.

A step takes names -> names in the file, and gives them changed, with what it stripped.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from maxsup_analysis.errors import InputError
from maxsup_analysis.state_dicts import EMA_PARTS

Names = Mapping[str, str]

# Parts of a name that a wrapper adds, wherever they stand.
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
PREFIXES = frozenset({
    "model", "net", "network", "backbone", "encoder", "teacher", "student", "ema_model", "online_encoder",
    "encoder_q", "base_encoder", "visual", "_feature_blocks", "classifier_model", "online_model",
    "timm_model",
}) | EMA_PARTS  # fmt: skip
# Those that hold a whole network, whatever stands beside them.
NETWORKS = frozenset({"model", "net", "network", "classifier_model", "timm_model"})
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
BESIDE_BACKBONE = re.compile(r"backbone|head|fc|classifier|linear|neck|cls_head|projector")
# Heads that may be a sequence of which one layer alone has weights: dropout, then the linear layer.
HEADS = ("fc", "classifier", "head", "heads", "linear", "last_linear", "head.fc", "heads.head")
# torchvision's names of before 0.13, which it still loads.
OLD_NAMES = (
    (re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)


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


def _without_others(names: Names) -> tuple[Names, str]:
    """The prefix of the one group that is a network, where it has most of the tensors and no head stands beside it."""
    counts = Counter(name.partition(".")[0] for name in names)
    first, most = counts.most_common(1)[0]
    others = [other for other in counts if other != first]
    if first not in NETWORKS or not others or 2 * most <= len(names):
        return names, ""
    if any(BESIDE_BACKBONE.fullmatch(other) or other in PREFIXES for other in others):
        return names, ""
    kept = {name: written for name, written in names.items() if name.startswith(f"{first}.")}
    return _renamed(kept, lambda name: name.partition(".")[2]), f"{first}."


def _with_new_names(names: Names) -> tuple[Names, str]:
    """By the names that torchvision gives today; it loads files with the old ones too."""

    def rename(name: str) -> str:
        for old, new in OLD_NAMES:
            name = old.sub(new, name)
        return name

    if all(rename(name) == name for name in names):
        return names, ""
    return _renamed(names, rename), ""


def other_namings(names: Names) -> Iterator[Names]:
    """The same with the head by another name: that of the one layer with weights in a sequence, `fc.1` as `fc`."""
    for head in HEADS:
        parts = {name.removeprefix(f"{head}.") for name in names if name.startswith(f"{head}.")}
        layers = {part.partition(".")[0] for part in parts}
        if len(layers) == 1 and parts and all(re.fullmatch(r"\w+\.(weight|bias)", part) for part in parts):
            inner = f"{head}.{layers.pop()}."
            yield {
                f"{head}.{name.removeprefix(inner)}" if name.startswith(inner) else name: written
                for name, written in names.items()
            }


STEPS: tuple[Callable[[Names], tuple[Names, str]], ...] = (
    _without_wrappers,
    _without_extras,
    _without_siblings,
    _without_prefix,
    _without_backbone,
    _without_others,
    _with_new_names,
)
