"""How often the classifier is right, and how well it knows."""

import torch
from jaxtyping import Float64
from torch import Tensor

from maxsup_analysis.metrics.metric import mean_metric, total_metric
from maxsup_analysis.representation import Representation, Rows

BINS = 15


@mean_metric(
    label="accuracy",
    formula="1/N sum_i [argmax_k z_(i k) = y_i]",
    source="standard",
    collapsed=1.0,
)
def accuracy(rows: Rows, representation: Representation) -> Float64[Tensor, " B"]:
    """Share of samples whose largest logit is that of their label.

    Of several equal largest logits the first counts.
    """
    return rows.correct


@mean_metric(
    label="negative log-likelihood",
    formula="-1/N sum_i ln q_(i,y_i)",
    source="standard",
    collapsed=None,
)
def nll(rows: Rows, representation: Representation) -> Float64[Tensor, " B"]:
    """Mean surprise at the true label.

    Natural logarithm, temperature 1, hard labels whatever the loss the classifier was trained with.
    """
    return -rows.log_probabilities.gather(1, rows.labels[:, None])[:, 0]


def _calibration_error(totals: Float64[Tensor, " T"]) -> Tensor:
    confidences, hits, counts = totals.view(3, BINS)
    return (confidences - hits).abs().sum() / counts.sum()


@total_metric(
    _calibration_error,
    label="expected calibration error",
    formula="sum_b n_b/N abs(acc_b - conf_b)",
    source="Guo et al. 2017 (arXiv 1706.04599)",
    collapsed=None,
)
def ece(rows: Rows, representation: Representation) -> Float64[Tensor, "B T"]:
    """How far confidence and accuracy lie apart, on average over bins of confidence.

    Top-1 confidence, 15 bins of equal width, closed on the right: (a, b]; confidences of exactly 0 and 1
    belong to the first and the last. All samples at once, never averaged over batches.
    """
    confidence = rows.log_probabilities.amax(1).exp()
    edges = torch.arange(1, BINS, dtype=torch.float64) / BINS
    membership = torch.nn.functional.one_hot(torch.bucketize(confidence, edges), BINS).double()
    parts = [membership * confidence[:, None], membership * rows.correct[:, None], membership]
    return torch.cat(parts, 1)
