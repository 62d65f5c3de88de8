"""Constructor arguments that show in the shapes: each variant rewrites the shapes to the standard form.

A variant takes names and shapes and yields every standard form it may come from, with the arguments that
lead back; none where it does not apply.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from math import isqrt

from maxsup_analysis.architectures.known import index
from maxsup_analysis.architectures.trees import Shape, leaves

Shapes = Mapping[str, Shape]
# What vision transformers are published for, the usual first.
SIDES = (224, 384, 256, 240, 448, 336, 518, 512, 288, 392, 196, 160)
PATCHES = (16, 32, 14, 8)
MOST_VARIANTS_AT_ONCE = 4


@dataclass(frozen=True)
class Rewrite:
    """Shapes in standard form, the arguments of the constructor that were read off, and how."""

    shapes: Shapes
    arguments: dict[str, object] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()

    def then(self, shapes: Shapes, evidence: str, arguments: Mapping[str, object]) -> "Rewrite":
        """This and one step more."""
        return Rewrite(shapes, {**self.arguments, **arguments}, (*self.evidence, evidence))


@dataclass(frozen=True)
class Variant:
    """A way in which a checkpoint of one library departs from the standard form."""

    name: str
    library: str
    rewrites: Callable[[Rewrite], Iterator[Rewrite]]


def in_chans(given: Rewrite) -> Iterator[Rewrite]:
    """Images with other than three channels: the first convolution says how many."""
    stems = {
        name: given.shapes[name]
        for name in index().stems
        if len(given.shapes.get(name, ())) == 4 and given.shapes[name][1] != 3
    }
    for name, (rows, channels, *kernel) in stems.items():
        evidence = f"{name} takes {channels} channels"
        yield given.then({**given.shapes, name: (rows, 3, *kernel)}, evidence, {"in_chans": channels})


def class_token(given: Rewrite) -> Iterator[Rewrite]:
    """A vision transformer of timm that averages its tokens and has no class token."""
    batch, tokens, dim = _positions(given.shapes, "pos_embed")
    if tokens and "cls_token" not in given.shapes:
        standard = {**given.shapes, "cls_token": (1, 1, dim), "pos_embed": (batch, tokens + 1, dim)}
        yield given.then(standard, "there is no cls_token", {"class_token": False, "global_pool": "avg"})


def fc_norm(given: Rewrite) -> Iterator[Rewrite]:
    """A vision transformer of timm that averages its tokens: its last normalisation is called fc_norm."""
    if "fc_norm.weight" in given.shapes and "norm.weight" not in given.shapes:
        standard = {re.sub(r"^fc_norm\.", "norm.", name): shape for name, shape in given.shapes.items()}
        yield given.then(standard, "fc_norm stands for norm", {"global_pool": "avg"})


def qkv_bias(given: Rewrite) -> Iterator[Rewrite]:
    """Attention without biases for queries, keys and values."""
    added = {
        f"{name.removesuffix('weight')}bias": (shape[0],)
        for name, shape in given.shapes.items()
        if name.endswith("attn.qkv.weight") and f"{name.removesuffix('weight')}bias" not in given.shapes
    }
    if added:
        yield given.then({**given.shapes, **added}, "attn.qkv has no bias", {"qkv_bias": False})


def init_values(given: Rewrite) -> Iterator[Rewrite]:
    """Layer scale; its initial value does not matter once weights are loaded."""
    standard = {
        name: shape for name, shape in given.shapes.items() if not re.search(r"\.ls[12]\.gamma$", name)
    }
    if len(standard) < len(given.shapes):
        yield given.then(standard, "blocks have layer scale (ls1, ls2)", {"init_values": 1e-5})


def grid(given: Rewrite) -> Iterator[Rewrite]:
    """Images or patches of another size, from the number of positions: timm's vision transformers."""
    _, tokens, dim = _positions(given.shapes, "pos_embed")
    rows, channels, patch = _patches(given.shapes, "patch_embed.proj.weight")
    prefix = sum(_positions(given.shapes, name)[1] for name in ("cls_token", "dist_token", "reg_token"))
    for extra in dict.fromkeys((prefix, 0)) if patch else ():
        across = isqrt(max(0, tokens - extra))
        if not across or across**2 != tokens - extra:
            continue
        arguments: dict[str, object] = {"img_size": across * patch}
        evidence = f"{tokens} tokens of {patch} x {patch} pixels make images of {across * patch}"
        for usual in dict.fromkeys((patch, *PATCHES)):
            size = arguments if usual == patch else {**arguments, "patch_size": patch}
            for side in SIDES if usual == patch else SIDES[:2]:
                standard = {
                    **given.shapes,
                    "pos_embed": (1, (side // usual) ** 2 + extra, dim),
                    "patch_embed.proj.weight": (rows, channels, usual, usual),
                }
                yield given.then(standard, evidence, size)


def image_size(given: Rewrite) -> Iterator[Rewrite]:
    """Images of another size: torchvision's vision transformers."""
    _, tokens, dim = _positions(given.shapes, "encoder.pos_embedding")
    _, _, patch = _patches(given.shapes, "conv_proj.weight")
    across = isqrt(max(0, tokens - 1))
    if patch and across and across**2 == tokens - 1:
        standard = {**given.shapes, "encoder.pos_embedding": (1, (224 // patch) ** 2 + 1, dim)}
        evidence = f"{tokens} tokens of {patch} x {patch} pixels make images of {across * patch}"
        yield given.then(standard, evidence, {"image_size": across * patch})


def aux_logits(given: Rewrite) -> Iterator[Rewrite]:
    """GoogLeNet and Inception saved without their auxiliary classifiers."""
    for stored, prefix, sign in (
        ("torchvision/googlenet", "aux", "inception5b.branch1.conv.weight"),
        ("torchvision/inception_v3", "AuxLogits", "Mixed_7c.branch1x1.conv.weight"),
    ):
        if sign in given.shapes and not any(name.startswith(prefix) for name in given.shapes):
            yield given.then(
                {**given.shapes, **_stored(stored, prefix)}, f"there is no {prefix}", {"aux_logits": False}
            )


VARIANTS = tuple(
    Variant(rewrites.__name__, library, rewrites)
    for library, rewrites in (
        ("timm", in_chans),
        ("timm", class_token),
        ("timm", fc_norm),
        ("timm", qkv_bias),
        ("timm", init_values),
        ("timm", grid),
        ("torchvision", image_size),
        ("torchvision", aux_logits),
    )
)


def rewritten(shapes: Shapes) -> Iterator[tuple[str, Rewrite]]:
    """Standard forms that the shapes may come from, the fewest variants first, each with its library."""
    start = Rewrite(shapes)
    applying = [variant for variant in VARIANTS if any(True for _ in variant.rewrites(start))]
    for count in range(1, MOST_VARIANTS_AT_ONCE + 1):
        for chosen in combinations(applying, count):
            if len({variant.library for variant in chosen}) == 1:
                yield from ((chosen[0].library, rewrite) for rewrite in _applied(start, chosen))


def _applied(start: Rewrite, chosen: tuple[Variant, ...]) -> Iterator[Rewrite]:
    first, *rest = chosen
    for rewrite in first.rewrites(start):
        yield from _applied(rewrite, tuple(rest)) if rest else (rewrite,)


def _positions(shapes: Shapes, name: str) -> tuple[int, int, int]:
    shape = shapes.get(name, ())
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (0, 0, 0)


def _patches(shapes: Shapes, name: str) -> tuple[int, int, int]:
    """Rows, channels and side of a convolution over patches; zeros where it is none."""
    shape = shapes.get(name, ())
    return (shape[0], shape[1], shape[2]) if len(shape) == 4 else (0, 0, 0)


@cache
def _stored(architecture: str, prefix: str) -> dict[str, Shape]:
    known = index()
    code = next(
        code for code, group in known.by_signature.items() if architecture in {one.name for one in group}
    )
    return {name: shape for name, shape in leaves(known.nodes, known.trees[code]) if name.startswith(prefix)}
