"""From a name and plain values, as in a study file, to a loss."""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from maxsup_analysis.errors import InputError
from maxsup_analysis.losses.base import Loss
from maxsup_analysis.losses.entry import LOSSES, LossEntry
from maxsup_analysis.losses.signature import checked_choice, checked_number, choices_of, defaults_of

NONE: Mapping[str, object] = MappingProxyType({})


def build_loss(
    name: str,
    *,
    classes: int,
    alpha: float | int | None = None,
    alpha_end: float | int | None = None,
    arguments: Mapping[str, object] = NONE,
) -> Loss:
    """The loss of that name; where alpha is None, with its own default strength.

    alpha_end: the strength in the last epoch, reached linearly; None keeps alpha.
    arguments: what this loss can be told beside, see `LOSSES[name].arguments`.

    Raises:
        InputError: there is no such loss or argument, or a value is out of range.

    Example:
        >>> build_loss("mbls", classes=10, alpha=0.2, arguments={"margin": 6})
        MarginLabelSmoothingLoss(alpha=0.2, margin=6.0, over_classes='mean', reduction='mean', ignore_index=-100)
    """
    entry = LOSSES[name]
    words = {argument: _value(entry, argument, value) for argument, value in arguments.items()}
    words |= _strengths(entry, alpha, alpha_end)
    if "classes" in defaults_of(entry.module):
        words["classes"] = classes
    return entry.module(**words)  # type: ignore[arg-type]


def validate_loss(
    name: str,
    alpha: float | int | None = None,
    alpha_end: float | int | None = None,
    arguments: Mapping[str, object] = NONE,
) -> None:
    """Raise the InputError that `build_loss` would raise, whatever the number of classes."""
    build_loss(name, classes=2, alpha=alpha, alpha_end=alpha_end, arguments=arguments)


def _strengths(entry: LossEntry, alpha: object, alpha_end: object) -> dict[str, object]:
    given = {word: value for word, value in (("alpha", alpha), ("alpha_end", alpha_end)) if value is not None}
    if entry.alpha is not None:
        return {word: checked_number(entry.module, word, value) for word, value in given.items()}
    if given and not entry.module.baseline:
        takes = f"it takes {', '.join(entry.arguments)}" if entry.arguments else "leave it out"
        raise InputError(
            f"expected no {next(iter(given))} for the loss {entry.name!r}, which has no strength, "
            f"got {next(iter(given.values()))!r}; {takes}"
        )
    return {}


def _value(entry: LossEntry, argument: str, value: object) -> object:
    """A value of the argument's type."""
    if argument not in entry.arguments:
        raise InputError(_no_such_argument(entry, argument))
    choices = choices_of(entry.module, argument)
    if choices:
        return checked_choice(entry.module, argument, value, choices)
    return checked_number(entry.module, argument, value)


def _no_such_argument(entry: LossEntry, argument: str) -> str:
    if argument in ("alpha", "alpha_end"):
        return f"expected {argument} beside the arguments of the loss {entry.name!r}, got it among them; move it out"
    near = get_close_matches(argument, entry.arguments, n=1)
    hint = f" did you mean {near[0]!r}?" if near else ""
    takes = f"It takes: {', '.join(entry.arguments)}" if entry.arguments else "It takes none"
    return f"the loss {entry.name!r} has no argument {argument!r};{hint} {takes}"
