"""The model of a plan: its name and arguments, and the untrained module."""

from dataclasses import dataclass
from functools import cache
from inspect import signature

import torch
from torch import nn

from maxsup_analysis.architectures.build import build_module, library_names, resolved
from maxsup_analysis.architectures.small import ARCHITECTURES
from maxsup_analysis.errors import InputError
from maxsup_analysis.hooks import evaluated, logits_of
from maxsup_analysis.losses import LOSSES
from maxsup_analysis.training.plan import TrainingPlan

RGB = 3


@dataclass(frozen=True)
class Architecture:
    """What `build_module` takes; the checkpoint keeps it."""

    name: str
    arguments: dict[str, object]

    def to_plain(self) -> dict[str, object]:
        """As JSON."""
        return {"name": self.name, "arguments": self.arguments}


def require_model(plan: TrainingPlan) -> None:
    """Raise InputError where no architecture has the name, or it has not the head that the loss is made for."""
    full_name(plan.model)
    _head_arguments(plan)


def architecture_of(plan: TrainingPlan, channels: int, classes: int) -> Architecture:
    """The model for images of so many channels, its arguments in its own words.

    Raises InputError where a network of torchvision, which takes three, meets another number of channels.
    """
    name = full_name(plan.model)
    library = name.partition("/")[0] if "/" in name and ":" not in name else ""
    if library == "torchvision" and channels != RGB:
        raise InputError(
            f"expected images of {RGB} channels for {name}, got {channels}; take a model of timm, "
            "which can be built for any number, or one of this package"
        )
    words: dict[str, dict[str, object]] = {
        "timm": {"in_chans": channels, "num_classes": classes},
        "torchvision": {"num_classes": classes},
    }
    own: dict[str, object] = {"channels": channels, "classes": classes} if name in ARCHITECTURES else {}
    return Architecture(name, {**words.get(library, own), **_head_arguments(plan), **plan.model_args})


def built(architecture: Architecture, size: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """The module with the first weights that a seed gives; InputError where it cannot take such images."""
    torch.manual_seed(seed)
    module = build_module(architecture.name, architecture.arguments, ARCHITECTURES)
    sized = " x ".join(map(str, size))
    try:
        with evaluated(module), torch.no_grad():
            outputs = logits_of(module(torch.zeros(2, *size))).shape[1]
    except (RuntimeError, AssertionError, TypeError, IndexError) as reason:
        detail = " ".join(str(reason).split())[:200]
        raise InputError(
            f"{architecture.name} cannot take images of {sized}: {detail}; give image_size, or arguments in model_args"
        ) from None
    if outputs != classes:
        raise InputError(
            f"expected {classes} outputs of {architecture.name}, one a class, got {outputs}; set it in model_args"
        )
    return module


@cache
def full_name(name: str) -> str:
    """The name with its library; InputError where none has it.

    Example:
        >>> full_name("small_cnn"), full_name("resnet18")
        ('small_cnn', 'torchvision/resnet18')
    """
    if name in ARCHITECTURES or ":" in name:
        return name
    if "/" in name and name.partition(".")[0] in library_names():
        return name
    return resolved(name, ARCHITECTURES)


def _head_arguments(plan: TrainingPlan) -> dict[str, object]:
    """The head that the loss is made for."""
    head = LOSSES[plan.loss].head
    if head is None or ":" in plan.model:
        return {}
    fitting = [name for name, build in ARCHITECTURES.items() if "head" in signature(build).parameters]
    if plan.model not in fitting or plan.model_args.get("head", head) != head:
        raise InputError(
            f"expected a model with a {head} head for the loss {plan.loss!r}, got model {plan.model!r}; "
            f"there are: {', '.join(fitting)}"
        )
    return {"head": head}
