"""Which plans cannot be meant, and why."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from types import NoneType
from typing import Literal, get_args, get_origin, get_type_hints

from maxsup_analysis.losses import LOSSES, validate_loss
from maxsup_analysis.training.models import require_model
from maxsup_analysis.training.plan import TrainingPlan


@dataclass(frozen=True)
class Problem:
    """A field, what was expected of it, and what came."""

    field: str
    expected: str
    got: object

    def sentence(self, name: str) -> str:
        """In one line, the field called by what the user knows it by."""
        return f"expected {name} {self.expected}, got {self.got!r}"


def _number(test: Callable[[float], bool], value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return (isinstance(value, int) or math.isfinite(value)) and test(value)


def _whole(test: Callable[[float], bool], value: object) -> bool:
    return isinstance(value, int) and _number(test, value)


# What a value has to be, in words, and the test of it.
RANGES: dict[str, tuple[str, Callable[[object], bool]]] = {
    **dict.fromkeys(
        ("epochs", "batch_size", "accumulate", "threads", "step_epochs"),
        ("above 0", partial(_whole, lambda value: value > 0)),
    ),
    **dict.fromkeys(
        ("train_samples", "samples_per_class", "image_size", "keep_every"),
        ("above 0", partial(_whole, lambda value: value > 0)),
    ),
    **dict.fromkeys(
        ("crop_padding", "warmup_epochs", "workers", "seed"),
        ("of 0 or more", partial(_whole, lambda value: value >= 0)),
    ),
    **dict.fromkeys(
        ("learning_rate", "clip_norm", "step_factor"),
        ("above 0", partial(_number, lambda value: value > 0)),
    ),
    **dict.fromkeys(
        ("weight_decay", "mixup", "cutmix"),
        ("of 0 or more", partial(_number, lambda value: value >= 0)),
    ),
    **dict.fromkeys(
        ("label_noise", "erasing"),
        ("from 0 to 1", partial(_number, lambda value: 0 <= value <= 1)),
    ),
    "momentum": ("from 0 to below 1", partial(_number, lambda value: 0 <= value < 1)),
    "ema": ("above 0 and below 1", partial(_number, lambda value: 0 < value < 1)),
    "imbalance": ("of 1 or more", partial(_number, lambda value: value >= 1)),
}

# Numbers that the machine cannot have, or torch not take: threads, processes, sides of images, counts.
LIMITS = {
    "threads": 2**10,
    "workers": 2**10,
    "image_size": 2**14,
    "crop_padding": 2**14,
    **dict.fromkeys(("epochs", "warmup_epochs", "step_epochs", "keep_every"), 2**31),
    **dict.fromkeys(("batch_size", "accumulate", "train_samples", "samples_per_class"), 2**31),
    "seed": 2**63,
}


def problems(plan: TrainingPlan) -> Iterator[Problem]:
    """Every value that cannot be meant; what it takes data or a device to know is told when those are opened.

    Raises InputError for what the tables of losses and models have to say of a name or an argument.
    """
    yield from _out_of_range(plan)
    yield from _not_among(plan)
    yield from _at_odds(plan)
    yield from _not_plain(plan)
    yield from _without_strength(plan)
    validate_loss(plan.loss, plan.alpha, plan.alpha_end, plan.loss_args)
    require_model(plan)


def _out_of_range(plan: TrainingPlan) -> Iterator[Problem]:
    for name, (words, fits) in RANGES.items():
        value = getattr(plan, name)
        if not fits(value) and not (value is None and name in _optional()):
            yield Problem(name, words, value)
    for name, limit in LIMITS.items():
        value = getattr(plan, name)
        if isinstance(value, int) and value >= limit:
            yield Problem(name, f"below {limit:,}", value)


def _not_among(plan: TrainingPlan) -> Iterator[Problem]:
    for name, words in choices().items():
        value = getattr(plan, name)
        if value not in words and not (value is None and name in _optional()):
            yield Problem(name, " or ".join(words), value)


def _at_odds(plan: TrainingPlan) -> Iterator[Problem]:
    if plan.warmup_epochs >= plan.epochs:
        yield Problem("warmup_epochs", f"below epochs, which are {plan.epochs}", plan.warmup_epochs)
    if plan.accumulate > plan.batch_size:
        yield Problem("accumulate", f"up to batch_size, which is {plan.batch_size}", plan.accumulate)
    if plan.resized_crop and plan.crop_padding:
        yield Problem("crop_padding", "of 0 where resized_crop moves images already", plan.crop_padding)


def _not_plain(plan: TrainingPlan) -> Iterator[Problem]:
    """Arguments that a checkpoint could not keep."""
    for name in ("loss_args", "model_args"):
        try:
            json.dumps(getattr(plan, name))
        except (TypeError, ValueError):
            yield Problem(name, "of numbers, words, lists and tables", getattr(plan, name))


def _without_strength(plan: TrainingPlan) -> Iterator[Problem]:
    """A loss without a strength may be given one in a grid, but one that could be meant."""
    if LOSSES[plan.loss].alpha is not None:
        return
    for name in ("alpha", "alpha_end"):
        value = getattr(plan, name)
        if value is not None and not _number(lambda one: 0 <= one < 1, value):
            yield Problem(name, "from 0 to below 1", value)


@cache
def _kinds() -> dict[str, tuple[object, ...]]:
    """Field -> the types that it may have."""
    hints = get_type_hints(TrainingPlan)
    return {name: get_args(hint) if NoneType in get_args(hint) else (hint,) for name, hint in hints.items()}


@cache
def _optional() -> tuple[str, ...]:
    return tuple(name for name, kinds in _kinds().items() if NoneType in kinds)


@cache
def choices() -> dict[str, tuple[str, ...]]:
    """Field -> the words that it may be."""
    return {
        name: get_args(kind)
        for name, kinds in _kinds().items()
        for kind in kinds
        if get_origin(kind) is Literal
    }
