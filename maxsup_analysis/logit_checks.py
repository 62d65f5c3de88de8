"""Whether logits are what they are called: not probabilities, and those that the head makes of the features."""

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import Rows

# Rows that are looked at: what is wrong here is wrong in every row.
ROWS = 64
# Of the length of the logits: rounding of half precision, and of features that were stored in it, stays below.
CONTRADICTION = 0.05
SUM_ROUNDING = 5e-3


def remarks_on_logits(representation: Representation) -> tuple[str, ...]:
    """What speaks against the logits, one sentence each."""
    rows = next(iter(representation.blocks)).part(slice(ROWS))
    if rows.logits is None or rows.logits.shape[1] < 2:
        return ()
    logits = rows.logits.double()
    found = []
    if bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < SUM_ROUNDING).all()):
        found.append(
            "every row of logits sums to 1, as probabilities do: what softmax is taken of should be their logarithms"
        )
    if (gap := _contradiction(representation, rows, logits)) > CONTRADICTION:
        found.append(
            f"logits are not those that the head makes of the features: they differ by {gap:.0%} of their size, so "
            "metrics of the head speak of another classifier than metrics of logits"
        )
    return tuple(found)


def _contradiction(representation: Representation, rows: Rows, logits: Float64[Tensor, "B K"]) -> float:
    """How far the logits are from the head's, in lengths of the head's; a number a sample in all of them is nothing."""
    if representation.head is None or representation.dimensions == 0:
        return 0.0
    made = representation.head.logits(rows.features.double())
    made = made - made.mean(1, keepdim=True)
    gap = (logits - logits.mean(1, keepdim=True) - made).norm()
    size = made.norm()
    return float(gap / size) if size > 0 and bool(torch.isfinite(gap)) else 0.0
