"""Where a model runs."""

import os

import torch

from maxsup_analysis.errors import InputError


def device_of(name: str, local_rank: int | None = None) -> torch.device:
    """`auto` is CUDA, else Apple's MPS, else the CPU; other names are torch's, and have to be there.

    local_rank: the number of this process on its machine, where there are several: `auto` and `cuda` then take the GPU
    of that number.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda" and local_rank is not None:
        name = f"cuda:{local_rank}"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"expected a device: auto, cpu, cuda, cuda:N or mps, got {name!r}") from None
    available = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= available.get(device.type, 0):
        raise InputError(f"there is no device {name!r} on this machine; use --device auto")
    return device


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
