"""What is known of the classifiers of timm and torchvision, read from an index that ships with the package.

Nothing here imports torch, so that a file is recognised in a fraction of a second.
"""

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from importlib.resources import files

from maxsup_analysis.architectures.trees import Node, Shape

INDEX = "index.json.gz"
# Last parts of the names of tensors that are counters, or tables that the constructor computes again.
REGENERABLE = frozenset({
    "num_batches_tracked", "relative_position_index", "relative_coords_table", "attn_mask", "rel_pos_index",
    "attention_bias_idxs", "attention_bias_indices", "blur_filter", "filt", "kernel_indices", "k_mask",
})  # fmt: skip


@dataclass(frozen=True)
class KnownArchitecture:
    """A classifier that a library builds by name, and how its published weights see images.

    name: `timm/resnet50` or `torchvision/resnet50`.
    head: the layers whose rows are classes; several where the output is their mean or sum (distilled ones).
    auxiliary: layers with a row per class that make no output in evaluation.
    feature_dim: D, the columns of the head.
    input_size: channels, height, width.
    resize_or_crop_pct: an int is the length to which the shorter side is resized before the centre crop; a
    float is the fraction of the resized image that the crop keeps.
    function: among architectures with equal signatures, equal only where they compute the same thing.
    classes: of the published weights.
    """

    name: str
    head: tuple[str, ...]
    auxiliary: tuple[str, ...]
    feature_dim: int
    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize_or_crop_pct: int | float
    interpolation: str
    function: int
    classes: int

    @property
    def library(self) -> str:
        """`timm` or `torchvision`."""
        return self.name.partition("/")[0]

    @property
    def heads(self) -> tuple[str, ...]:
        """Every layer that has a row per class."""
        return self.head + self.auxiliary


@dataclass(frozen=True)
class Index:
    """The shipped index.

    by_signature: signature -> the architectures that have it.
    trees: signature -> position of its names and shapes (heads left out) in `nodes`.
    stems: names of convolutions that see the image.
    failed: name -> why it is missing.
    """

    versions: dict[str, str]
    by_signature: dict[str, tuple[KnownArchitecture, ...]]
    trees: dict[str, int]
    nodes: list[Node]
    stems: tuple[str, ...]
    failed: dict[str, str]

    @cached_property
    def architectures(self) -> dict[str, KnownArchitecture]:
        """Name -> architecture."""
        return {known.name: known for group in self.by_signature.values() for known in group}

    @cached_property
    def head_spellings(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        """Every distinct set of layers with a row per class -> those of them that make the output."""
        return {known.heads: known.head for known in self.architectures.values()}


@cache
def index() -> Index:
    """The index, read once.

    Example:
        >>> index().architectures["torchvision/resnet50"].head
        ('fc',)
    """
    packed = files("maxsup_analysis.architectures").joinpath(INDEX).read_bytes()
    return index_from(json.loads(gzip.decompress(packed)))


def index_from(stored: Mapping) -> Index:
    """The index from its stored form, in which preprocessing and heads are positions in lists."""
    by_signature: dict[str, list[KnownArchitecture]] = {signature: [] for signature in stored["signatures"]}
    names = list(by_signature)
    heads = [tuple(layers) for layers in stored["heads"]]
    for name, signature, head, auxiliary, dim, eye, function, classes in stored["architectures"]:
        size, mean, std, scale, interpolation = stored["preprocessing"][eye]
        known = KnownArchitecture(
            name, heads[head], heads[auxiliary], dim, tuple(size), tuple(mean), tuple(std), scale, interpolation,
            function, classes,
        )  # fmt: skip
        by_signature[names[signature]].append(known)
    return Index(
        stored["versions"],
        {signature: tuple(group) for signature, group in by_signature.items()},
        dict(zip(names, stored["roots"], strict=True)),
        stored["nodes"],
        tuple(stored["stems"]),
        stored["failed"],
    )


def body(shapes: Mapping[str, Shape], heads: Iterable[str]) -> dict[str, Shape]:
    """The tensors that tell architectures apart: without heads, counters and tables made again on building.

    Example:
        >>> body({"conv.weight": (8, 3, 3, 3), "fc.bias": (10,), "bn.num_batches_tracked": ()}, ["fc"])
        {'conv.weight': (8, 3, 3, 3)}
    """
    under = tuple(f"{layer}." for layer in heads)
    return {
        name: tuple(shape)
        for name, shape in shapes.items()
        if not name.startswith(under) and name.rpartition(".")[2] not in REGENERABLE
    }


def signature(shapes: Mapping[str, Shape], heads: tuple[str, ...]) -> str:
    """SHA-256, 16 digits of it, over the sorted names and shapes of the body."""
    text = "\n".join(
        f"{name} {','.join(map(str, shape))}" for name, shape in sorted(body(shapes, heads).items())
    )
    return sha256(text.encode()).hexdigest()[:16]
