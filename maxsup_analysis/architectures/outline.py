"""How large a model would be, before any of it is there: built on torch's meta device, where tensors have no memory."""

from collections.abc import Collection, Mapping

import torch

from maxsup_analysis.architectures.build import build_module
from maxsup_analysis.architectures.known import index
from maxsup_analysis.architectures.small import ARCHITECTURES
from maxsup_analysis.errors import InputError

# A model may have twice the numbers of its file (weights that are tied in it), and tables that no file holds.
TIED, TABLES = 2, 1 << 25


def require_room(name: str, arguments: Mapping[str, object], held: int, typed: Collection[str] = ()) -> None:
    """Raise InputError where a model of a library or of this package would be far larger than the file that is for it.

    held: numbers in the file. typed: arguments that the user gave.
    """
    most = TIED * held + TABLES
    numbers = _head_numbers(name, arguments)
    if numbers is None:
        numbers = _numbers(name, arguments, typed)
    if numbers > most:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items()) or "its defaults"
        raise InputError(
            f"{name} with {given[:200]} would have {numbers:.3g} numbers, the file has {held:,}: they are not its "
            "weights; name the right model with --model, or its arguments with --model-args"
        )


def _head_numbers(name: str, arguments: Mapping[str, object]) -> int | None:
    """Of the head, where nothing else departs from what is published; None where more does."""
    known = index().architectures.get(name)
    classes = arguments.get("num_classes", 0)
    if known is None or set(arguments) - {"num_classes"} or not isinstance(classes, int):
        return None
    return classes * known.feature_dim


def _numbers(name: str, arguments: Mapping[str, object], typed: Collection[str]) -> int:
    try:
        with torch.device("meta"):
            module = build_module(name, arguments, ARCHITECTURES)
    except InputError as reason:
        # A few constructors look at values, which the meta device has not.
        if "meta tensor" not in str(reason):
            raise
        if left := set(arguments) - {"num_classes", *typed}:
            raise InputError(
                f"how large {name} would be with {', '.join(sorted(left))} cannot be told before it is built; give "
                "its arguments with --model-args"
            ) from None
        return 0
    return sum(tensor.numel() for tensor in (*module.parameters(), *module.buffers()))
