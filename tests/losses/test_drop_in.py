"""Tests for cross entropy and label smoothing in the place of torch.nn.CrossEntropyLoss: the same numbers."""

import pytest
import torch
from torch import Tensor, nn

from maxsup_analysis.losses import CrossEntropyLoss, LabelSmoothingLoss, Loss
from tests.losses.samples import LABELS, LOGITS, SOFT, WEIGHT, B, K

GENERATOR = torch.Generator().manual_seed(1)
SOME_IGNORED = LABELS.where(torch.arange(B) % 5 > 0, -100)
IMAGES = torch.randn(3, K, 4, 5, generator=GENERATOR, dtype=torch.float64)
POSITIONS = torch.randint(K, (3, 4, 5), generator=GENERATOR)
CASES = {
    "labels": (LOGITS, LABELS, -100),
    "soft": (LOGITS, SOFT, -100),
    "some ignored": (LOGITS, SOME_IGNORED, -100),
    "a class ignored": (LOGITS, LABELS, 2),
    "all ignored": (LOGITS, torch.full_like(LABELS, 2), 2),
    "images": (IMAGES, POSITIONS.where(POSITIONS > 0, 255), 255),
    "images, soft": (IMAGES, IMAGES.flip(0).softmax(1), -100),
    "one sample": (LOGITS[0], LABELS[0], -100),
    "one sample, soft": (LOGITS[0], SOFT[0], -100),
    "one sample, ignored": (LOGITS[0], LABELS[0], int(LABELS[0])),
    "no sample": (LOGITS[:0], LABELS[:0], -100),
    "no sample, soft": (LOGITS[:0], SOFT[:0], -100),
    "one class": (LOGITS[:, :1], torch.zeros(B).long(), -100),
    "huge logits": (1e300 * LOGITS, LABELS, -100),
}


def pair(
    alpha: float, weight: Tensor | None, reduction: str, ignore: int
) -> tuple[Loss, nn.CrossEntropyLoss]:
    common = {"weight": weight, "reduction": reduction, "ignore_index": ignore}
    ours = LabelSmoothingLoss(alpha=alpha, **common) if alpha else CrossEntropyLoss(**common)
    return ours, nn.CrossEntropyLoss(**common, label_smoothing=alpha)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("weighted", [False, True])
def test_values_and_gradients_are_torchs(case: str, reduction: str, alpha: float, weighted: bool):
    logits, targets, ignore = CASES[case]
    weight = WEIGHT[: logits.shape[logits.ndim > 1]] if weighted else None
    results = []
    for loss in pair(alpha, weight, reduction, ignore):
        z = logits.clone().requires_grad_()
        value = loss(z, targets)
        results.append((value, *torch.autograd.grad(value.sum(), z)))
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12, equal_nan=True)
    expected_nan = reduction == "mean" and (
        "no sample" in case or case in ("all ignored", "one sample, ignored")
    )
    assert bool(results[0][0].isnan().any()) == expected_nan


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_the_state_is_torchs(weight: Tensor | None):
    ours, theirs = pair(0.1, weight, "mean", -100)
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())


def test_a_masked_class_counts_as_in_torch():
    """A logit of -inf on a class that is not the label: finite for CE, infinite where the class has a target."""
    logits = LOGITS.clone()
    logits[torch.arange(B), (LABELS + 1) % K] = -torch.inf
    for alpha in (0.0, 0.1):
        ours, theirs = pair(alpha, None, "none", -100)
        assert torch.equal(ours(logits, LABELS), theirs(logits, LABELS))
        assert bool(ours(logits, LABELS).isinf().all()) == (alpha > 0)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_labels_of_any_integer_type(weight: Tensor | None):
    for ours in (CrossEntropyLoss(weight=weight), LabelSmoothingLoss(weight=weight, ignore_index=2)):
        for dtype in (torch.uint8, torch.int16, torch.int32):
            assert torch.equal(ours(LOGITS, LABELS.to(dtype)), ours(LOGITS, LABELS))
