"""Tests for the learning rate: against torch's schedulers, and formulas written out."""

import math

import pytest
import torch

from maxsup_analysis.training import TrainingPlan
from maxsup_analysis.training.schedule import Rates

SGD = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1, momentum=0.9)


def of_torch(scheduler: torch.optim.lr_scheduler.LRScheduler, steps: int, word: str = "lr") -> list[float]:
    found = []
    for step in range(steps):
        found.append(scheduler.optimizer.param_groups[0][word])
        scheduler.optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return found


def rates_of(plan: TrainingPlan, per_epoch: int) -> list[float]:
    rates = Rates(plan, per_epoch)
    return [rates.learning_rate(step) for step in range(plan.epochs * per_epoch)]


@pytest.mark.parametrize(("epochs", "per_epoch"), [(1, 1), (1, 2), (3, 1), (5, 7), (15, 19)])
def test_one_cycle(epochs: int, per_epoch: int):
    plan = TrainingPlan(epochs=epochs, learning_rate=0.3)
    steps = epochs * per_epoch

    def cycle():
        optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.3, momentum=0.9)
        return torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.3, total_steps=steps)

    assert rates_of(plan, per_epoch) == pytest.approx(of_torch(cycle(), steps), rel=1e-9)
    momenta = [Rates(plan, per_epoch).momentum(step) for step in range(steps)]
    assert momenta == pytest.approx(of_torch(cycle(), steps, "momentum"), rel=1e-9)


def test_cosine():
    plan = TrainingPlan(schedule="cosine", epochs=4, learning_rate=0.3)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.3)
    expected = of_torch(torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 20), 20)
    assert rates_of(plan, 5) == pytest.approx(expected, rel=1e-9)


def test_steps():
    plan = TrainingPlan(schedule="step", epochs=9, step_epochs=3, step_factor=0.5, learning_rate=0.8)
    expected = [0.8 * 0.5 ** (step // 6) for step in range(18)]
    assert rates_of(plan, 2) == pytest.approx(expected)


def test_constant_needs_no_momentum_of_its_own():
    plan = TrainingPlan(schedule="constant", epochs=2, learning_rate=0.3, momentum=0.7)
    assert rates_of(plan, 3) == [0.3] * 6
    assert Rates(plan, 3).momentum(4) == 0.7


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step", "constant"])
def test_warm_up_is_a_line_to_where_the_schedule_begins(schedule: str):
    plan = TrainingPlan(schedule=schedule, epochs=6, warmup_epochs=2, step_epochs=4)  # type: ignore[arg-type]
    warm = rates_of(plan, 5)
    assert warm[:10] == pytest.approx([warm[10] * (step + 1) / 10 for step in range(10)])
    if schedule in ("one-cycle", "cosine"):
        without = TrainingPlan(schedule=schedule, epochs=4)  # type: ignore[arg-type]
        assert warm[10:] == pytest.approx(rates_of(without, 5))
    else:
        assert warm[10] == 0.2 and warm[-1] == pytest.approx(0.02 if schedule == "step" else 0.2)


def test_momentum_of_zero_stays_and_large_ones_stay_below_one():
    assert Rates(TrainingPlan(momentum=0.0), 4).momentum(0) == 0
    momenta = [Rates(TrainingPlan(momentum=0.99), 4).momentum(step) for step in range(60)]
    assert max(momenta) == pytest.approx(0.999) and min(momenta) == pytest.approx(0.94, abs=1e-3)
    assert all(math.isfinite(one) for one in momenta)
