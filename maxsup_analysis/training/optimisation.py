"""The optimiser of a plan."""

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from maxsup_analysis.training.plan import TrainingPlan

BETA_2 = 0.999


def optimiser_of(module: nn.Module, plan: TrainingPlan) -> Optimizer:
    """SGD with Nesterov momentum, or AdamW; learning rate and momentum are set before each step."""
    groups = _groups(module, plan)
    if plan.optimiser == "adamw":
        return AdamW(
            groups, plan.learning_rate, betas=(plan.momentum, BETA_2), weight_decay=plan.weight_decay
        )
    nesterov = plan.momentum > 0
    return SGD(groups, plan.learning_rate, plan.momentum, weight_decay=plan.weight_decay, nesterov=nesterov)


def set_rates(optimiser: Optimizer, learning_rate: float, momentum: float) -> None:
    """For the next step; momentum is beta_1 where there are betas."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
        if "betas" in group:
            group["betas"] = (momentum, group["betas"][1])
        else:
            group["momentum"] = momentum


def _groups(module: nn.Module, plan: TrainingPlan) -> list[dict]:
    """Without weight decay, where the plan says so: what has one axis, biases, and what the model itself names."""
    parameters = [one for one in module.parameters() if one.requires_grad]
    if plan.decay_norms_and_biases:
        return [{"params": parameters}]
    from timm.optim._param_groups import param_groups_weight_decay

    named: Callable[[], set[str]] = getattr(module, "no_weight_decay", set)
    return param_groups_weight_decay(module, plan.weight_decay, no_weight_decay_list=named())


def clip(module: nn.Module, norm: float | None) -> None:
    """Shorten the gradient to a norm, where it is longer."""
    if norm is not None:
        torch.nn.utils.clip_grad_norm_(module.parameters(), norm)
