"""The vectors that neural collapse is about, the span of the means, and what of them must not vanish."""

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import NotSmooth, Undefined
from maxsup_analysis.metrics.variation.classes import require_distinct_means
from maxsup_analysis.moments import directions_of, lengths_of
from maxsup_analysis.pairs import Pairs
from maxsup_analysis.representation import Representation
from maxsup_analysis.span import Span

PAPYAN = "Papyan, Han & Donoho 2020 (arXiv 2008.08186)"
NOTEBOOK = f"{PAPYAN}, as in the authors' notebook"
ZHU = "Zhu et al. 2021 (arXiv 2105.02375)"
ZHOU = "Zhou et al. 2022 (arXiv 2210.02192)"
RHUBARBWU = "Wu & Papyan 2024 (arXiv 2405.17767), as in rhubarbwu/neural-collapse"
JIANG = "Jiang et al. 2024 (arXiv 2310.05351)"


def centred_means(representation: Representation) -> Float64[Tensor, "M D"]:
    """M, of the classes that have samples; raises Undefined where it is zero, or one row."""
    require_distinct_means(representation)
    return representation.classes.centred_means


def constant(number: float) -> Float64[Tensor, ""]:
    """A value that algebra knows, whatever the samples: exact, with a standard error of 0."""
    return torch.tensor(number, dtype=torch.float64)


def head_rows(representation: Representation) -> Float64[Tensor, "K D"]:
    """W, at least two rows of it."""
    rows = representation.known_head.weight
    if len(rows) < 2:
        raise Undefined("the head has one row, and it takes two to compare")
    return rows


def rows_with_samples(representation: Representation) -> Float64[Tensor, "M D"]:
    """The rows of W whose classes have samples, and so a mean to go with."""
    return head_rows(representation)[representation.occupied]


def units(vectors: Float64[Tensor, "K D"]) -> Float64[Tensor, "K D"]:
    """The vectors scaled to length one."""
    lengths = lengths_of(vectors)
    if (lengths == 0).any():
        raise Undefined("a vector is zero and has no angle")
    return directions_of(vectors, lengths)


def unit_means(representation: Representation) -> Pairs:
    """The pairs of centred class means scaled to length one."""
    return representation.once(_unit_means)


def unit_rows(representation: Representation) -> Pairs:
    """The pairs of rows of the head scaled to length one."""
    return representation.once(_unit_rows)


def _unit_means(representation: Representation) -> Pairs:
    return Pairs(units(centred_means(representation)))


def _unit_rows(representation: Representation) -> Pairs:
    return Pairs(units(head_rows(representation)))


def smooth_in(span: Span, value: Tensor) -> Tensor:
    """The value, of which no derivative exists where the means span less than they could."""
    possible = min(len(span.coordinates) - 1, len(span.basis))
    if span.rank < possible:
        reason = f"class means span {span.rank} of {possible} dimensions, where the pseudo-inverse jumps"
        raise NotSmooth(value.item(), reason)
    return value
