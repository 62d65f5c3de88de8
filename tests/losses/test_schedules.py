"""Tests for the strength by epoch."""

import pytest
import torch

from maxsup_analysis.errors import InputError
from maxsup_analysis.losses import LOSSES, LabelSmoothingLoss, MaxSupLoss, build_loss, linear_schedule
from tests.losses.samples import LABELS, LOGITS

WITH_STRENGTH = [name for name, entry in LOSSES.items() if entry.alpha is not None]


def test_the_schedule_reaches_both_ends():
    assert linear_schedule(0.1, 0.2, epoch=0, epochs=90) == 0.1
    assert linear_schedule(0.1, 0.2, epoch=89, epochs=90) == pytest.approx(0.2)
    assert linear_schedule(0.1, 0.1, epoch=5, epochs=90) == 0.1
    assert linear_schedule(0.1, 0.2, epoch=0, epochs=1) == 0.1
    with pytest.raises(InputError, match="expected an epoch from 0 to 89, got 90; epochs count from 0"):
        linear_schedule(0.1, 0.2, epoch=90, epochs=90)


@pytest.mark.parametrize("name", WITH_STRENGTH)
@pytest.mark.parametrize(("begin", "end"), [(0.1, 0.2), (0.0, 0.1), (0.3, 0.0)])
def test_a_scheduled_loss_is_the_loss_of_the_epochs_strength(name: str, begin: float, end: float):
    scheduled = build_loss(name, classes=7, alpha=begin, alpha_end=end).eval()
    for epoch, strength in enumerate([begin, (begin + end) / 2, end]):
        scheduled.start_epoch(epoch, 3)
        constant = build_loss(name, classes=7, alpha=strength).eval()
        assert scheduled.alpha == pytest.approx(strength)
        torch.testing.assert_close(scheduled(LOGITS, LABELS), constant(LOGITS, LABELS))


def test_the_end_alone_begins_at_the_default():
    loss = MaxSupLoss(alpha_end=0.2)
    loss.start_epoch(1, 3)
    assert loss.alpha == pytest.approx(0.15)


def test_a_constant_strength_stays_what_it_was_set_to():
    loss = MaxSupLoss(alpha=0.1)
    loss.alpha = 0.4
    loss.start_epoch(5, 9)
    assert loss.alpha == 0.4


def test_a_schedule_that_nobody_drives_is_no_schedule():
    """The authors' long-tailed code never calls set_epoch, and trains with the first strength throughout."""
    loss = LabelSmoothingLoss(alpha=0.1, alpha_end=0.2)
    with pytest.raises(InputError) as error:
        loss(LOGITS, LABELS)
    assert str(error.value) == (
        "the loss 'ls' changes from epoch to epoch and was told of none; "
        "call loss.start_epoch(epoch, epochs) as each begins, epoch from 0"
    )
    assert loss.eval()(LOGITS, LABELS).isfinite()
    LabelSmoothingLoss(alpha=0.1, alpha_end=0.1)(LOGITS, LABELS)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("epoch", [-1, 3])
def test_epochs_count_from_0(name: str, epoch: int):
    with pytest.raises(InputError, match="epochs count from 0"):
        build_loss(name, classes=7).start_epoch(epoch, 3)
