"""The most similar known architectures, for weights that fit none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest

from maxsup_analysis.architectures.known import KnownArchitecture, body, index
from maxsup_analysis.architectures.trees import Comparison, Overlap, Shape, leaves, nested, sizes

EXAMPLES = 3


@dataclass(frozen=True)
class Near:
    """A known architecture that shares names and shapes.

    similarity: from 0 to 1, the mean of the shared fraction of names and of names with their shapes.
    lacking: examples of tensors that it has and the weights lack.
    surplus: examples of tensors that the weights have and it lacks.
    reshaped: examples of tensors that both have in different shapes.
    """

    architecture: KnownArchitecture
    similarity: float
    lacking: tuple[str, ...]
    surplus: tuple[str, ...]
    reshaped: tuple[str, ...]


def nearest(shapes: Mapping[str, Shape], count: int = 3) -> tuple[Near, ...]:
    """The architectures that share most, the best first, one for each signature; none that share nothing."""
    known, given = index(), body(shapes, ())
    tree, comparison, totals = nested(given), Comparison(index().nodes), sizes(index().nodes)
    ranked = [
        (similarity(comparison.overlap(tree, root), _without_head(given, code), totals[root]), code)
        for code, root in known.trees.items()
    ]
    best = nlargest(count, (pair for pair in ranked if pair[0] > 0), key=lambda pair: (pair[0], pair[1]))
    return tuple(_near(given, code, score) for score, code in best)


def similarity(shared: Overlap, ours: int, theirs: int) -> float:
    """Mean of two shared fractions (intersection over union): of names, and of names with their shapes."""
    names, pairs = (part / max(1, ours + theirs - part) for part in (shared.names, shared.pairs))
    return (names + pairs) / 2


def _chosen(code: str) -> KnownArchitecture:
    group = index().by_signature[code]
    return min(group, key=lambda known: (known.library == "timm", len(known.name), known.name))


def _without_head(given: Mapping[str, Shape], code: str) -> int:
    heads = tuple(f"{layer}." for layer in _chosen(code).heads)
    return len(given) - sum(name.startswith(heads) for name in given) if heads else len(given)


def _near(given: Mapping[str, Shape], code: str, score: float) -> Near:
    known = _chosen(code)
    theirs, ours = dict(leaves(index().nodes, index().trees[code])), body(given, known.heads)
    missing_heads = [f"{layer}.weight" for layer in known.head if f"{layer}.weight" not in given]
    return Near(
        known,
        score,
        _examples([*missing_heads, *(name for name in theirs if name not in ours)]),
        _examples(name for name in ours if name not in theirs),
        _examples(
            f"{name} {shape} instead of {theirs[name]}"
            for name, shape in ours.items()
            if theirs.get(name, shape) != shape
        ),
    )


def _examples(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name, _ in zip(names, range(EXAMPLES), strict=False))
