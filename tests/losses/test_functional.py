"""Tests for the losses as functions: the identities of the MaxSup paper, for labels and for soft targets."""

import pytest
import torch

from maxsup_analysis.losses import (
    cross_entropy,
    error_amplification,
    label_smoothing,
    max_suppression,
    regularisation,
    true_logits,
)
from tests.losses.samples import LABELS, LOGITS, SOFT

TARGETS = pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["labels", "soft"])
ALPHAS = pytest.mark.parametrize("alpha", [0.0, 0.1, 0.7])


@TARGETS
@ALPHAS
def test_label_smoothing_is_torchs(targets: torch.Tensor, alpha: float):
    expected = torch.nn.functional.cross_entropy(LOGITS, targets, label_smoothing=alpha, reduction="none")
    torch.testing.assert_close(label_smoothing(LOGITS, targets, alpha), expected, rtol=1e-12, atol=1e-12)


@TARGETS
@ALPHAS
def test_label_smoothing_is_cross_entropy_of_the_smoothed_target(targets: torch.Tensor, alpha: float):
    """Definition 3.1, written out."""
    hard = targets if targets.is_floating_point() else torch.nn.functional.one_hot(targets, 7).double()
    smoothed = (1 - alpha) * hard + alpha / 7
    expected = -(smoothed * LOGITS.log_softmax(1)).sum(1)
    torch.testing.assert_close(label_smoothing(LOGITS, targets, alpha), expected, rtol=1e-12, atol=1e-12)


@TARGETS
def test_the_two_halves_add_up(targets: torch.Tensor):
    halves = regularisation(LOGITS, targets) + error_amplification(LOGITS, targets)
    torch.testing.assert_close(halves, true_logits(LOGITS, targets) - LOGITS.mean(1), rtol=1e-12, atol=1e-12)
    assert (regularisation(LOGITS, targets) >= 0).all() and (error_amplification(LOGITS, targets) <= 0).all()


def test_where_the_prediction_is_right_maxsup_is_label_smoothing():
    right = LOGITS.argmax(1) == LABELS
    assert 0 < right.sum() < len(right)
    ls, ms = label_smoothing(LOGITS, LABELS, 0.1), max_suppression(LOGITS, LABELS, 0.1)
    torch.testing.assert_close(ls[right], ms[right], rtol=1e-12, atol=1e-12)
    assert (ms[~right] > ls[~right]).all()
    assert torch.equal(error_amplification(LOGITS, LABELS) == 0, right)


@TARGETS
def test_maxsups_gradient_is_equation_9(targets: torch.Tensor):
    alpha, z = 0.3, LOGITS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(max_suppression(z, targets, alpha).sum(), z)
    hard = targets if targets.is_floating_point() else torch.nn.functional.one_hot(targets, 7).double()
    top = torch.nn.functional.one_hot(LOGITS.argmax(1), 7).double()
    expected = LOGITS.softmax(1) - hard - alpha / 7 + alpha * top
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


def test_tied_logits_give_the_gradient_to_one_of_them():
    z = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    term = max_suppression(z, torch.tensor([1]), 1.0) - cross_entropy(z, torch.tensor([1]))
    (gradient,) = torch.autograd.grad(term.sum(), z)
    assert gradient.tolist() == [[0.75, -0.25, -0.25, -0.25]]


def test_a_tied_logit_is_in_neither_half():
    """The sums run over m with z_m < z_gt and n with z_n > z_gt, strictly."""
    z = torch.tensor([[2.0, 2.0, -1.0, 4.0]], dtype=torch.float64, requires_grad=True)
    for half, expected in ((regularisation, [0.25, 0, -0.25, 0]), (error_amplification, [0.25, 0, 0, -0.25])):
        (gradient,) = torch.autograd.grad(half(z, torch.tensor([0])).sum(), z)
        assert gradient.tolist() == [expected]
