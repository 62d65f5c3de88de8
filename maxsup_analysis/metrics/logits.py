"""What a classifier does with its logits, sample by sample: label smoothing's two halves, margins, norms, angles.

z are the logits of a sample, gt is its true class. The halves add up to z_gt - mean(z); label smoothing's term is
that times alpha (MaxSup, Theorem 3.3 and Corollary 3.4).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.errors import Undefined
from maxsup_analysis.losses import error_amplification, regularisation
from maxsup_analysis.metrics.entry import mean_metric, moment_metric, total_metric
from maxsup_analysis.metrics.metric import Subset
from maxsup_analysis.representation import Representation
from maxsup_analysis.tile import Tile

MAXSUP = "Zhou et al. 2025, MaxSup (arXiv 2502.15798)"
COROLLARY = f"{MAXSUP}, Corollary 3.4"
NEAR_ZERO = 0.01
EACH: tuple[Subset, ...] = ("all", "correct", "wrong")


@mean_metric(
    label="LS regularisation",
    formula="1/K sum_(m: z_m < z_gt) (z_gt - z_m)",
    source=COROLLARY,
    collapsed=None,
    standard=True,
    over=EACH,
)
def logit_regularisation(tile: Tile) -> Float64[Tensor, " B"]:
    """How far the true logit stands above the smaller ones: what label smoothing holds down.

    Mean over samples, divided by alpha; never negative.
    """
    # No other logit is larger than that of a right prediction.
    return tile.once(_above_mean).index_copy(0, *_where_wrong(tile, regularisation))


@mean_metric(
    label="LS error amplification",
    formula="1/K sum_(n: z_n > z_gt) (z_gt - z_n)",
    source=COROLLARY,
    collapsed=0.0,
    standard=True,
    over=EACH,
)
def logit_error_amplification(tile: Tile) -> Float64[Tensor, " B"]:
    """How far the true logit stands below the larger ones: what label smoothing pushes apart.

    Mean over samples, divided by alpha; never positive, and 0 for every sample that is classified correctly.
    """
    return torch.zeros_like(tile.true_logits).index_copy_(0, *_where_wrong(tile, error_amplification))


@mean_metric(
    label="near-zero logits",
    formula=f"1/(N K) sum_(i,k) [abs(z_(i k)) < {NEAR_ZERO}]",
    source="the MaxSup repository's logit analysis, with its default threshold for every checkpoint",
    collapsed=None,
    standard=True,
    differs="logits as they are",
)
def near_zero_logits(tile: Tile) -> Float64[Tensor, " B"]:
    """Share of logits that are almost zero.

    The logits as they are: adding a constant to them all, which no probability notices, changes it.
    """
    return tile.logits.abs().lt_(NEAR_ZERO).mean(1)


@mean_metric(
    label="near-zero logits, centred",
    formula=f"1/(N K) sum_(i,k) [abs(z_(i k) - macron(z)_i) < {NEAR_ZERO}]",
    source="near_zero_logits after subtracting each sample's mean logit",
    collapsed=None,
    standard=True,
    differs="logits minus their mean",
)
def near_zero_logits_centred(tile: Tile) -> Float64[Tensor, " B"]:
    """Share of logits that almost equal the mean logit of their sample.

    Does not change when a constant is added to the logits.
    """
    return tile.centred_logits.abs().lt_(NEAR_ZERO).mean(1)


@mean_metric(
    label="MaxSup penalty",
    formula="1/N sum_i (max_k z_(i k) - macron(z)_i)",
    source=f"{MAXSUP}, Definition 3.5",
    collapsed=None,
    over=EACH,
)
def logit_maxsup_penalty(tile: Tile) -> Float64[Tensor, " B"]:
    """How far the largest logit stands above the average one, right or wrong: what MaxSup holds down.

    Mean over samples, divided by alpha; never negative, 0 where all logits of a sample are equal. Where a sample is
    classified correctly this is label smoothing's term, the sum of its two halves. Does not change when a constant is
    added to the logits.
    """
    return tile.once(_above_mean)


@mean_metric(
    label="logit margin",
    formula="1/N sum_i (z_gt - max_(k != gt) z_k)",
    source="standard",
    collapsed=None,
    over=EACH,
)
def logit_margin(tile: Tile) -> Float64[Tensor, " B"]:
    """How far the true logit stands above the largest of the others.

    Mean over samples, of the logits as they are: others divide by the norm of the features or of the head. Negative
    where a sample is classified wrongly, 0 at a tie; undefined with one class, which has no others.
    """
    if tile.logits.shape[1] == 1:
        raise Undefined("there is one class, so no other logit to compare with")
    return tile.true_logits - torch.where(tile.correct > 0, tile.runners_up, tile.top_logits)


@mean_metric(
    label="rank of the true class",
    formula="1/N sum_i (1 + abs({k: z_k > z_gt}))",
    source="standard",
    collapsed=1.0,
)
def true_class_rank(tile: Tile) -> Float64[Tensor, " B"]:
    """At which place the true class stands when the logits are sorted, on average.

    1 is the top, K the bottom. Of equal logits the class with the lower number stands first, as for accuracy, so rank
    1 and a correct prediction are the same; others give tied classes their average place.
    """
    which, logits = tile.once(_wrong)
    ranks = _ranks(logits, tile.labels[which], tile.logit_rounding[which, None])
    return torch.ones_like(tile.true_logits).index_copy_(0, which, ranks)


@mean_metric(
    label="feature norm",
    formula="1/N sum_i norm(h_i)",
    source="standard",
    collapsed=None,
    needs=("features",),
)
def feature_norm(tile: Tile) -> Float64[Tensor, " B"]:
    """How long features are, on average.

    Euclidean, not centred, the mean of the norms and not the norm of a mean; zero vectors count as 0.
    """
    return tile.lengths


@mean_metric(
    label="logit norm",
    formula="1/N sum_i norm(z_i)",
    source="Dauphin & Cubuk 2021, whose penalty is on its square; Wei et al. 2022, LogitNorm, divide by it",
    collapsed=None,
    differs="logits as they are",
)
def logit_norm(tile: Tile) -> Float64[Tensor, " B"]:
    """How long the vectors of logits are, on average.

    Euclidean. Adding a constant to the logits, which no probability notices, changes it.
    """
    return torch.linalg.vector_norm(tile.logits, dim=1)


@mean_metric(
    label="logit norm, centred",
    formula="1/N sum_i norm(z_i - macron(z)_i)",
    source="logit_norm after subtracting each sample's mean logit",
    collapsed=None,
    differs="logits minus their mean",
)
def logit_norm_centred(tile: Tile) -> Float64[Tensor, " B"]:
    """How far the logits of a sample are from all being equal, on average.

    Euclidean. Does not change when a constant is added to the logits.
    """
    return torch.linalg.vector_norm(tile.centred_logits, dim=1)


@moment_metric(
    label="head norm",
    formula="1/K sum_k norm(w_k)",
    source="standard",
    collapsed=None,
)
def head_norm(representation: Representation) -> Tensor:
    """How long the rows of the head are, on average.

    Euclidean, over all classes whether or not they have samples; rows are not centred and the bias is left out. No
    sample enters, so the standard error is 0.
    """
    return representation.known_head.lengths.mean()


def _mean_cosine(totals: Float64[Tensor, " 2"]) -> Tensor:
    if totals[1] == 0:
        raise Undefined("all features are zero vectors, which have no direction")
    return totals[0] / totals[1]


@total_metric(
    _mean_cosine,
    label="cosine to the head",
    formula="1/N sum_i cos(h_i, w_gt)",
    source="standard; what NC3 is about, sample by sample",
    collapsed=1.0,
    needs=("features",),
)
def cosine_to_head(tile: Tile) -> Float64[Tensor, "B 2"]:
    """How well features point along the head's row of their true class, on average.

    From -1 to 1. A logit is norm times norm times this cosine, and the bias: with feature_norm and head_norm it tells
    logits that shrink by length from those that shrink by angle. Neither features nor rows are centred. Features that
    are zero vectors are left out; undefined where the row of a class that has samples is zero.
    """
    head = tile.representation.known_head
    if (zero := head.lengths[tile.labels] == 0).any():
        name = tile.representation.class_names[int(tile.labels[zero][0])]
        raise Undefined(f"the head's row of class {name} is zero, which has no direction")
    return torch.stack(
        [tile.along_direction(tile.representation.head_directions), tile.has_direction.double()], 1
    )


def _above_mean(tile: Tile) -> Float64[Tensor, " B"]:
    """The largest logit minus the average one, which is rounded and may come out larger than equal logits are."""
    return (tile.top_logits - tile.mean_logits).clamp_(min=0)


def _ranks(
    logits: Float64[Tensor, "B K"], labels: Int64[Tensor, " B"], rounding: Float64[Tensor, "B 1"]
) -> Float64[Tensor, " B"]:
    true = logits.gather(1, labels[:, None])
    before = torch.arange(logits.shape[1]) < labels[:, None]
    return 1 + torch.where(before, logits >= true - rounding, logits > true + rounding).sum(1).double()


def _where_wrong(
    tile: Tile, function: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Int64[Tensor, " W"], Float64[Tensor, " W"]]:
    """The numbers of the wrong samples, and what the function makes of their logits and labels."""
    which, logits = tile.once(_wrong)
    return which, function(logits, tile.labels[which])


def _wrong(tile: Tile) -> tuple[Int64[Tensor, " W"], Float64[Tensor, "W K"]]:
    which = (tile.predictions != tile.labels).nonzero()[:, 0]
    return which, tile.logits.index_select(0, which)
