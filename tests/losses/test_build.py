"""Tests for losses from a name and plain values."""

from typing import get_args

import numpy as np
import pytest

from maxsup_analysis.errors import InputError
from maxsup_analysis.losses import LOSSES, MarginLabelSmoothingLoss, MaxSupLoss, build_loss, validate_loss
from maxsup_analysis.losses.base import Reduction
from maxsup_analysis.losses.signature import checked_choice

NAMES = (
    "ce ls ls_wrong maxsup regularisation error_amplification error_amplification_max ols zipf_ls "
    "confidence_penalty logit_penalty focal flsd53 logit_norm cosine mbls acls poly1 disturb_label"
)
MISTAKES = [
    (("max_sup", None, None, {}), "no loss is called 'max_sup'; did you mean 'maxsup'? There are: ce, ls, "),
    (
        ("maxsup", 1.0, None, {}),
        "expected alpha of the loss 'maxsup' from 0 to below 1, got 1.0; its default is 0.1",
    ),
    (
        ("ls", 0.1, -0.1, {}),
        "expected alpha_end of the loss 'ls' from 0 to below 1, got -0.1; its default is None",
    ),
    (
        ("ls", float("nan"), None, {}),
        "expected alpha of the loss 'ls' from 0 to below 1, got nan; its default is 0.1",
    ),
    (
        ("logit_penalty", float("inf"), None, {}),
        "expected alpha of the loss 'logit_penalty' of 0 or more, got inf; its default is 0.002",
    ),
    (
        ("poly1", -1.5, None, {}),
        "expected alpha of the loss 'poly1' of -1 or more, got -1.5; its default is 1.0",
    ),
    (
        ("focal", 0.25, None, {}),
        "expected no alpha for the loss 'focal', which has no strength, got 0.25; it takes gamma",
    ),
    (
        ("flsd53", None, 0.2, {}),
        "expected no alpha_end for the loss 'flsd53', which has no strength, got 0.2; leave it out",
    ),
    (
        ("focal", None, None, {"gama": 2.0}),
        "the loss 'focal' has no argument 'gama'; did you mean 'gamma'? It takes: gamma",
    ),
    (("ls", None, None, {"weight": [1.0]}), "the loss 'ls' has no argument 'weight'; It takes none"),
    (
        ("focal", None, None, {"gamma": "two"}),
        "expected gamma of the loss 'focal' as a number, got 'two'; its default is 2.0",
    ),
    (
        ("focal", None, None, {"gamma": True}),
        "expected gamma of the loss 'focal' as a number, got True; its default is 2.0",
    ),
    (
        ("focal", None, None, {"gamma": -1}),
        "expected gamma of the loss 'focal' of 0 or more, got -1.0; its default is 2.0",
    ),
    (
        ("logit_norm", None, None, {"temperature": 0}),
        "expected temperature of the loss 'logit_norm' above 0, got 0.0; its default is 0.04",
    ),
    (
        ("mbls", None, None, {"over_classes": "max"}),
        "expected over_classes of the loss 'mbls' to be one of mean, sum, got 'max'; its default is mean",
    ),
    (
        ("regularisation", None, None, {"divisor": 7}),
        "expected divisor of the loss 'regularisation' to be one of counts, classes, got 7; its default is counts",
    ),
    (
        ("maxsup", None, None, {"alpha": 0.2}),
        "expected alpha beside the arguments of the loss 'maxsup', got it among them; move it out",
    ),
    (
        ("ols", None, None, {"initial_smoothing": 1}),
        "expected initial_smoothing of the loss 'ols' from 0 to below 1, got 1.0; its default is None",
    ),
]


def test_the_losses_are_all_there_in_their_order():
    assert " ".join(LOSSES) == NAMES


@pytest.mark.parametrize(
    ("asked", "sentence"), MISTAKES, ids=lambda value: value[:60] if isinstance(value, str) else ""
)
def test_mistakes_are_one_line(asked: tuple, sentence: str):
    name, alpha, alpha_end, arguments = asked
    with pytest.raises(InputError) as validating:
        validate_loss(name, alpha, alpha_end, arguments)
    with pytest.raises(InputError) as building:
        build_loss(name, classes=10, alpha=alpha, alpha_end=alpha_end, arguments=arguments)
    found = str(validating.value)
    assert found == str(building.value) and "\n" not in found
    assert found == sentence if not sentence.endswith(", ") else found.startswith(sentence)


@pytest.mark.parametrize("name", LOSSES)
def test_every_argument_can_be_told_what_its_default_is(name: str):
    entry = LOSSES[name]
    told = {argument: value for argument, value in entry.arguments.items() if value is not None}
    validate_loss(name, entry.alpha, entry.alpha, told)
    loss = build_loss(name, classes=4, alpha=entry.alpha, arguments=told)
    assert repr(loss) == repr(build_loss(name, classes=4)) and loss.alpha == entry.alpha


def test_whole_numbers_are_numbers():
    loss = build_loss("mbls", classes=4, alpha=1, alpha_end=0, arguments={"margin": np.float32(6)})
    assert isinstance(loss, MarginLabelSmoothingLoss)
    assert (loss.alpha, loss.alpha_end, loss.margin) == (1.0, 0.0, 6.0)


def test_cross_entropy_stands_in_a_grid_of_strengths():
    assert build_loss("ce", classes=4, alpha=0.1, alpha_end=0.2).alpha is None


def test_a_number_of_classes_that_cannot_be():
    with pytest.raises(
        InputError, match="expected 1 class or more for the loss 'ols', got 0; pass classes=K"
    ):
        build_loss("ols", classes=0)


def test_a_reduction_that_there_is_not():
    with pytest.raises(
        InputError, match="to be one of mean, sum, none, got 'batchmean'; its default is mean"
    ):
        checked_choice(MaxSupLoss, "reduction", "batchmean", get_args(Reduction))


def test_the_head_that_a_loss_needs():
    assert {name: entry.head for name, entry in LOSSES.items() if entry.head} == {"cosine": "cosine"}
