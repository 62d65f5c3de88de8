"""What a loss can be told, read from its signature, and the sentences where it is told something else."""

import inspect
from typing import get_args, get_type_hints

from maxsup_analysis.errors import InputError
from maxsup_analysis.losses.ranges import Range, is_number

# Said to every loss in the same words, and not by `arguments`.
COMMON = ("alpha", "alpha_end", "classes", "weight", "reduction", "ignore_index")


def defaults_of(module: type) -> dict[str, object]:
    """Every parameter with its default, in the order of the signature."""
    return {name: parameter.default for name, parameter in inspect.signature(module).parameters.items()}


def arguments_of(module: type) -> dict[str, object]:
    """The parameters that are this loss's own, with their defaults."""
    return {name: default for name, default in defaults_of(module).items() if name not in COMMON}


def choices_of(module: type, argument: str) -> tuple[str, ...]:
    """What an argument may be, where it is a choice of words; otherwise nothing."""
    words = get_args(get_type_hints(module.__init__).get(argument))
    return words if all(isinstance(word, str) for word in words) else ()


def checked_number(module: type, argument: str, value: object, allowed: Range | None = None) -> float:
    """The number that an argument is; InputError where it is none, or not among the allowed."""
    if is_number(value) and (allowed is None or float(value) in allowed):
        return float(value)
    raise InputError(_expected(module, argument, f"{allowed or 'as a number'}", value))


def checked_choice(module: type, argument: str, value: object, choices: tuple[str, ...]) -> str:
    """The word that an argument is; InputError where it is none of the choices."""
    if isinstance(value, str) and value in choices:
        return value
    raise InputError(_expected(module, argument, f"to be one of {', '.join(choices)}", value))


def _expected(module: type, argument: str, allowed: str, value: object) -> str:
    name, default = getattr(module, "name", module.__name__), defaults_of(module).get(argument)
    return f"expected {argument} of the loss {name!r} {allowed}, got {value!r}; its default is {default}"
