"""What is fitted on the held-out half of the samples: the temperature, and the power of selection's norm."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.selection import POWERS, aurc, centred_at_top, normalised_tops
from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import Blocks, RowBlocks, Rows
from maxsup_analysis.tile import Tile, row_products

SWEEPS = 100
# Newton's step squares the error: after one that is this small, relative to beta, nothing is left but rounding.
LAST_STEP = 1e-7
# With fewer, sweeps over the first alone cost as much as they save.
FEW_BLOCKS = 4


@dataclass(frozen=True)
class Slopes:
    """First and second derivative of the summed negative log-likelihood with respect to beta = 1/T."""

    first: float
    second: float

    def __add__(self, other: "Slopes") -> "Slopes":
        return Slopes(self.first + other.first, self.second + other.second)

    @property
    def step(self) -> float:
        """Newton's, towards the minimum."""
        return -self.first / self.second if self.second > 0 else math.nan


@dataclass(frozen=True)
class Limits:
    """The slopes at beta = 0, what the first one tends to as beta grows, and how many samples are held out."""

    at_zero: Slopes
    at_infinity: float
    samples: int

    def __add__(self, other: "Limits") -> "Limits":
        return Limits(
            self.at_zero + other.at_zero, self.at_infinity + other.at_infinity, self.samples + other.samples
        )


def fitted_temperature(blocks: Blocks, representation: Representation) -> float:
    """The T that minimises the negative log-likelihood of softmax(z/T) on the held-out half (Guo et al. 2017).

    The likelihood is convex in beta = 1/T. Newton's method finds its minimum, within bounds that every sweep
    narrows, to the last digits. Raises Undefined where there is no minimum or nothing to find it with.
    """
    limits = blocks.total(partial(_limits, representation=representation.summary))
    assert limits is not None, "a representation has rows"
    _require_samples(limits.samples, representation, "the temperature")
    if limits.at_zero.first >= 0:
        raise Undefined(
            "the true logits of the held-out samples are no larger than the others on average, so the hotter the "
            "better and no temperature is best"
        )
    if limits.at_infinity == 0:
        raise Undefined(
            "all held-out samples are classified correctly, so the colder the better and no temperature is best"
        )
    return 1 / _minimum(blocks, representation, _start(blocks, representation, limits))


def fitted_power(blocks: Blocks, representation: Representation) -> int:
    """The p in 1 to 10 whose p-norm, dividing the centred logits, ranks the held-out half best (Xia et al. 2025).

    Best is the smallest AURC; of several powers that are equally good, the smallest. Raises Undefined where
    no power is better than another or there is nothing to compare them with.
    """
    parts = list(blocks.map(partial(_scores, representation=representation.summary)))
    columns = torch.cat(parts)
    _require_samples(len(columns), representation, "the power")
    scores, wrong = columns[:, :-1], columns[:, -1]
    if wrong.all() or not wrong.any():
        which = "wrongly" if wrong.any() else "correctly"
        raise Undefined(f"all held-out samples are classified {which}, so no power is better than another")
    weights = torch.ones_like(wrong)
    areas = [float(aurc(torch.stack([score, wrong], 1), weights)) for score in scores.T]
    # Equal up to the rounding of a mean of as many numbers.
    best = min(areas) + len(columns) ** 0.5 * torch.finfo(torch.float64).eps
    return next(power for power, area in zip(POWERS, areas, strict=True) if area <= best)


def _require_samples(held_out: int, representation: Representation, fitted: str) -> None:
    if held_out == 0:
        raise Undefined(f"no sample is held out to fit {fitted}")
    if held_out == representation.samples:
        raise Undefined(f"all samples are held out to fit {fitted}, so none is left to judge it")


def _start(blocks: Blocks, representation: Representation, limits: Limits) -> float:
    """The beta that suits the first block, where it has one: of many blocks it saves half of the sweeps over all."""
    first = next((rows for rows in blocks if len(rows)), None)
    if first is not None and len(first) * FEW_BLOCKS < representation.samples:
        own = _limits(first, representation)
        if own.at_zero.first < 0 and own.at_infinity > 0:
            return _minimum(RowBlocks((first,)), representation, own.at_zero.step)
    return limits.at_zero.step


def _minimum(blocks: Blocks, representation: Representation, start: float) -> float:
    """The beta where the first derivative vanishes: one sweep over the rows for each guess."""
    lowest, highest, beta = 0.0, math.inf, start
    for _ in range(SWEEPS):
        slopes = blocks.total(partial(_slopes, representation=representation.summary, beta=beta))
        assert slopes is not None, "a representation has rows"
        if abs(slopes.step) <= LAST_STEP * beta:
            return beta + slopes.step
        lowest, highest = (beta, highest) if slopes.first < 0 else (lowest, beta)
        beta = _next(lowest, highest, beta + slopes.step)
    raise Undefined(f"the temperature is not settled after {SWEEPS} sweeps")


def _next(lowest: float, highest: float, newton: float) -> float:
    """Newton's guess where it lies between the bounds, and is not a leap; else one between them."""
    least = lowest if lowest > 0 else highest / 8
    most = highest if highest < math.inf else lowest * 8
    return newton if least < newton < most else math.sqrt(least * most)


def _held_out(rows: Rows, representation: Representation) -> Iterator[Tile]:
    """The held-out rows, a few at a time; without features where the logits are there."""
    seen = rows if rows.logits is None else Rows(rows.ids, rows.labels, rows.features[:, :0], rows.logits)
    for part in seen.tiles(wide=False):
        yield Tile(part.take(Tile(part, representation).held_out), representation)


def _limits(rows: Rows, representation: Representation) -> Limits:
    limits = Limits(Slopes(0.0, 0.0), 0.0, 0)
    for tile in _held_out(rows, representation):
        first = (tile.mean_logits - tile.true_logits).sum()
        second = tile.centred_logits.square().mean(1).sum()
        # Largest minus true logit: the slope when all probability is on the largest.
        at_infinity = (tile.top_logits - tile.true_logits).sum()
        limits += Limits(Slopes(float(first), float(second)), float(at_infinity), len(tile))
    return limits


def _slopes(rows: Rows, representation: Representation, beta: float) -> Slopes:
    slopes = Slopes(0.0, 0.0)
    for tile in _held_out(rows, representation):
        # As seen from the true logit, so that small slopes are not differences of large numbers.
        gaps = tile.logits - tile.true_logits[:, None]
        odds = (gaps - gaps.amax(1, keepdim=True)).mul_(beta).exp_()
        totals = odds.sum(1)
        means = row_products(odds, gaps) / totals
        # Of the second derivative a few digits are enough.
        variances = (row_products(odds.mul_(gaps), gaps) / totals - means.square()).clamp(min=0)
        slopes += Slopes(float(means.sum()), float(variances.sum()))
    return slopes


def _scores(rows: Rows, representation: Representation) -> Float64[Tensor, "N P"]:
    """For each held-out row the score that each power gives it, and whether its prediction is wrong."""
    parts = [
        torch.cat([normalised_tops(centred_at_top(tile), POWERS), 1 - tile.correct[:, None]], 1)
        for tile in _held_out(rows, representation)
    ]
    return torch.cat(parts)
