"""Which architecture do the names and shapes of a state dict belong to, and built with which arguments?"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from maxsup_analysis.architectures.families import describe
from maxsup_analysis.architectures.known import KnownArchitecture, index, signature
from maxsup_analysis.architectures.nearest import Near, nearest
from maxsup_analysis.architectures.trees import Shape
from maxsup_analysis.architectures.variants import Rewrite, rewritten

__all__ = ["Fit", "Near", "describe", "guess", "nearest"]

ANTI_ALIASED = re.compile(r"timm/\w*(?:aa|blur)")


@dataclass(frozen=True)
class Fit:
    """An architecture that has exactly these names and shapes.

    arguments: what its constructor needs.
    num_classes: rows of the head; 0 where the weights have none.
    evidence: how it was found, a sentence each.
    blurpool: whether strided convolutions are wrapped as in ffcv-imagenet.
    """

    architecture: KnownArchitecture
    arguments: dict[str, object]
    num_classes: int
    evidence: tuple[str, ...]
    blurpool: bool = False


def guess(shapes: Mapping[str, Shape]) -> tuple[Fit, ...]:
    """Every architecture that fits and differs from the others in what it computes or in preprocessing.

    Several of them cannot be told apart by their weights: ask whoever trained them. None: see `nearest`.
    """
    plain = without_blurpool(shapes)
    fits = exact_fits(Rewrite(plain)) or next(
        (fits for library, rewrite in rewritten(plain) if (fits := exact_fits(rewrite, library))), ()
    )
    fits = fits or headless_fits(plain)
    if plain is shapes:
        return fits
    evidence = "strided convolutions hold a blur_filter, as in ffcv-imagenet"
    return tuple(replace(fit, blurpool=True, evidence=(*fit.evidence, evidence)) for fit in fits)


def blurred_layers(shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    """The convolutions that are wrapped as in ffcv-imagenet: those with a filter beside them.

    Example:
        >>> blurred_layers({"a.conv.weight": (32, 16, 3, 3), "a.blur_filter": (16, 1, 3, 3), "b.weight": (4,)})
        ('a',)
    """
    split = (name.rpartition(".") for name in shapes)
    return tuple(
        layer for layer, _, last in split if last == "blur_filter" and f"{layer}.conv.weight" in shapes
    )


def without_blurpool(shapes: Mapping[str, Shape]) -> Mapping[str, Shape]:
    """The shapes of the model without BlurPool; the very same mapping where there is none.

    Example:
        >>> without_blurpool({"a.conv.weight": (32, 16, 3, 3), "a.blur_filter": (16, 1, 3, 3)})
        {'a.weight': (32, 16, 3, 3)}
    """
    blurred = blurred_layers(shapes)
    if not blurred:
        return shapes
    wrapped = {f"{layer}.conv.": f"{layer}." for layer in blurred}
    filters = {f"{layer}.blur_filter" for layer in blurred}
    renamed = {}
    for name, shape in shapes.items():
        layer, _, last = name.rpartition(".")
        if name not in filters:
            renamed[f"{wrapped.get(f'{layer}.', f'{layer}.' if layer else '')}{last}"] = shape
    return renamed


def exact_fits(rewrite: Rewrite, library: str = "") -> tuple[Fit, ...]:
    """Architectures, of one library if it is named, whose names and shapes are those of the standard form."""
    fits: list[Fit] = []
    for heads, classes in spelled_heads(rewrite.shapes).items():
        group = [
            known
            for known in index().by_signature.get(signature(rewrite.shapes, heads), ())
            if known.heads == heads and known.library.startswith(library)
        ]
        arguments = {**rewrite.arguments, "num_classes": classes}
        fits += [Fit(known, arguments, classes, (*rewrite.evidence, said)) for known, said in distinct(group)]
    return tuple(fits)


def headless_fits(shapes: Mapping[str, Shape]) -> tuple[Fit, ...]:
    """Architectures whose names and shapes are these but for the head, which is missing."""
    if spelled_heads(shapes):
        return ()
    group = index().by_signature.get(signature(shapes, ()), ())
    said = "there is no head: the weights are a backbone"
    return tuple(Fit(known, {"num_classes": 0}, 0, (said, others)) for known, others in distinct(group))


def spelled_heads(shapes: Mapping[str, Shape]) -> dict[tuple[str, ...], int]:
    """Layers that may be heads, by the spellings that occur, with their number of classes.

    Example:
        >>> sorted(spelled_heads({"fc.weight": (10, 512), "fc.bias": (10,)}))
        [('fc',), ('fc', 'AuxLogits.fc'), ('fc', 'aux1.fc2', 'aux2.fc2')]
    """
    present = _layers(shapes)
    found = {
        heads: _classes(shapes, head)
        for heads, head in index().head_spellings.items()
        if head and set(head) <= present
    }
    return {heads: rows.pop() for heads, rows in found.items() if len(rows) == 1}


def _layers(shapes: Mapping[str, Shape]) -> set[str]:
    return {name.rpartition(".")[0] for name in shapes}


def _classes(shapes: Mapping[str, Shape], head: Iterable[str]) -> set[int]:
    tensors = (shapes.get(f"{layer}.weight") or shapes.get(f"{layer}.bias") or (0,) for layer in head)
    return {shape[0] for shape in tensors}


def distinct(group: Iterable[KnownArchitecture]) -> list[tuple[KnownArchitecture, str]]:
    """One architecture for all that compute the same on the same pixels, with a sentence on the others.

    torchvision comes first, then the shortest name. Anti-aliased relatives of a torchvision model are named
    but not offered: only who chose them by name has them.
    """
    alike: dict[tuple, list[KnownArchitecture]] = {}
    for known in sorted(group, key=lambda known: (known.library == "timm", len(known.name), known.name)):
        alike.setdefault((known.function, known.mean, known.std), []).append(known)
    firsts = [first for first, *_ in alike.values()]
    seldom = [first.name for first in firsts if ANTI_ALIASED.match(first.name)]
    if firsts and firsts[0].library != "torchvision":
        seldom = []
    return [
        (first, _said(first, others, seldom)) for first, *others in alike.values() if first.name not in seldom
    ]


def _said(first: KnownArchitecture, others: list[KnownArchitecture], seldom: list[str]) -> str:
    sentence = f"names and shapes are those of {first.name}"
    if others:
        sentence += f", which computes the same as {', '.join(one.name for one in others)}"
    if seldom:
        sentence += f"; they are also those of {', '.join(seldom)}, which blur before a stride"
    return sentence
