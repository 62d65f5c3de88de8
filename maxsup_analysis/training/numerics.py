"""The settings of torch that decide how numbers are rounded."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from maxsup_analysis.training.seeds import own_random_numbers


@contextmanager
def fixed_numerics(threads: int, device: torch.device) -> Iterator[None]:
    """So many threads, float32, kernels of cuDNN that repeat themselves; afterwards all is as it was before."""
    with ExitStack() as held:
        held.callback(torch.set_num_threads, torch.get_num_threads())
        held.callback(torch.set_default_dtype, torch.get_default_dtype())
        held.callback(_set_cudnn, torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
        held.enter_context(own_random_numbers(device))
        if device.type == "cuda":
            held.enter_context(torch.cuda.device(device))
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        _set_cudnn(True, False)
        yield


def _set_cudnn(deterministic: bool, benchmark: bool) -> None:
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark
