"""Softmax regression trained by hand: gradients from their formula, optimisers from their papers, in NumPy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

NETWORK = """
from torch import nn

def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def convolution():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(288, 10))

def dropout():
    hidden = nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.3), nn.BatchNorm1d(32)
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(32, 10))
"""


def write_network(folder: Path) -> Path:
    """A file of factories, none of which takes an argument."""
    (folder / "network.py").write_text(NETWORK)
    return folder / "network.py"


def first_weights(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the linear network: torch's for this seed."""
    torch.manual_seed(seed)
    layer = torch.nn.Linear(64, 10)
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()


def normalised_digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first digits, by the mean and deviation of all their pixels."""
    images, labels = load_digits(return_X_y=True)
    images, labels = np.asarray(images)[:count] / 16, np.asarray(labels)[:count]
    return (images - images.mean()) / images.std(), labels


def gradient(
    weight: np.ndarray, bias: np.ndarray, images: np.ndarray, labels: np.ndarray
) -> list[np.ndarray]:
    """(q - y) x^T averaged over the batch, and (q - y)."""
    logits = images @ weight.T + bias
    q = np.exp(logits - logits.max(1, keepdims=True))
    q /= q.sum(1, keepdims=True)
    error = (q - np.eye(10)[labels]) / len(labels)
    return [error.T @ images, error.sum(0)]


@dataclass(frozen=True)
class Setting:
    """Rates of each step, weight decay of weight and bias, and the largest norm of the gradient."""

    rate: Callable[[int], float]
    momentum: Callable[[int], float]
    decay: tuple[float, float]
    clip_norm: float | None = None


Batches = Iterator[tuple[np.ndarray, np.ndarray]]


def clipped(gradients: list[np.ndarray], norm: float | None) -> list[np.ndarray]:
    total = np.sqrt(sum((one**2).sum() for one in gradients))
    factor = 1.0 if norm is None else min(1.0, norm / (total + 1e-6))
    return [one * factor for one in gradients]


def sgd(parts: list[np.ndarray], batches: Batches, how: Setting) -> Iterator[list[np.ndarray]]:
    """v = m v + g, step g + m v; the first v is g. Weight and bias after every step."""
    velocities: list[np.ndarray] | None = None
    for step, (images, labels) in enumerate(batches):
        m, rate = how.momentum(step), how.rate(step)
        found = clipped(gradient(parts[0], parts[1], images, labels), how.clip_norm)
        found = [g + decay * part for g, decay, part in zip(found, how.decay, parts, strict=True)]
        velocities = (
            found if velocities is None else [m * v + g for v, g in zip(velocities, found, strict=True)]
        )
        parts = [part - rate * (g + m * v) for part, g, v in zip(parts, found, velocities, strict=True)]
        yield parts


def adamw(parts: list[np.ndarray], batches: Batches, how: Setting) -> Iterator[list[np.ndarray]]:
    """Loshchilov & Hutter 2019 with beta_2 = 0.999 and epsilon 1e-8; momentum is beta_1, constant."""
    first = [np.zeros_like(part) for part in parts]
    second = [np.zeros_like(part) for part in parts]
    for step, (images, labels) in enumerate(batches):
        beta, rate, t = how.momentum(step), how.rate(step), step + 1
        found = clipped(gradient(parts[0], parts[1], images, labels), how.clip_norm)
        for k, g in enumerate(found):
            first[k] = beta * first[k] + (1 - beta) * g
            second[k] = 0.999 * second[k] + 0.001 * g**2
            unbiased, spread = first[k] / (1 - beta**t), second[k] / (1 - 0.999**t)
            parts[k] = parts[k] * (1 - rate * how.decay[k]) - rate * unbiased / (np.sqrt(spread) + 1e-8)
        yield list(parts)
