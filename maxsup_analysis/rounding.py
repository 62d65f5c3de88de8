"""Numbers as a reader wants them: to the digits that their interval supports."""

import math

from maxsup_analysis.contrasts import Interval
from maxsup_analysis.estimates import Estimate

MOST_DIGITS = 8


def decimals(half_width: float) -> int:
    """Decimals that show two digits of an interval's half-width; four where it has none."""
    if not half_width > 0 or math.isinf(half_width):
        return 4
    return min(max(1 - math.floor(math.log10(half_width)), 0), MOST_DIGITS)


def plain(value: float, half_width: float) -> str:
    """A number to the digits of its interval, with a proper minus."""
    return f"{value:.{decimals(half_width)}f}".replace("-", "−")


def plus_minus(level: Estimate | Interval) -> str:
    """A value with how far the ends of its interval are; a dash where there is none."""
    if math.isnan(level.value):
        return "–"
    if math.isnan(level.half_width):
        return f"{level.value:.4g}".replace("-", "−")
    value = plain(level.value, level.half_width)
    below, above = (
        plain(gap, level.half_width) for gap in (level.value - level.low, level.high - level.value)
    )
    if not level.skewed or below == above:
        return f"{value} ± {plain(level.half_width, level.half_width)}"
    return f"{value} (−{below}, +{above})"


def span(level: Interval) -> str:
    """A difference with both ends of its interval."""
    if math.isnan(level.value) or math.isnan(level.half_width):
        return "–"
    sign = "+" if level.value > 0 else ""
    ends = f"{plain(level.low, level.half_width)}, {plain(level.high, level.half_width)}"
    return f"{sign}{plain(level.value, level.half_width)} [{ends}]"
