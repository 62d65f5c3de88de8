"""Which numbers an argument may take, and the words for it."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import TypeGuard


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to below `high`.

    Example:
        >>> str(Range(0.0, 1.0)), 1.0 in FRACTION, 0.0 in POSITIVE
        ('from 0 to below 1', False, False)
    """

    low: float
    high: float = math.inf
    low_included: bool = True

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.low_included else value > self.low
        return above and value < self.high

    def __str__(self) -> str:
        if math.isfinite(self.high):
            return f"from {self.low:g} to below {self.high:g}"
        return f"of {self.low:g} or more" if self.low_included else f"above {self.low:g}"


FRACTION, NOT_NEGATIVE, POSITIVE = Range(0.0, 1.0), Range(0.0), Range(0.0, low_included=False)


def is_number(value: object) -> TypeGuard[Real]:
    """Whether it is a real number; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool)
