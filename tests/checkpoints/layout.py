"""What a checkpoint layout is: a writer of one file or folder, and what opening it has to give."""

import logging
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from tests.checkpoints.nets import network

Weights = dict[str, Tensor]
PRODUCER_LOGS = ("lightning", "pytorch_lightning", "transformers", "torch", "timm", "huggingface_hub")


@dataclass(frozen=True)
class Built:
    """A written checkpoint.

    expected: the weights that opening it has to give, bit for bit; None where it has to be refused.
    refusal: words of the refusal, beside the name of the file.
    architecture: the network that the file or folder names itself, if it does.
    open_with: arguments of open_checkpoint.
    """

    path: Path
    expected: Weights | None
    refusal: str | None = None
    architecture: str | None = None
    open_with: Mapping[str, bool | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One way to write a checkpoint, made by `build` in a folder of its own.

    number: row of the table of common layouts.
    net: the network in it, None where there is nothing to open.
    """

    number: int
    name: str
    build: Callable[[Path], Built]
    net: str | None = None


LAYOUTS: list[Layout] = []


def opened(number: int, name: str, net: str) -> Callable[..., Callable[[Path, nn.Module], Built]]:
    """Register a writer of a checkpoint that has to open; it is given the network, with seeded weights."""

    def register(write: Callable[[Path, nn.Module], Built]) -> Callable[[Path, nn.Module], Built]:
        def build(folder: Path) -> Built:
            with _quiet(), _one_thread(), _seeded(name):
                return write(folder, network(net))

        LAYOUTS.append(Layout(number, name, build, net))
        return write

    return register


def refused(number: int, name: str, words: str) -> Callable[..., Callable[[Path], Path]]:
    """Register a writer of a file that has to be refused in these words."""

    def register(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
        def build(folder: Path) -> Built:
            with _quiet(), _one_thread(), _seeded(name):
                return Built(write(folder), None, refusal=words)

        LAYOUTS.append(Layout(number, name, build))
        return write

    return register


def weights(module: nn.Module) -> Weights:
    """A copy of what `state_dict` gives, which later steps of the writer leave alone."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def prefixed(prefix: str, content: Mapping[str, Tensor]) -> Weights:
    return {prefix + name: tensor for name, tensor in content.items()}


def perturbed(content: Mapping[str, Tensor]) -> Weights:
    """Weights of the same shapes that differ in every floating-point tensor, as an average over epochs does."""
    return {name: t * 0.75 if t.is_floating_point() else t.clone() for name, t in content.items()}


def stepped(module: nn.Module) -> torch.optim.Optimizer:
    """AdamW after one step, so that its state holds tensors of the shapes of the weights."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
    for parameter in module.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return optimizer


@contextmanager
def importable(module: str, *classes: type) -> Iterator[None]:
    """The classes can be imported from `module` while a file is written, and from nowhere afterwards."""
    parts = module.split(".")
    with standing_in(
        {name: ModuleType(name) for name in (".".join(parts[: i + 1]) for i in range(len(parts)))}
    ):
        for cls in classes:
            cls.__module__, cls.__qualname__ = module, cls.__name__
            setattr(sys.modules[module], cls.__name__, cls)
        yield


@contextmanager
def standing_in(made: dict[str, ModuleType]) -> Iterator[None]:
    """Modules that are importable within the block; afterwards what was there before, a real one too."""
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old


@contextmanager
def _quiet() -> Iterator[None]:
    """What a producer warns or logs while it writes is no concern of the test."""
    levels = {name: logging.getLogger(name).level for name in PRODUCER_LOGS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small tensors are filled eight times faster where no threads wait for each other on busy cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _seeded(name: str) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(name.encode()))
        yield
