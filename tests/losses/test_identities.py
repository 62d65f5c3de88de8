"""Tests for what ties the losses to one another, and to other people's implementations."""

import pytest
import torch
from timm.loss.cross_entropy import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.loss.poly_loss import PolyCrossEntropy
from torchvision.ops import sigmoid_focal_loss

from maxsup_analysis.losses import (
    ConfidencePenaltyLoss,
    CosineSoftmaxLoss,
    CrossEntropyLoss,
    DisturbLabelLoss,
    ErrorAmplificationLoss,
    ErrorAmplificationMaxLoss,
    FocalLoss,
    LabelSmoothingLoss,
    LogitNormLoss,
    Loss,
    MarginLabelSmoothingLoss,
    MaxSupLoss,
    OnlineLabelSmoothingLoss,
    Poly1Loss,
    RegularisationLoss,
    SampleDependentFocalLoss,
    WrongClassSmoothingLoss,
    ZipfLabelSmoothingLoss,
)
from tests.losses.samples import LABELS, LOGITS, SOFT, WEIGHT, K, one_hot

TARGETS = pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["labels", "soft"])
WEIGHTS = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])
CE = CrossEntropyLoss().per_sample(LOGITS, LABELS)


def same(first: torch.Tensor, second: torch.Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(first, second, rtol=tolerance, atol=tolerance)


def added(loss: Loss, targets: torch.Tensor) -> torch.Tensor:
    """What a loss adds to cross entropy."""
    return loss.per_sample(LOGITS, targets) - CrossEntropyLoss(weight=loss.weight).per_sample(LOGITS, targets)


@TARGETS
def test_label_smoothing_adds_alpha_times_z_gt_minus_the_mean(targets: torch.Tensor):
    """Theorem 3.3, and equation 27 for mixed targets."""
    rows = targets if targets is SOFT else one_hot(LABELS)
    same(added(LabelSmoothingLoss(alpha=0.3), targets), 0.3 * ((rows * LOGITS).sum(1) - LOGITS.mean(1)))


@TARGETS
def test_the_halves_divided_by_the_classes_add_up_to_label_smoothing(targets: torch.Tensor):
    below = added(RegularisationLoss(alpha=0.3, divisor="classes"), targets)
    above = added(ErrorAmplificationLoss(alpha=0.3, divisor="classes"), targets)
    same(below + above, added(LabelSmoothingLoss(alpha=0.3), targets))


@TARGETS
@WEIGHTS
def test_maxsup_minus_the_largest_error_is_label_smoothing(
    targets: torch.Tensor, weight: torch.Tensor | None
):
    """(z_max - mean z) + (z_gt - z_max) = z_gt - mean z."""
    rows = targets if targets is SOFT else one_hot(LABELS)
    of_sample = 1 if weight is None else (rows * weight).sum(1)
    expected = 0.3 * of_sample * ((rows * LOGITS).sum(1) - LOGITS.mean(1))
    maxsup = added(MaxSupLoss(alpha=0.3, weight=weight), targets)
    same(maxsup + added(ErrorAmplificationMaxLoss(alpha=0.3, weight=weight), targets), expected)


def test_maxsup_is_cross_entropy_with_a_target_that_depends_on_the_logits():
    """Y + alpha/K - alpha 1[argmax]: sums to one, has a negative entry where the prediction is wrong."""
    target = one_hot(LABELS) + 0.3 / K - 0.3 * one_hot(LOGITS.argmax(1))
    assert (target < 0).any() and torch.allclose(target.sum(1), torch.ones(len(LABELS)).double())
    z = LOGITS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(MaxSupLoss(alpha=0.3, reduction="sum")(z, LABELS), z)
    same(gradient, LOGITS.softmax(1) - target)


@TARGETS
@WEIGHTS
def test_mbls_without_a_margin_is_maxsup(targets: torch.Tensor, weight: torch.Tensor | None):
    maxsup = MaxSupLoss(alpha=0.3, weight=weight).per_sample(LOGITS, targets)
    mean = MarginLabelSmoothingLoss(alpha=0.3, margin=0.0, weight=weight)
    total = MarginLabelSmoothingLoss(alpha=0.3 / K, margin=0.0, over_classes="sum", weight=weight)
    same(mean.per_sample(LOGITS, targets), maxsup)
    same(total.per_sample(LOGITS, targets), maxsup)


@TARGETS
@WEIGHTS
def test_smoothing_of_the_wrong_classes_is_more_of_torchs(targets: torch.Tensor, weight: torch.Tensor | None):
    wrong, torchs = (
        WrongClassSmoothingLoss(alpha=0.3, weight=weight),
        LabelSmoothingLoss(alpha=0.3 * K / (K - 1), weight=weight),
    )
    same(wrong.per_sample(LOGITS, targets), torchs.per_sample(LOGITS, targets))


@TARGETS
@WEIGHTS
def test_without_strength_all_that_add_are_cross_entropy(targets: torch.Tensor, weight: torch.Tensor | None):
    ce = CrossEntropyLoss(weight=weight).per_sample(LOGITS, targets)
    for loss in (
        FocalLoss(gamma=0.0, weight=weight),
        Poly1Loss(alpha=0.0, weight=weight),
        ConfidencePenaltyLoss(alpha=0.0, weight=weight),
        ZipfLabelSmoothingLoss(alpha=0.0, weight=weight),
        OnlineLabelSmoothingLoss(classes=K, alpha=0.0, weight=weight).eval(),
        DisturbLabelLoss(alpha=0.0, weight=weight),
        CosineSoftmaxLoss(weight=weight),
    ):
        same(loss.per_sample(LOGITS, targets), ce)


@TARGETS
@WEIGHTS
def test_online_smoothing_with_the_first_table_is_label_smoothing(
    targets: torch.Tensor, weight: torch.Tensor | None
):
    online = OnlineLabelSmoothingLoss(classes=K, alpha=0.3, weight=weight).double().eval()
    ls = LabelSmoothingLoss(alpha=0.3, weight=weight)
    same(online.per_sample(LOGITS, targets), ls.per_sample(LOGITS, targets), 1e-6)


def test_sample_dependent_focal_is_one_of_two():
    q = (-CE).exp()
    for gamma, samples in ((5.0, q < 0.2), (3.0, q >= 0.2)):
        expected = FocalLoss(gamma=gamma).per_sample(LOGITS, LABELS)[samples]
        same(SampleDependentFocalLoss().per_sample(LOGITS, LABELS)[samples], expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_of_two_classes_is_torchvisions(gamma: float):
    labels = LABELS % 2
    theirs = sigmoid_focal_loss(LOGITS[:, 1] - LOGITS[:, 0], labels.double(), alpha=-1, gamma=gamma)
    same(FocalLoss(gamma=gamma).per_sample(LOGITS[:, :2], labels), theirs)


def test_poly_1_and_label_smoothing_are_timms():
    same(
        Poly1Loss(alpha=1.5)(LOGITS.float(), LABELS),
        PolyCrossEntropy(epsilon=1.5)(LOGITS.float(), LABELS),
        1e-6,
    )
    same(LabelSmoothingLoss(alpha=0.2)(LOGITS, LABELS), LabelSmoothingCrossEntropy(0.2)(LOGITS, LABELS))
    same(CrossEntropyLoss()(LOGITS, SOFT), SoftTargetCrossEntropy()(LOGITS, SOFT))


@pytest.mark.parametrize("scale", [1e-2, 10.0, 1e4])
def test_logit_norm_does_not_see_the_scale(scale: float):
    loss = LogitNormLoss(temperature=0.5)
    same(loss.per_sample(scale * LOGITS, LABELS), loss.per_sample(LOGITS, LABELS), 1e-5)


def test_logit_norm_of_nothing_is_uniform():
    assert LogitNormLoss()(torch.zeros(1, 4), torch.tensor([1])).exp().item() == pytest.approx(4)


def test_zipfs_term_vanishes_where_the_wrong_classes_follow_the_law():
    z = torch.tensor([[5.0, 0.0, -torch.tensor(2.0).log(), -torch.tensor(3.0).log()]])
    ce = CrossEntropyLoss().per_sample(z, torch.tensor([0]))
    for alpha in (0.1, 10.0):
        same(ZipfLabelSmoothingLoss(alpha=alpha).per_sample(z, torch.tensor([0])), ce, 1e-6)


def test_zipfs_ties_share_the_best_rank():
    """Ranks 1, 1, 3 of the wrong classes: the law is 3/7, 3/7, 1/7."""
    z = torch.tensor([[9.0, 2.0, 2.0, 1.0]], dtype=torch.float64)
    law, q = torch.tensor([3, 3, 1], dtype=torch.float64) / 7, z[0, 1:].softmax(0)
    expected = (law * (law / q).log()).sum()
    loss, ce = ZipfLabelSmoothingLoss(alpha=1.0), CrossEntropyLoss()
    same(loss(z, torch.tensor([0])) - ce(z, torch.tensor([0])), expected)


def test_confidence_penalty_is_least_for_the_uniform_softmax():
    uniform = ConfidencePenaltyLoss(alpha=0.5)(torch.zeros(1, 4), torch.tensor([2]))
    assert uniform.item() == pytest.approx(0.5 * torch.tensor(4.0).log().item())


@WEIGHTS
@TARGETS
def test_the_expected_disturbed_loss_is_label_smoothing(targets: torch.Tensor, weight: torch.Tensor | None):
    """The mean over 20,000 copies is within five of its standard errors of label smoothing."""
    copies, alpha, sample = 20_000, 0.4, 3
    logits, target = LOGITS[sample].expand(copies, K), targets[sample].expand(copies, *targets[sample].shape)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        drawn = DisturbLabelLoss(alpha=alpha, weight=weight).per_sample(logits, target)
    expected = LabelSmoothingLoss(alpha=alpha, weight=weight).per_sample(logits[:1], target[:1])
    assert len(drawn.unique()) == K + (targets is SOFT)
    assert abs(drawn.mean() - expected.item()) < 5 * drawn.std() / copies**0.5


def test_labels_are_drawn_in_training_mode_only_and_by_the_global_generator():
    loss = DisturbLabelLoss(alpha=0.9)
    with torch.random.fork_rng():
        runs = []
        for _ in range(2):
            torch.manual_seed(7)
            runs.append(loss.per_sample(LOGITS, LABELS))
    assert torch.equal(*runs) and not torch.equal(runs[0], CE)
    same(loss.eval().per_sample(LOGITS, LABELS), CE)
