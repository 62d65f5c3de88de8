"""Online label smoothing: soft labels that the network itself gave in the epoch before."""

import torch
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.losses.base import Reduction, StrengthLoss
from maxsup_analysis.losses.batch import Batch
from maxsup_analysis.losses.entry import loss
from maxsup_analysis.losses.functional import cross_entropy
from maxsup_analysis.losses.ranges import FRACTION
from maxsup_analysis.losses.targets import Logits, PerSample, Targets, true_classes


@loss(
    "ols",
    title="OLS",
    formula="(1 - alpha) H(s, q) + alpha H(sum_y s_y S_y, q)",
    source="Zhang et al. 2021, Delving Deep into Label Smoothing (arXiv 2011.12562)",
)
class OnlineLabelSmoothingLoss(StrengthLoss):
    """Online label smoothing: a share alpha of the target is what the network said of that class an epoch ago.

    The row S_y of the table is the mean softmax of the samples of class y that were classified correctly in training
    mode during the last epoch; uniform for a class without any. In the first epoch every row is uniform, or, with
    `initial_smoothing`, 1 - initial_smoothing on the class and the rest spread over the others (the MaxSup repository:
    0.1). A soft target mixes the rows, and counts for the class with its largest weight. `start_epoch` renews the
    table; called again for the same epoch, as after a resumption, it changes nothing. Table and sums are buffers.
    Under torch.distributed the sums of all processes are added.
    """

    table: Tensor
    sums: Tensor
    counts: Tensor
    epoch: Tensor

    def __init__(
        self,
        *,
        classes: int,
        alpha: float = 0.5,
        alpha_end: float | None = None,
        initial_smoothing: float | None = None,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(
            alpha=alpha, alpha_end=alpha_end, weight=weight, reduction=reduction, ignore_index=ignore_index
        )
        if classes < 1:
            raise InputError(
                f"expected 1 class or more for the loss {self.name!r}, got {classes}; pass classes=K"
            )
        self.classes = classes
        self.initial_smoothing = (
            None
            if initial_smoothing is None
            else self.number("initial_smoothing", initial_smoothing, FRACTION)
        )
        self.register_buffer("table", first_table(classes, self.initial_smoothing))
        self.register_buffer("sums", torch.zeros(classes, classes, dtype=torch.float32))
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.int64))
        self.register_buffer("epoch", torch.tensor(-1))

    @property
    def changes(self) -> bool:
        """Always: the table is made of the epoch before."""
        return True

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Say that an epoch begins; the table becomes what was seen in the last one."""
        super().start_epoch(epoch, epochs)
        last = int(self.epoch)
        if last not in (-1, epoch):
            self._renew()
        self.epoch.fill_(epoch)

    def fit(self, logits: Logits, targets: Targets) -> PerSample:
        """(1 - alpha) H(s, q) + alpha H(S, q), with S the row of the label, or the rows mixed by a soft target."""
        table, weight = self.table.to(logits.dtype), self._weight_like(logits)
        rows = targets @ table if targets.is_floating_point() else table[targets]
        hard = cross_entropy(logits, targets, weight)
        return (1 - self.strength) * hard + self.strength * cross_entropy(logits, rows, weight)

    @torch.no_grad()
    def observe(self, batch: Batch) -> None:
        """Add the softmax of the correctly classified samples to the sums of their classes."""
        self._require_place(batch.logits)
        if not self.training:
            return
        classes = true_classes(batch.targets)
        correct = (batch.logits.argmax(1) == classes) & batch.kept
        softmax = batch.logits.softmax(1).masked_fill(~correct[:, None], 0)
        self.sums.index_add_(0, classes, softmax.to(self.sums.dtype))
        self.counts.index_add_(0, classes, correct.to(self.counts.dtype))

    def _renew(self) -> None:
        for total in (self.sums, self.counts):
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.all_reduce(total)
        seen = self.counts[:, None]
        self.table.copy_(torch.where(seen > 0, self.sums / seen.clamp(min=1), 1 / self.classes))
        self.sums.zero_()
        self.counts.zero_()

    def _require_place(self, logits: Logits) -> None:
        if logits.shape[1] != self.classes:
            raise InputError(
                f"expected logits of {self.classes} classes for the loss {self.name!r}, got {logits.shape[1]}; "
                f"pass classes={logits.shape[1]}"
            )
        if self.table.device != logits.device:
            raise InputError(
                f"expected logits on {self.table.device}, where the table of the loss {self.name!r} is, "
                f"got {logits.device}; move the loss there with .to()"
            )


def first_table(classes: int, smoothing: float | None) -> Tensor:
    """The soft label of each class, a row each, before any epoch.

    Example:
        >>> first_table(3, 0.2)
        tensor([[0.8000, 0.1000, 0.1000],
                [0.1000, 0.8000, 0.1000],
                [0.1000, 0.1000, 0.8000]])
    """
    if smoothing is None or classes == 1:
        return torch.full((classes, classes), 1 / classes, dtype=torch.float32)
    table = torch.full((classes, classes), smoothing / (classes - 1), dtype=torch.float32)
    return table.fill_diagonal_(1 - smoothing)
