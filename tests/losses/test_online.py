"""Tests for online label smoothing from epoch to epoch."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from maxsup_analysis.errors import InputError
from maxsup_analysis.losses import OnlineLabelSmoothingLoss
from tests.losses.oracle import entropy_of, softmax, unit
from tests.losses.samples import LABELS, LOGITS, SOFT, B, K, one_hot

# No sample of class 2 is classified correctly.
UNSEEN = 2
WRONG = LOGITS.clone()
WRONG[LABELS == UNSEEN, UNSEEN] = -50


def online(*, alpha: float = 0.5, initial_smoothing: float | None = None) -> OnlineLabelSmoothingLoss:
    loss = OnlineLabelSmoothingLoss(classes=K, alpha=alpha, initial_smoothing=initial_smoothing).double()
    loss.start_epoch(0, 9)
    return loss


def rows_of(logits: Tensor, labels: Tensor) -> Tensor:
    """S_y: the mean softmax of the correctly classified samples of y; uniform where there are none."""
    rows = np.full((K, K), 1 / K)
    for y in range(K):
        right = [
            softmax(z.numpy())
            for z, label in zip(logits, labels, strict=True)
            if label == y and z.argmax() == y
        ]
        if right:
            rows[y] = sum(right) / len(right)
    return torch.tensor(rows)


def test_the_table_is_the_mean_softmax_of_what_was_right_in_the_epoch_before():
    loss = online(initial_smoothing=0.1)
    for part in torch.arange(B).split(11):
        loss(WRONG[part], LABELS[part])
    loss.start_epoch(1, 9)
    torch.testing.assert_close(loss.table, rows_of(WRONG, LABELS), rtol=1e-12, atol=1e-12)
    assert torch.equal(loss.table[UNSEEN], torch.full((K,), 1 / K, dtype=torch.float64))
    assert not loss.sums.any() and not loss.counts.any()


def test_the_loss_of_the_second_epoch():
    loss = online(alpha=0.3)
    loss(WRONG, LABELS)
    loss.start_epoch(1, 9)
    rows, ones = rows_of(WRONG, LABELS).numpy(), np.ones(K)
    hard = [
        entropy_of(0.7 * unit(int(y), K) + 0.3 * rows[int(y)], z.numpy(), ones)
        for z, y in zip(LOGITS, LABELS, strict=True)
    ]
    mixed = [
        entropy_of(0.7 * s.numpy() + 0.3 * (s.numpy() @ rows), z.numpy(), ones)
        for z, s in zip(LOGITS, SOFT, strict=True)
    ]
    torch.testing.assert_close(loss.per_sample(LOGITS, LABELS), torch.tensor(hard), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(loss.per_sample(LOGITS, SOFT), torch.tensor(mixed), rtol=1e-12, atol=1e-12)


def test_each_epoch_forgets_the_one_before():
    loss = online()
    loss(LOGITS, LABELS)
    loss.start_epoch(1, 9)
    loss(WRONG, LABELS)
    loss.start_epoch(2, 9)
    torch.testing.assert_close(loss.table, rows_of(WRONG, LABELS), rtol=1e-12, atol=1e-12)


def test_the_first_epoch_has_the_first_table():
    loss = online(initial_smoothing=0.3)
    expected = torch.full((K, K), 0.3 / (K - 1)).fill_diagonal_(0.7)
    torch.testing.assert_close(loss.table.float(), expected)
    assert torch.equal(online().table.float(), torch.full((K, K), 1 / K))


def test_what_is_ignored_or_evaluated_is_not_learnt_from():
    loss = online()
    loss(LOGITS, torch.full_like(LABELS, -100))
    loss.eval()(LOGITS, LABELS)
    assert not loss.counts.any() and not loss.sums.any()
    loss.train()(LOGITS, LABELS.where(torch.arange(B) % 2 == 0, -100))
    loss.start_epoch(1, 9)
    torch.testing.assert_close(loss.table, rows_of(LOGITS[::2], LABELS[::2]), rtol=1e-12, atol=1e-12)


def test_a_mixed_sample_counts_for_the_class_of_its_largest_share():
    loss = online()
    loss(LOGITS, 0.7 * one_hot(LABELS) + 0.3 * one_hot((LABELS + 1) % K))
    loss.start_epoch(1, 9)
    torch.testing.assert_close(loss.table, rows_of(LOGITS, LABELS), rtol=1e-12, atol=1e-12)


def test_nothing_is_learnt_through_the_table():
    loss, z = online(), LOGITS.clone().requires_grad_()
    loss(z, LABELS).backward()
    loss.start_epoch(1, 9)
    assert not loss.table.requires_grad and not loss.sums.requires_grad


@pytest.mark.parametrize("stop", [0, 1, 3, 5])
def test_a_resumed_run_is_the_uninterrupted_one(stop: int):
    """Stopped after any batch of either of two epochs; start_epoch is called again, as a training loop does."""
    batches = [(epoch, part) for epoch in (0, 1) for part in torch.arange(B).split(16)]

    def run(loss: OnlineLabelSmoothingLoss, steps: list[tuple[int, Tensor]]) -> list[float]:
        values, now = [], -1
        for epoch, part in steps:
            if epoch != now:
                loss.start_epoch(now := epoch, 9)
            values.append(loss(LOGITS[part], LABELS[part]).item())
        return values

    whole = OnlineLabelSmoothingLoss(classes=K).double()
    expected = run(whole, batches)
    first = OnlineLabelSmoothingLoss(classes=K).double()
    begun = run(first, batches[:stop])
    second = OnlineLabelSmoothingLoss(classes=K).double()
    second.load_state_dict(first.state_dict())
    assert begun + run(second, batches[stop:]) == expected
    assert all(torch.equal(one, second.state_dict()[key]) for key, one in whole.state_dict().items())


def test_an_epoch_that_nobody_starts():
    """The authors' released code never calls next_epoch, and smooths uniformly throughout."""
    with pytest.raises(InputError, match="the loss 'ols' changes from epoch to epoch and was told of none"):
        OnlineLabelSmoothingLoss(classes=K)(LOGITS, LABELS)


def test_another_number_of_classes_or_another_device():
    with pytest.raises(
        InputError, match=r"expected logits of 7 classes for the loss 'ols', got 5; pass classes=5"
    ):
        online()(LOGITS[:, :5], LABELS % 5)
    with pytest.raises(
        InputError, match=r"expected logits on meta, .*, got cpu; move the loss there with .to\(\)"
    ):
        online().to("meta")(LOGITS, LABELS)


def process(rank: int, store: str) -> None:
    torch.distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
    loss = online()
    loss(LOGITS[rank::2], LABELS[rank::2])
    loss.start_epoch(1, 9)
    torch.testing.assert_close(loss.table, rows_of(LOGITS, LABELS), rtol=1e-12, atol=1e-12)
    torch.distributed.destroy_process_group()


def test_two_processes_learn_from_what_both_saw(tmp_path):
    spawn(process, (str(tmp_path / "store"),), nprocs=2)
