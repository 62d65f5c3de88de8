"""Tests for the steps of a training: weights against softmax regression by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.training import TrainingPlan, train
from maxsup_analysis.training.seeds import order
from tests.training.softmax_regression import (
    Batches,
    Setting,
    adamw,
    first_weights,
    normalised_digits,
    sgd,
    write_network,
)

N, B, EPOCHS = 100, 40, 3
STEPS = 3 * EPOCHS


@pytest.fixture
def plan(tmp_path: Path) -> TrainingPlan:
    return TrainingPlan(
        model=f"{write_network(tmp_path)}:linear",
        train_samples=N,
        batch_size=B,
        epochs=EPOCHS,
        schedule="constant",
        learning_rate=0.1,
        weight_decay=0.01,
        seed=5,
    )


def batches(plan: TrainingPlan) -> Batches:
    """40, 40 and 20 samples, in each epoch in another order."""
    images, labels = normalised_digits(N)
    for epoch in range(plan.epochs):
        chosen = order(N, plan.seed, epoch).numpy()
        for start in range(0, N, B):
            part = chosen[start : start + B]
            yield images[part], labels[part]


def by_hand(plan: TrainingPlan, rule: Callable = sgd, **words: object) -> list[list[np.ndarray]]:
    """Weight and bias after every step."""
    usual = {"rate": lambda step: 0.1, "momentum": lambda step: 0.9, "decay": (0.01, 0.01)}
    return list(rule(list(first_weights(plan.seed)), batches(plan), Setting(**{**usual, **words})))  # type: ignore[arg-type]


def trained(plan: TrainingPlan, tmp_path: Path, *, use_ema: bool | None = None) -> list[np.ndarray]:
    train(plan, tmp_path / "x.pt")
    weights = open_checkpoint(tmp_path / "x.pt", use_ema=use_ema).state_dict
    return [weights["1.weight"].double().numpy(), weights["1.bias"].double().numpy()]


def require_close(found: list[np.ndarray], expected: list[np.ndarray], atol: float = 2e-6) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def test_sgd(plan: TrainingPlan, tmp_path: Path):
    require_close(trained(plan, tmp_path), by_hand(plan)[-1])


def test_adamw(plan: TrainingPlan, tmp_path: Path):
    plan = replace(plan, optimiser="adamw", learning_rate=0.01)
    # Where a gradient is 0 (pixels that are always black), Adam divides rounding by rounding.
    require_close(trained(plan, tmp_path), by_hand(plan, adamw, rate=lambda step: 0.01)[-1], atol=2e-5)


def test_cosine_with_warm_up(plan: TrainingPlan, tmp_path: Path):
    plan = replace(plan, schedule="cosine", warmup_epochs=1)

    def rate(step: int) -> float:
        return 0.1 * (step + 1) / 3 if step < 3 else 0.05 * (1 + np.cos(np.pi * (step - 3) / 6))

    require_close(trained(plan, tmp_path), by_hand(plan, rate=rate)[-1])


def test_one_cycle_is_that_of_torch(plan: TrainingPlan, tmp_path: Path):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1, momentum=0.9)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=STEPS)
    rates, momenta = [], []
    for _ in range(STEPS):
        rates.append(optimiser.param_groups[0]["lr"])
        momenta.append(optimiser.param_groups[0]["momentum"])
        optimiser.step()
        cycle.step() if len(rates) < STEPS else None
    expected = by_hand(plan, rate=rates.__getitem__, momentum=momenta.__getitem__)[-1]
    require_close(trained(replace(plan, schedule="one-cycle"), tmp_path), expected)


def test_biases_and_norms_are_spared_weight_decay(plan: TrainingPlan, tmp_path: Path):
    plan = replace(plan, decay_norms_and_biases=False)
    expected = by_hand(plan, decay=(0.01, 0.0))[-1]
    require_close(trained(plan, tmp_path), expected)
    assert not np.allclose(expected[1], by_hand(plan)[-1][1], atol=1e-5)


def test_long_gradients_are_clipped(plan: TrainingPlan, tmp_path: Path):
    plan = replace(plan, clip_norm=0.3)
    expected = by_hand(plan, clip_norm=0.3)[-1]
    require_close(trained(plan, tmp_path), expected)
    assert not np.allclose(expected[0], by_hand(plan)[-1][0], atol=1e-3)


def test_the_average_follows_its_recurrence(plan: TrainingPlan, tmp_path: Path):
    averages = list(first_weights(plan.seed))
    for parts in by_hand(plan):
        averages = [0.8 * average + 0.2 * part for average, part in zip(averages, parts, strict=True)]
    plan = replace(plan, ema=0.8)
    require_close(trained(plan, tmp_path, use_ema=True), averages)
    require_close(trained(plan, tmp_path), by_hand(plan)[-1])


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_a_batch_in_parts_gives_the_same_step(plan: TrainingPlan, tmp_path: Path, parts: int):
    """The last batch of an epoch, of 20 samples, is taken in parts too."""
    require_close(trained(replace(plan, accumulate=parts), tmp_path), by_hand(plan)[-1])


def test_parts_see_the_same_augmentation(plan: TrainingPlan, tmp_path: Path):
    plan = replace(plan, mixup=0.4, cutmix=1.0, crop_padding=1, flip=True, erasing=0.5, loss="maxsup")
    require_close(trained(plan, tmp_path), trained(replace(plan, accumulate=4), tmp_path))
    assert not np.allclose(trained(plan, tmp_path)[0], by_hand(plan)[-1][0], atol=1e-3)


def test_history_is_the_mean_over_the_samples_of_an_epoch(plan: TrainingPlan, tmp_path: Path):
    history = train(replace(plan, epochs=1), tmp_path / "x.pt").history
    weights = [list(first_weights(plan.seed)), *by_hand(plan)]
    losses, right = 0.0, 0
    for (weight, bias), (images, labels) in zip(weights[:3], batches(plan), strict=False):
        logits = images @ weight.T + bias
        losses += sum(
            np.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, labels, strict=True)
        )
        right += int((logits.argmax(1) == labels).sum())
    assert history[0].loss == pytest.approx(losses / N, rel=1e-5) and history[0].accuracy == right / N
