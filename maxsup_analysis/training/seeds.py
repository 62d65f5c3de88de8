"""Random numbers of a step, which depend on its seed, epoch and number and on nothing that was drawn before."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from maxsup_analysis.datasets.seeds import seed_of


def reseed(device: torch.device, *parts: int | str) -> None:
    """Set torch's generators of the CPU and of this device.

    Not torch.manual_seed: it visits every kind of device, which takes longer than a step of a small network may last.
    """
    seed = seed_of(*parts)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def order(samples: int, seed: int, epoch: int) -> Tensor:
    """The positions of the samples in the order of an epoch."""
    generator = torch.Generator().manual_seed(seed_of(seed, "order", epoch))
    return torch.randperm(samples, generator=generator)


@contextmanager
def own_random_numbers(device: torch.device) -> Iterator[None]:
    """What is drawn in the block leaves torch's generators as they were."""
    devices = [device] if device.type in ("cuda", "mps") else []
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        yield
