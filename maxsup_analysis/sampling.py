"""The variance of a sum over samples that are drawn within their classes, and how well it is known itself."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from scipy.special import stdtrit
from torch import Tensor

from maxsup_analysis.surroundings import undisturbed

LEVEL = 0.95
NORMAL_95 = 1.959963984540054
SMALLEST = 1e-140  # squares whose squares a float64 holds
LARGEST_LOGARITHM = 700.0  # of a factor that a float64 holds
FACTORS_MATTER_BELOW = 50  # samples a class, for how well a variance is known


@dataclass(frozen=True)
class Variance:
    """An estimate of a variance; estimates from independent samples add.

    spread: the estimated variance of this estimate, over its square.
    """

    value: float
    spread: float

    def __add__(self, other: "Variance") -> "Variance":
        value = self.value + other.value
        if not value > 0:
            return Variance(value, 0.0)
        shares = self.value / value, other.value / value
        return Variance(value, shares[0] ** 2 * self.spread + shares[1] ** 2 * other.spread)

    @property
    def error(self) -> float:
        """The standard error."""
        return math.sqrt(self.value) if self.value >= 0 else math.nan

    @property
    def degrees_of_freedom(self) -> float:
        """Of Student's t in an interval: those of a chi-squared number that varies as much for its size.

        2 / spread, of which 2 are taken off because the square of an estimate is too large by its variance; n - 1
        for one class of n normal numbers (Satterthwaite 1946). At least 1.
        """
        if not self.spread > 0:
            return math.inf
        return max(2 / self.spread - 2, 1.0)


@undisturbed()
def within_classes(influence: Float64[Tensor, " N"], labels: Int64[Tensor, " N"]) -> Variance:
    """The variance of a sum of influences: sum over classes of n/(n - 1) sum (influence - its class mean)^2.

    Its own variance is that for normal numbers, or that from their fourth moments where this is larger, as where few
    samples differ from all others. Classes with one sample add nothing: check for them first.

    Example:
        >>> import torch
        >>> values = torch.tensor([1.0, 2.0, 4.0, 5.0]).double()
        >>> found = within_classes((values - values.mean()) / 4, torch.zeros(4, dtype=torch.long))
        >>> round(found.error, 6), round(found.degrees_of_freedom, 6)
        (0.912871, 3.0)
    """
    counts = torch.bincount(labels).double()
    means = torch.bincount(labels, influence) / counts.clamp(min=1)
    squares = (influence - means.index_select(0, labels)).square_()
    largest = float(squares.max()) if len(squares) else 0.0
    if not 0 < largest < math.inf:
        return Variance(largest, 0.0)
    # Squares of squares might leave the range of float64.
    scale = 1.0 if SMALLEST < largest < 1 / SMALLEST else largest
    if scale != 1:
        squares /= scale
    factors = counts / (counts - 1).clamp(min=1)
    variances = torch.bincount(labels, squares) * factors
    normal = 2 * (variances.square() / (counts + 1)).sum()
    spread = max(float(normal), _spread_by_fourth_moments(squares, labels, variances))
    total = float(variances.sum())
    return Variance(scale * total, spread / total**2)


def _spread_by_fourth_moments(
    squares: Float64[Tensor, " N"], labels: Int64[Tensor, " N"], variances: Float64[Tensor, " K"]
) -> float:
    """For each class of n normal numbers, 2/(n - 1) times their variance squared, on average."""
    counts = torch.bincount(labels).double()
    occupied = counts[counts > 0]
    n = counts.clamp(min=1)
    if float(occupied.min()) >= FACTORS_MATTER_BELOW:
        # The same but for a few per cent, without looking at classes.
        return float(squares @ squares - (variances.square() / n).sum())
    fourth = torch.bincount(labels, squares.square()) * (n / (n - 1).clamp(min=1)).square()
    spreads = (fourth - variances.square() / n) * n / (n - 2).clamp(min=1)
    return float(spreads[counts > 2].sum())


def spread_factors(counts: Float64[Tensor, " K"]) -> Float64[Tensor, " K"]:
    """What an influence through the spread of a class is multiplied with: sqrt((n - 1)/(n - 2)) for n samples.

    Deviations from a mean of the same samples vary less than those from the true mean. For n normal vectors
    n/(n - 1) sum (q_i - mean q)^2, with q_i = |x_i - mean x|^2, is on average (n - 2)/(n - 1) of the variance of
    sum q_i, 2 (n - 1) tr(S^2), whatever the covariance S. Two samples are equally far from their mean and say
    nothing: their factor is 1.
    """
    return torch.where(counts > 2, ((counts - 1) / (counts - 2).clamp(min=1)).sqrt(), 1.0)


def distance_factors(counts: Float64[Tensor, " K"]) -> Float64[Tensor, " K"]:
    """What an influence on the mean distance from the class mean is multiplied with, beside that through the mean.

    Of n vectors in many dimensions a deviation that is longer than others by e adds e/(n - 1) through the mean, which
    it draws to itself. Both together are then those of a spread.
    """
    return torch.where(counts > 2, spread_factors(counts) - 1 / (counts - 1).clamp(min=1), 1.0)


def direction_factors(counts: Float64[Tensor, " K"], spreads: Float64[Tensor, " K"]) -> Float64[Tensor, " K"]:
    """The same for points of length one, whose spread is n - n |mean|^2.

    The noise of the mean then counts twice. With d = spread/(n - 1), and for isotropic noise around a mean,
    4 m S m / n, the part of the variance that is linear in a sample, is (n - 1)(1 - d^2) times the part that is not,
    2 tr(S^2)/(n (n - 1)), of which a share d^2 counts twice.
    """
    widths = (spreads / (counts - 1).clamp(min=1)).clamp(0, 1).square()
    linear = (counts - 1) * (1 - widths)
    return spread_factors(counts) * ((1 + linear) / (1 + linear + widths)).sqrt()


def quantile_95(degrees_of_freedom: float) -> float:
    """How many standard errors from the value to either end of a 95 % interval: Student's t."""
    if math.isinf(degrees_of_freedom):
        return NORMAL_95
    return float(stdtrit(degrees_of_freedom, (1 + LEVEL) / 2))


@dataclass(frozen=True)
class Ends:
    """Both ends of an interval."""

    low: float
    high: float


def interval_ends(value: float, half_width: float, *, skewed: bool) -> Ends:
    """Value +- half width; of a positive number that is skewed, the same of its logarithm.

    The standard error of such a number is about proportional to it, so that value +- t SE misses numbers above it too
    often. That of its logarithm is SE/value, about the same whatever the value.

    Example:
        >>> ends = interval_ends(2.0, 1.0, skewed=True)
        >>> round(ends.low, 3), round(ends.high, 3)
        (1.213, 3.297)
    """
    if not skewed or not value > 0 or math.isnan(half_width):
        return Ends(value - half_width, value + half_width)
    factor = math.exp(min(half_width / value, LARGEST_LOGARITHM))
    return Ends(value / factor, value * factor)
