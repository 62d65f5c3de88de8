"""What is fitted before the sweeps, because metrics need it: the temperature, and the power of a norm."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from maxsup_analysis.errors import Undefined
from maxsup_analysis.metrics.metric import Need
from maxsup_analysis.representation import Representation

T = TypeVar("T")


def fitted(representation: Representation, needs: set[Need]) -> Representation:
    """The representation with what metrics need; where a fit has no outcome, with the reason."""
    if needs.isdisjoint({"temperature", "power"}):
        return representation
    from maxsup_analysis.held_out import fitted_power, fitted_temperature

    temperature, power = representation.temperature, representation.power
    if "temperature" in needs and temperature is None:
        temperature = _attempted(fitted_temperature, representation)
    if "power" in needs and power is None:
        power = _attempted(fitted_power, representation)
    return replace(representation, temperature=temperature, power=power)


def _attempted(fit: Callable[..., T], representation: Representation) -> T | Undefined:
    try:
        return fit(representation.blocks, representation)
    except Undefined as reason:
        return reason
