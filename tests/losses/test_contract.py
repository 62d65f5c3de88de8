"""Tests for what every loss keeps to."""

import copy
import pickle

import pytest
import torch
from torch import Tensor

from maxsup_analysis import losses
from maxsup_analysis.errors import InputError
from maxsup_analysis.losses import LOSSES, Loss, build_loss
from maxsup_analysis.losses.base import Reduction
from tests.losses.samples import LABELS, LOGITS, SOFT, WEIGHT, B, K, one_hot

EVERY = pytest.mark.parametrize("name", LOSSES)


def started(
    name: str, *, classes: int = K, weight: Tensor | None = None, reduction: Reduction = "mean"
) -> Loss:
    """In training mode, in its first epoch; DisturbLabel draws nothing."""
    loss = build_loss(name, classes=classes)
    loss.weight, loss.reduction = weight, reduction
    loss.start_epoch(0, 2)
    return loss.eval() if name == "disturb_label" else loss


def gradient(loss: Loss, logits: Tensor, targets: Tensor) -> Tensor:
    z = logits.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss.per_sample(z, targets).sum(), z)
    return found


@EVERY
def test_it_is_described(name: str):
    entry = LOSSES[name]
    assert entry.name == entry.module.name == name
    assert entry.title and entry.formula and entry.source and entry.summary.endswith(".")
    assert getattr(losses, entry.module.__name__) is entry.module
    assert len({other.title for other in LOSSES.values()}) == len(LOSSES)


@EVERY
def test_its_representation_makes_it_again(name: str):
    loss = started(name)
    assert repr(eval(repr(loss), dict(vars(losses)))) == repr(loss)


@EVERY
@pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["labels", "soft"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype, targets: Tensor):
    given, wide = LOGITS.to(dtype), torch.float64 if dtype == torch.float64 else torch.float32
    loss = started(name, weight=WEIGHT.float()).eval()
    values = loss.per_sample(given, targets)
    assert values.dtype == wide and values.shape == (B,) and values.isfinite().all()
    torch.testing.assert_close(values, loss.per_sample(given.to(wide), targets), rtol=0, atol=0)
    assert gradient(loss, given, targets).dtype == dtype


@EVERY
@pytest.mark.parametrize("targets", [LABELS, SOFT.float()], ids=["labels", "soft"])
def test_autocast_changes_nothing(name: str, targets: Tensor):
    loss = started(name, weight=WEIGHT.float()).eval()
    plain = loss(LOGITS.float(), targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(LOGITS.float(), targets), plain)
        half = torch.nn.functional.linear(LOGITS.float(), torch.eye(K))
        assert half.dtype == torch.bfloat16 and loss(half, targets).dtype == torch.float32
    torch.testing.assert_close(loss(half, targets), plain, rtol=0.05, atol=0.05)


@EVERY
@pytest.mark.parametrize("weighted", [False, True])
def test_a_one_hot_target_is_its_label(name: str, weighted: bool):
    loss = started(name, weight=WEIGHT if weighted else None).eval()
    hard, soft = loss.per_sample(LOGITS, LABELS), loss.per_sample(LOGITS, one_hot(LABELS))
    torch.testing.assert_close(hard, soft, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient(loss, LOGITS, LABELS), gradient(loss, LOGITS, one_hot(LABELS)))


@EVERY
@pytest.mark.parametrize("weighted", [False, True])
def test_reductions(name: str, weighted: bool):
    """The mean divides by the weights of the labels, and by the number of samples where targets are soft."""
    weight = WEIGHT if weighted else None
    targets = LABELS.where(torch.arange(B) % 5 > 0, -100)
    kept = targets >= 0
    for given, size in (
        (targets, (WEIGHT[targets[kept]].sum() if weighted else kept.sum()).item()),
        (SOFT, B),
    ):
        values = started(name, weight=weight, reduction="none").eval()(LOGITS, given)
        total = started(name, weight=weight, reduction="sum").eval()(LOGITS, given)
        mean = started(name, weight=weight).eval()(LOGITS, given)
        torch.testing.assert_close(values.sum(), total)
        torch.testing.assert_close(mean, total / size)


@EVERY
def test_a_weight_of_every_class_is_a_factor(name: str):
    plain, doubled = (started(name, weight=weight).eval() for weight in (None, torch.full((K,), 2.0)))
    for targets in (LABELS, SOFT):
        torch.testing.assert_close(doubled.per_sample(LOGITS, targets), 2 * plain.per_sample(LOGITS, targets))
    torch.testing.assert_close(doubled(LOGITS, LABELS), plain(LOGITS, LABELS))


@EVERY
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf, -torch.inf, 1e300])
def test_what_is_ignored_touches_nothing(name: str, rubbish: float):
    loss, kept = started(name), torch.arange(B) % 5 > 0
    logits, targets = LOGITS.clone(), LABELS.where(kept, -100)
    logits[~kept] = rubbish
    values = loss.eval().per_sample(logits, targets)
    torch.testing.assert_close(values[kept], loss.per_sample(LOGITS[kept], LABELS[kept]))
    assert not values[~kept].any()
    torch.testing.assert_close(
        gradient(loss, logits, targets)[kept], gradient(loss, LOGITS[kept], LABELS[kept])
    )
    assert not gradient(loss, logits, targets)[~kept].any()


@EVERY
def test_positions_of_an_image_are_samples(name: str):
    loss, images = started(name).eval(), LOGITS.reshape(4, 3, 4, K).movedim(3, 1)
    for targets, shaped in (
        (LABELS, LABELS.reshape(4, 3, 4)),
        (SOFT, SOFT.reshape(4, 3, 4, K).movedim(3, 1)),
    ):
        flat = loss.per_sample(LOGITS, targets)
        assert torch.equal(loss.per_sample(images, shaped), flat.reshape(4, 3, 4))
        torch.testing.assert_close(loss(images, shaped), loss(LOGITS, targets))
    assert torch.equal(loss(LOGITS[0], LABELS[0]), loss.per_sample(LOGITS[:1], LABELS[:1])[0])


@EVERY
def test_samples_do_not_see_each_other(name: str):
    loss = started(name).eval()
    alone = torch.cat([loss.per_sample(LOGITS[i : i + 1], LABELS[i : i + 1]) for i in range(B)])
    torch.testing.assert_close(loss.per_sample(LOGITS, LABELS), alone, rtol=1e-13, atol=1e-13)


@EVERY
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_no_sample_or_none_that_counts(name: str, reduction: Reduction):
    """As in torch: the mean of nothing is NaN, its sum is 0."""
    loss = started(name, reduction=reduction)
    for logits, targets in (
        (LOGITS[:0], LABELS[:0]),
        (LOGITS[:0], SOFT[:0]),
        (LOGITS, torch.full_like(LABELS, -100)),
    ):
        value = loss(logits.clone().requires_grad_(), targets)
        value.sum().backward()
        assert value.isnan().all() if reduction == "mean" else not value.any()


@EVERY
@pytest.mark.parametrize("classes", [1, 2])
def test_few_classes(name: str, classes: int):
    loss, labels = started(name, classes=classes), LABELS % classes
    for targets in (labels, SOFT[:, :classes].softmax(1)):
        assert loss.per_sample(LOGITS[:, :classes], targets).isfinite().all()
        assert gradient(loss, LOGITS[:, :classes], targets).isfinite().all()
    if classes == 1 and name not in ("logit_penalty", "acls"):
        assert not loss.per_sample(LOGITS[:, :1], labels).any()


@EVERY
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e3, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ties_and_extreme_logits_have_finite_values_and_gradients(
    name: str, scale: float, dtype: torch.dtype
):
    logits = (scale * LOGITS.sign()).to(dtype)
    for targets in (LABELS, SOFT):
        loss = started(name)
        assert loss.per_sample(logits, targets).isfinite().all()
        assert gradient(loss, logits, targets).isfinite().all()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_is_flat_where_the_probability_rounds_to_one(gamma: float):
    loss = build_loss("focal", classes=3, arguments={"gamma": gamma})
    logits = torch.tensor([[200.0, 0.0, 0.0]])
    assert loss(logits, torch.tensor([0])) == 0
    assert not gradient(loss, logits, torch.tensor([0])).any()


@EVERY
def test_infinite_logits_pass_through_unclipped(name: str):
    """NaN or an infinity is for the training loop to see; a number would hide that the network diverged."""
    for bad in (torch.nan, torch.inf):
        logits = LOGITS.clone()
        logits[:, 0] = bad
        assert not started(name).per_sample(logits, LABELS).isfinite().any()


@EVERY
def test_a_constant_added_to_the_logits(name: str):
    loss = started(name).eval()
    moved, still = loss.per_sample(LOGITS + 3, LABELS), loss.per_sample(LOGITS, LABELS)
    sees_it = name in ("logit_penalty", "logit_norm", "acls")
    assert torch.allclose(moved, still, rtol=1e-9, atol=1e-9) != sees_it


@EVERY
def test_it_is_copied_pickled_and_resumed(name: str):
    loss = started(name, weight=WEIGHT)
    loss(LOGITS, LABELS)
    loss.start_epoch(1, 2)
    expected = loss.eval()(LOGITS, SOFT)
    fresh = started(name, weight=torch.ones(K).double()).eval()
    fresh.load_state_dict(loss.state_dict())
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), fresh):
        assert torch.equal(other(LOGITS, SOFT), expected)


@EVERY
def test_its_state_is_its_buffers_and_nothing_where_it_learns_nothing(name: str):
    loss = started(name)
    assert not list(loss.parameters())
    assert set(loss.state_dict()) == ({"table", "sums", "counts", "epoch"} if name == "ols" else set())


@EVERY
def test_wrong_shapes_and_labels_are_said(name: str):
    loss = started(name)
    for logits, targets, words in (
        (
            LOGITS,
            LABELS[:-1],
            r"expected integer labels of shape \(48,\) or float weights of shape \(48, 7\)",
        ),
        (LOGITS, LABELS.float(), r"got torch.float32 of shape \(48,\); .long\(\) makes labels"),
        (LOGITS, one_hot(LABELS).long(), r"got torch.int64 of shape \(48, 7\); .long\(\) makes labels"),
        (LOGITS, LABELS + 5, "expected labels from 0 to 6, or -100 for what is ignored, got"),
        (LOGITS, LABELS - 1, "expected labels from 0 to 6, or -100 for what is ignored, got -1"),
        (LOGITS.long(), LABELS, "expected logits as floats of shape"),
        (LOGITS[:, :0], LABELS, "expected logits as floats of shape"),
    ):
        with pytest.raises(InputError, match=words):
            loss(logits, targets)
    with pytest.raises(InputError, match=r"expected a class weight for each of 7 classes, got shape \(3,\)"):
        started(name, weight=torch.ones(3))(LOGITS, LABELS)


@EVERY
def test_arguments_have_names(name: str):
    """CrossEntropyLoss(weight) by position would set alpha in silence."""
    with pytest.raises(TypeError):
        LOSSES[name].module(0.1)  # pyright: ignore[reportCallIssue]
