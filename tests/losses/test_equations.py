"""Tests for the losses against their equations: values and gradients, one sample at a time."""

import numpy as np
import pytest
import torch

from maxsup_analysis.losses import LOSSES, Loss, build_loss
from tests.losses.oracle import GRADIENTS, VALUES
from tests.losses.samples import LABELS, LOGITS, SOFT, WEIGHT, B, K, one_hot

# What losses can be told beside their defaults; margins within the spread of the logits.
TOLD = [
    *((name, None, {}) for name in VALUES),
    ("ls", 0.7, {}),
    ("ls_wrong", 0.99, {}),
    ("maxsup", 0.7, {}),
    ("regularisation", 0.3, {"divisor": "classes"}),
    ("error_amplification", 0.3, {"divisor": "classes"}),
    ("ols", 0.3, {"initial_smoothing": 0.1}),
    ("zipf_ls", 2.0, {"power": 0.5}),
    ("confidence_penalty", 3.0, {}),
    ("logit_penalty", 0.5, {}),
    ("focal", None, {"gamma": 0.0}),
    ("focal", None, {"gamma": 0.5}),
    ("focal", None, {"gamma": 3.0}),
    ("poly1", -1.0, {}),
    ("logit_norm", None, {"temperature": 0.5}),
    ("mbls", 0.3, {"margin": 2.0}),
    ("mbls", 0.3, {"margin": 2.0, "over_classes": "sum"}),
    ("mbls", 0.3, {"margin": 0.0}),
    ("acls", 0.3, {"margin": 2.0, "lambda_1": 0.7, "lambda_2": 0.4}),
]
CASES = pytest.mark.parametrize(("name", "alpha", "told"), TOLD, ids=lambda value: str(value))


def built(name: str, alpha: float | None, told: dict) -> Loss:
    """In evaluation mode, where DisturbLabel draws nothing."""
    return build_loss(name, classes=K, alpha=alpha, arguments=told).double().eval()


def words(name: str, alpha: float | None, told: dict) -> dict:
    """What the reference is told: alpha too, where the loss has one."""
    default = LOSSES[name].alpha
    return told if default is None else {"alpha": default if alpha is None else alpha, **told}


def test_every_loss_has_an_equation_and_a_gradient():
    assert set(VALUES) == set(GRADIENTS) == set(LOSSES)


@CASES
@pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["labels", "soft"])
@pytest.mark.parametrize("weighted", [False, True])
def test_values(name: str, alpha: float | None, told: dict, targets: torch.Tensor, weighted: bool):
    loss, given = built(name, alpha, told), words(name, alpha, told)
    loss.weight = WEIGHT if weighted else None
    rows, w = (
        (SOFT if targets is SOFT else one_hot(LABELS)).numpy(),
        WEIGHT.numpy() if weighted else np.ones(K),
    )
    expected = [VALUES[name](LOGITS[i].numpy(), rows[i], w, **given) for i in range(B)]
    # Float32 tables of OLS, and the 1e-7 that LogitNorm adds to the norm.
    tolerance = {"ols": 3e-7, "logit_norm": 3e-6}.get(name, 1e-11)
    torch.testing.assert_close(
        loss.per_sample(LOGITS, targets), torch.tensor(expected), rtol=tolerance, atol=tolerance
    )


@CASES
def test_gradients(name: str, alpha: float | None, told: dict):
    loss, z = built(name, alpha, told), LOGITS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss.per_sample(z, LABELS).sum(), z)
    given = words(name, alpha, told)
    expected = [GRADIENTS[name](LOGITS[i].numpy(), int(LABELS[i]), **given) for i in range(B)]
    tolerance = {"ols": 3e-7, "logit_norm": 3e-6}.get(name, 1e-11)
    torch.testing.assert_close(gradient, torch.tensor(np.array(expected)), rtol=tolerance, atol=tolerance)


def test_the_samples_reach_every_branch():
    """Right and wrong predictions, counts of 0, probabilities on both sides of 0.2, hinges open and shut."""
    true, q = LOGITS.gather(1, LABELS[:, None]), LOGITS.softmax(1).gather(1, LABELS[:, None])
    for fact in (
        LOGITS.argmax(1) == LABELS,
        (true > LOGITS).sum(1) == 0,
        (true < LOGITS).sum(1) == 0,
        q < 0.2,
        LOGITS.amax(1) > 2,
        LOGITS.amax(1, keepdim=True) - LOGITS > 10,
    ):
        assert 0 < fact.sum() < fact.numel()


# ACLS stops a gradient, which differences do not know; its term looks at no target.
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "acls"])
def test_gradients_of_soft_targets(name: str):
    """Against differences of the loss itself, whose values are tested against the equations."""
    z = LOGITS[:6].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda logits: built(name, None, {}).per_sample(logits, SOFT[:6]), (z,), atol=1e-5
    )
