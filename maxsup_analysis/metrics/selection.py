"""Selective prediction: how few errors are left when the classifier may decline the samples it is least sure of.

Samples are ranked by a score of confidence. At coverage c the share c with the highest scores is answered; the risk
is the share of errors among those answered.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.entry import Entry, described_by, enter_metric
from maxsup_analysis.metrics.metric import Need, OrderMetric
from maxsup_analysis.metrics.tempered import value_of_the_rest
from maxsup_analysis.ties import tied_groups
from maxsup_analysis.tile import Tile

XIA = "Xia et al. 2025 (arXiv 2403.14715)"
POWERS = tuple(range(1, 11))
VANISHING = 1e-290
Area = Callable[..., Tensor]


@dataclass(frozen=True)
class Score:
    """What samples may be ranked by.

    name: as metrics end. label: for tables. clause, convention: how their summary and convention go on.
    values: the score of each sample of a tile, the more confident the larger. floor: the size below which it is no
        more precise.
    """

    name: str
    label: str
    clause: str
    convention: str
    values: Callable[[Tile], Tensor]
    floor: float = 0.0
    source: str = ""
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True)
class Ranked:
    """Samples by descending score, with the weight of each and the weight of its errors."""

    weights: Float64[Tensor, " N"]
    errors: Float64[Tensor, " N"]

    @property
    def covered(self) -> Float64[Tensor, " N"]:
        """The weight of the samples down to each."""
        return self.weights.cumsum(0)

    @property
    def failed(self) -> Float64[Tensor, " N"]:
        """The weight of the errors down to each."""
        return self.errors.cumsum(0)


def log_odds(tile: Tile) -> Float64[Tensor, " B"]:
    """Of the probability of the prediction: the same order, and no two of them are rounded to 1."""
    odds = -tile.odds_against.log()
    # Beyond, odds lose their digits and vanish.
    extreme = (tile.odds_against < VANISHING).nonzero()[:, 0]
    others = tile.others.index_select(0, extreme)
    return odds.index_copy_(0, extreme, tile.top_logits[extreme] - others.logsumexp(1))


def top_logits(tile: Tile) -> Float64[Tensor, " B"]:
    """The largest logit."""
    return tile.top_logits


def normalised_logits(tile: Tile) -> Float64[Tensor, " B"]:
    """The largest logit over the p-norm of them all, both centred, with the fitted p; 0 for held-out samples."""
    power = tile.representation.power
    if isinstance(power, Undefined):
        raise Undefined(str(power))
    assert power is not None, "a metric that looks at the power says so in `needs`"
    judged = (~tile.held_out).nonzero()[:, 0]
    tops = normalised_tops(centred_at_top(tile).index_select(0, judged), (power,))[:, 0]
    return torch.zeros_like(tile.mean_logits).index_copy_(0, judged, tops)


def centred_at_top(tile: Tile) -> Float64[Tensor, "B K"]:
    """Logits minus their mean, as seen from the largest: a number that all of them share costs no digits."""
    seen = tile.logits - tile.top_logits[:, None]
    return seen.sub_(seen.mean(1, keepdim=True))


def normalised_tops(centred: Float64[Tensor, "B K"], powers: tuple[int, ...]) -> Float64[Tensor, "B P"]:
    """max_k v_k / norm(v)_p of each sample for each p; 0, the least, where all its logits are equal.

    Example:
        >>> normalised_tops(torch.tensor([[3.0, 1.0, -4.0], [0.0, 0.0, 0.0]]).double(), (1, 2))
        tensor([[0.3750, 0.5883],
                [0.0000, 0.0000]], dtype=torch.float64)
    """
    if centred.shape[1] < 3:
        raise Undefined("with fewer than three classes all normalised logits are equal, so they rank nothing")
    # Scaled by the largest entry first, so that powers neither overflow nor vanish.
    sizes, tops = centred.abs(), centred.amax(1)
    largest = sizes.amax(1, keepdim=True)
    largest = torch.where(largest > 0, largest, 1)
    tops, raised, norms = tops / largest[:, 0], sizes.div_(largest).clone(), {}
    if 1 in powers:
        # Half of it is the sum of what is above the mean: so samples whose top logit alone is tie without rounding.
        norms[1] = 2 * centred.clamp(min=0).div_(largest).sum(1)
    for power in range(2, max(powers) + 1):
        raised.mul_(sizes)
        if power in powers:
            norms[power] = raised.sum(1) ** (1 / power)
    return torch.stack([torch.where(tops > 0, tops / norms[power], 0) for power in powers], 1)


SCORES = (
    Score(
        "msp",
        "MSP",
        "ranked by the maximum softmax probability",
        "The score is the probability of the prediction, compared as log odds, which do not round to 1.",
        log_odds,
        floor=1.0,
    ),
    Score(
        "max_logit",
        "max logit",
        "ranked by the largest logit",
        "The score is the largest logit as it is: adding a constant to the logits of a sample changes it.",
        top_logits,
    ),
    Score(
        "normalised_logit",
        "normalised logit",
        "ranked by the largest logit over the norm of the logits",
        "The score is the largest logit over the p-norm of them all, both after subtracting their mean; p in 1 to 10 "
        "has the smallest AURC on the held-out half, and the other half is judged; the standard error takes p as "
        "given. A sample whose logits are all equal ranks last; with fewer than three classes all scores are equal and "
        "the area is undefined.",
        normalised_logits,
        source=XIA,
        needs=("power",),
    ),
)


def _columns(tile: Tile, score: Score) -> Float64[Tensor, "B 3"]:
    """The score, 1 where the prediction is wrong, and 1 where the sample is judged."""
    judged = ~tile.held_out if score.needs else torch.ones_like(tile.held_out)
    return torch.stack([tile.once(score.values), 1 - tile.correct, judged.double()], 1)


def ranked_by(
    *scores: Score,
    label: str,
    formula: str,
    source: str,
    collapsed: float | None,
    differs: str,
    skewed: bool = False,
) -> Callable[[Area], Area]:
    """Enter an area as one metric a score: a function of columns (score, error), weights and the floor of scores.

    skewed: see `Metric`.
    """
    entry = Entry(label, formula, source, collapsed, differs=differs, skewed=skewed)

    def enter(area: Area) -> Area:
        for score in scores:
            metric = OrderMetric(
                **described_by(area, entry),
                columns=partial(_columns, score=score),
                value=partial(value_of_the_rest, value=partial(area, floor=score.floor)),
            )
            enter_metric(
                replace(
                    metric,
                    name=f"{metric.name}_{score.name}",
                    label=f"{label}, {score.label}",
                    summary=f"{metric.summary.rstrip('.')}; {score.clause}.",
                    convention=f"{metric.convention} {score.convention}",
                    source="; ".join(filter(None, [source, score.source])),
                    # There is no p to fit where nothing is wrong.
                    collapsed=None if score.needs else collapsed,
                    needs=score.needs,
                )
            )
        return area

    return enter


@ranked_by(
    *SCORES,
    label="AURC",
    formula="1/N sum_i r_i, r_i = 1/i sum_(j <= i) [hat(y)_j != y_j]",
    source="Geifman & El-Yaniv 2017 (arXiv 1705.08500); Geifman, Uziel & El-Yaniv 2019 (arXiv 1805.08206)",
    collapsed=0.0,
    differs="mean of the N selective risks",
    skewed=True,
)
def aurc(
    columns: Float64[Tensor, "N 2"], weights: Float64[Tensor, " N"], floor: float = 0.0
) -> Float64[Tensor, ""]:
    """Area under the risk-coverage curve: the risk, averaged over coverages.

    Geifman's mean of r_i over i = 1 to N. Others take the trapezoid rule over coverage, from (0, 0) or from 1/N, and
    some divide by 1 - 1/N: three other numbers. Samples of equal score count as in the average over their orders.
    From 0, when nothing is wrong, to 1; it is small for an accurate classifier however it ranks.
    """
    ranked = _ranked(columns, weights, floor)
    return (ranked.weights * ranked.failed / ranked.covered).sum() / weights.sum()


@ranked_by(
    *SCORES,
    label="E-AURC",
    formula="1/N sum_i (r_i - r_i^*)",
    source="Geifman, Uziel & El-Yaniv 2019 (arXiv 1805.08206)",
    collapsed=0.0,
    differs="minus the exact best AURC",
    skewed=True,
)
def e_aurc(
    columns: Float64[Tensor, "N 2"], weights: Float64[Tensor, " N"], floor: float = 0.0
) -> Float64[Tensor, ""]:
    """Excess area under the risk-coverage curve: AURC minus that of a ranking that puts every error last.

    The best ranking's AURC is summed, as AURC is; others take its limit r + (1 - r) ln(1 - r), with r the error rate.
    Samples of equal score count as in the average over their orders. 0 when no error precedes a correct prediction,
    and never negative.
    """
    wrong = columns[:, 1]
    return aurc(columns, weights, floor) - aurc(torch.stack([1 - wrong, wrong], 1), weights)


@ranked_by(
    *SCORES,
    label="AUGRC",
    formula="1/N^2 sum_i sum_(j <= i) (1 - 1/2 [j = i]) [hat(y)_j != y_j]",
    source="Traub et al. 2024 (arXiv 2407.01032)",
    collapsed=0.0,
    differs="trapezoid rule from coverage 0",
    skewed=True,
)
def augrc(
    columns: Float64[Tensor, "N 2"], weights: Float64[Tensor, " N"], floor: float = 0.0
) -> Float64[Tensor, ""]:
    """Area under the generalised risk-coverage curve: the share of all samples that are answered wrongly, averaged.

    Generalised risk is errors answered over all samples, answered or not: risk times coverage. The trapezoid rule over
    coverage from (0, 0), which is (1 - AUROC) a (1 - a) + (1 - a)^2 / 2 with a the accuracy; others start at 1/N and
    divide by 1 - 1/N. Samples of equal score count as in the average over their orders. From 0 to 1/2.
    """
    ranked = _ranked(columns, weights, floor)
    return (ranked.weights * (ranked.failed - ranked.errors / 2)).sum() / weights.sum() ** 2


def _ranked(columns: Float64[Tensor, "N 2"], weights: Float64[Tensor, " N"], floor: float) -> Ranked:
    """The samples in order. Those of equal score, up to rounding, share their weight and their errors equally.

    With weights of 1 any cumulative sum is then its average over all their orders, and so are areas.
    """
    scores, order = columns[:, 0].sort(descending=True)
    weights, errors = weights[order], (weights * columns[:, 1])[order]
    place, sizes = tied_groups(scores, floor)
    return Ranked(_shared(weights, place, sizes), _shared(errors, place, sizes))


def _shared(values: Float64[Tensor, " N"], place: Int64[Tensor, " N"], sizes: Int64[Tensor, " P"]) -> Tensor:
    """The mean over the samples of equal score, at each of them."""
    sums = torch.zeros(len(sizes), dtype=values.dtype).index_add(0, place, values)
    return (sums / sizes)[place]
