"""The learning rate of every step, as a function of its number: nothing to save, nothing to resume."""

import math
from dataclasses import dataclass

from maxsup_analysis.training.plan import TrainingPlan

# The shape of torch's OneCycleLR: part of the steps that rise, first and last rate under the peak, sway of momentum.
RISING, FIRST, LAST, SWAY = 0.3, 25.0, 1e4, 0.05


@dataclass(frozen=True)
class Rates:
    """The learning rate and momentum of each step of a plan, which has `per_epoch` steps an epoch.

    one-cycle: from a 25th of the peak up to it in 30 % of the steps and down to a 250,000th, along cosines, while
    momentum (of AdamW: beta_1) goes from 0.05 above its value to 0.05 below and back; Smith & Topin 2019 as torch's
    OneCycleLR has it.
    cosine: peak (1 + cos(pi t / T)) / 2 at step t of T. step: peak times step_factor for every step_epochs epochs
    since the first. constant: the peak.
    Warm-up goes before: the rate that follows it times (t + 1) / W at step t of W; cosine and one-cycle begin after it.

    Example:
        >>> rates = Rates(TrainingPlan(schedule="step", epochs=90, learning_rate=0.1), per_epoch=10)
        >>> [round(rates.learning_rate(step), 6) for step in (0, 299, 300, 600)]
        [0.1, 0.1, 0.01, 0.001]
    """

    plan: TrainingPlan
    per_epoch: int

    def learning_rate(self, step: int) -> float:
        """Of the step that counts from 0 over the whole run."""
        if step < self._warmup:
            return self._scheduled(self._warmup) * (step + 1) / self._warmup
        return self._scheduled(step)

    def momentum(self, step: int) -> float:
        """Of the step that counts from 0 over the whole run."""
        momentum = self.plan.momentum
        if self.plan.schedule != "one-cycle" or momentum == 0:
            return momentum
        low, high = max(momentum - SWAY, 0.0), min(momentum + SWAY, 0.999)
        return self._cycled(max(step - self._warmup, 0), high, low, high)

    @property
    def _warmup(self) -> int:
        return self.plan.warmup_epochs * self.per_epoch

    @property
    def _steps(self) -> int:
        """Those after the warm-up."""
        return self.plan.epochs * self.per_epoch - self._warmup

    def _scheduled(self, step: int) -> float:
        """Without regard to the warm-up, which ends before this step."""
        peak, after = self.plan.learning_rate, step - self._warmup
        match self.plan.schedule:
            case "one-cycle":
                return self._cycled(after, peak / FIRST, peak, peak / FIRST / LAST)
            case "cosine":
                return peak * (1 + math.cos(math.pi * after / self._steps)) / 2
            case "step":
                return peak * self.plan.step_factor ** (step // self.per_epoch // self.plan.step_epochs)
            case "constant":
                return peak

    def _cycled(self, step: int, first: float, middle: float, last: float) -> float:
        """Along half a cosine from `first` to `middle`, and along another to `last`."""
        top, end = RISING * self._steps - 1, self._steps - 1
        if step <= top:
            return _between(first, middle, step / top if top > 0 else 1.0)
        return _between(middle, last, (step - top) / (end - top))


def _between(begin: float, end: float, share: float) -> float:
    return end + (begin - end) / 2 * (1 + math.cos(math.pi * share))
