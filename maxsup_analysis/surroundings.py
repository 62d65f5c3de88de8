"""What is set around a computation and would change its digits: kept out while it runs, put back after it.

Values and tables are functions of the data, whatever a program around them has set for its own networks.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock, local
from typing import Any

import numpy as np
import torch

BACKEND: Any = torch.backends.mkldnn  # of products on the processor; what it has is unknown to type checkers
FULL = "ieee"  # float32 products in float32
REDUCED = ("bf16", "tf32")


@dataclass(frozen=True)
class Shared:
    """A setting of the whole process. read: it is in the way, or None where it is not."""

    read: Callable[[], object | None]
    clear: Callable[[], None]
    put_back: Callable[[object], None]


class _Here(local):
    """What is known of this thread. cores: how many threads torch had before the first guard, None outside of any."""

    cores: int | None = None


_here, _lock = _Here(), Lock()
# Of each open guard of all threads how many threads torch had there, and the settings that the first of them found.
_open: list[int] = []
_found: list[tuple[Shared, object]] = []


@contextmanager
def undisturbed() -> Iterator[None]:
    """Compute as in a fresh process, with one thread of torch; whatever is set around it is put back after.

    Of this thread: autocast, inference mode, gradients (off), the default device, NumPy's errors, torch's threads. Of
    the process, until the last thread leaves: reduced precision of float32 products, detection of anomalies. A default
    type changes nothing, for every number that is made here has one. Also a decorator.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16), undisturbed():
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.float32
    """
    with ExitStack() as stack:
        stack.enter_context(_shared_cleared())
        stack.enter_context(_one_thread())
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        # Before gradients, which it switches too.
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.set_grad_enabled(mode=False))
        if torch.is_autocast_enabled("cpu"):
            stack.enter_context(torch.autocast("cpu", enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


def cores() -> int:
    """How many threads may compute at once: as many as torch had where the outermost guard of this thread began."""
    return _here.cores or torch.get_num_threads()


def work_alone() -> None:
    """What a thread of a pool does first: it computes with one thread; nothing else is inherited that matters."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    _here.cores = 1


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """So many threads within an operation of torch; the number is put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Products and sums are rounded otherwise with another number of threads."""
    outer = _here.cores
    if outer is None and torch.get_num_threads() == 1:
        # A thread that was born while another one computes has that one's single thread, not the program's number.
        torch.set_num_threads(_open[0])
    _here.cores = outer or torch.get_num_threads()
    try:
        with torch_threads(1):
            yield
    finally:
        _here.cores = outer


@contextmanager
def _shared_cleared() -> Iterator[None]:
    """The first thread that comes clears what is set for the process, the last that leaves puts it back."""
    with _lock:
        if not _open:
            _found[:] = [(one, value) for one in SHARED if (value := one.read()) is not None]
            for one, _ in _found:
                one.clear()
        _open.append(_open[0] if _open else torch.get_num_threads())
    try:
        yield
    finally:
        with _lock:
            _open.pop()
            if not _open:
                for one, value in _found:
                    one.put_back(value)
                _found.clear()


def _reduced_precision() -> str | None:
    precision = BACKEND.matmul.fp32_precision
    return precision if precision in REDUCED else None


def _set_precision(precision: str) -> None:
    BACKEND.matmul.fp32_precision = precision


def _put_precision_back(precision: object) -> None:
    # Where it came from a wider setting, it goes on doing so.
    _set_precision("none")
    if BACKEND.matmul.fp32_precision != precision:
        _set_precision(str(precision))


def _anomalies() -> tuple[bool, bool] | None:
    """Whether backward passes raise at a NaN, which here is a value that is then said to be undefined."""
    return (True, torch.is_anomaly_check_nan_enabled()) if torch.is_anomaly_enabled() else None


SHARED = (
    Shared(_reduced_precision, lambda: _set_precision(FULL), _put_precision_back),
    Shared(
        _anomalies,
        lambda: torch.set_anomaly_enabled(False),
        lambda found: torch.set_anomaly_enabled(*found),  # type: ignore[misc]
    ),
)
