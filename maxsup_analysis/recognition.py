"""Which architecture a checkpoint holds, with which arguments, by its own word and by its names and shapes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from maxsup_analysis.architectures.accepted import accepted
from maxsup_analysis.architectures.guess import Fit, guess
from maxsup_analysis.architectures.known import KnownArchitecture, index
from maxsup_analysis.claims import Claims
from maxsup_analysis.containers import Contents, StoredTensor
from maxsup_analysis.hugging_face import TransformersFolder
from maxsup_analysis.labels import clean_label
from maxsup_analysis.naming import other_namings
from maxsup_analysis.own_format import own_architecture, refused_architecture
from maxsup_analysis.weights import Weights

# Poolings of tokens that look like their average in the tensors.
OTHER_POOLINGS = ("max", "avgmax")
HEAD_NAMES = ("fc", "head", "classifier", "linear", "heads", "output", "logits", "last_linear")


def recognised(weights: Weights) -> tuple[Weights, tuple[str, ...]]:
    """The weights by the names of a known architecture: their own, else with the head by another name; and that one."""
    if guess(weights.shapes):
        return weights, ()
    for names in other_namings(weights.stages[0]):
        other = weights.named(names)
        if fits := guess(other.shapes):
            was = next(name for name in weights.stages[0] if name not in names)
            head = fits[0].architecture.head[0]
            return other, (f"{was.rpartition('.')[0]} stands for {head}: nothing else in it has weights",)
    return weights, ()


@dataclass(frozen=True)
class Model:
    """An architecture with arguments of its constructor, and what a file may not state and this one does."""

    name: str | None
    arguments: dict[str, object] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def own_model(claims: Claims) -> Model | None:
    """That of a checkpoint of this package; None of any other."""
    if claims.own is None or claims.own.item("architecture", "name") is None:
        return None
    if refusal := refused_architecture(claims.own):
        return Model(None, {}, {"architecture": refusal})
    name = own_architecture(claims.own)
    assert name is not None
    found = accepted(name, claims.own.item("architecture", "arguments"))
    return Model(name, found.arguments, found.refused)


def model_of(
    path: Path,
    contents: Contents,
    claims: Claims,
    chosen: Fit | None,
    weights: Weights,
    folder: TransformersFolder | None,
) -> Model:
    """What names, shapes and settings tell."""
    if chosen is None:
        return Model(_of_transformers(path, contents), {}, dict(folder.refused) if folder else {})
    name = chosen.architecture.name
    stated = accepted(name, claims.arguments_of(name))
    rows, _ = head_shape(weights, chosen.architecture.head)
    counted = {"num_classes": rows} if rows is not None else {}
    refused = {**stated.refused, **(folder.refused if folder else {})}
    return Model(name, {**counted, **together(stated.arguments, chosen.arguments)}, refused)


def together(stated: Mapping[str, object], shown: Mapping[str, object]) -> dict[str, object]:
    """Arguments that a file states and those that its tensors show, which go first.

    That tokens are pooled shows; how, by their average or another way, is the file's word.
    """
    pooled = shown.get("global_pool") == "avg" and stated.get("global_pool") in OTHER_POOLINGS
    return {**stated, **shown, **({"global_pool": stated["global_pool"]} if pooled else {})}


def decided(claims: Claims, fits: tuple[Fit, ...]) -> tuple[Fit | None, tuple[str, ...], tuple[str, ...]]:
    """The fit that the file's own word and its shapes agree on, the evidence, and what disagrees."""
    for claim in claims.architectures:
        for name in claim.names:
            agreed = agreeing(name, fits)
            if agreed:
                return agreed, (f"{claim.source} names {clean_label(claim.said)}", *agreed.evidence), ()
    doubts = tuple(
        f"{claim.source} names {clean_label(claim.said)}, whose tensors have other names or shapes"
        for claim in claims.architectures
        if claim.names
    )
    if len(fits) == 1:
        return fits[0], fits[0].evidence, doubts
    named = next((claim for claim in claims.architectures if claim.names), None)
    if named and not fits:
        known = index().architectures[named.names[0]]
        said = f"{named.source} names {clean_label(named.said)}, and no known architecture has these names and shapes"
        return Fit(known, {}, 0, (said,)), (said,), doubts
    return None, tuple(line for fit in fits for line in fit.evidence), doubts


def agreeing(name: str, fits: tuple[Fit, ...]) -> Fit | None:
    """The fit of the architecture of this name: itself, or one with the same names and shapes."""
    known = index().architectures.get(name)
    for fit in fits if known else ():
        peers = next(group for group in index().by_signature.values() if fit.architecture in group)
        same_library = fit.architecture.library == known.library  # type: ignore[union-attr]
        if known in peers and (same_library or set(fit.arguments) <= {"num_classes"}):
            return replace(fit, architecture=known, evidence=tuple(map(_said_of_fit, fit.evidence)))
    return None


def _said_of_fit(line: str) -> str:
    return "names and shapes fit it" if line.startswith("names and shapes are those of") else line


def head_of(
    weights: Weights, known: KnownArchitecture | None, folder: TransformersFolder | None
) -> tuple[str, ...]:
    """The layers of the head: the architecture's, else the last that is called like one, else the last matrix."""
    if known:
        return known.head
    if folder and folder.head and all(f"{layer}.weight" in weights.tensors for layer in folder.head):
        return folder.head
    matrices = [
        name.removesuffix(".weight")
        for name, tensor in weights.tensors.items()
        if name.endswith(".weight") and len([n for n in tensor.shape if n > 1]) <= 2 and len(tensor.shape) > 1
    ]
    called = [name for name in matrices if any(part in HEAD_NAMES for part in name.split("."))]
    return tuple((called or matrices)[-1:])


def head_shape(weights: Weights, head: tuple[str, ...]) -> tuple[int | None, int | None]:
    """K and D from the head's weight; of several heads, D is the sum."""
    found = [weights.tensors.get(f"{layer}.weight") for layer in head]
    tensors = [tensor for tensor in found if isinstance(tensor, StoredTensor) and len(tensor.shape) > 1]
    if not tensors:
        return None, None
    return tensors[0].shape[0], sum(tensor.shape[1] for tensor in tensors)


def _of_transformers(path: Path, contents: Contents) -> str | None:
    config = contents.sidecars.get("config.json")
    if isinstance(config, Mapping) and isinstance(config.get("model_type"), str):
        return f"hf:{path if path.is_dir() else path.parent}"
    return None
