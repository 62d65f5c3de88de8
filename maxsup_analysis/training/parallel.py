"""Several processes that train one model, as torchrun starts them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from maxsup_analysis.devices import device_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.ranks import ranks_of


@dataclass(frozen=True)
class Share:
    """The samples of a batch that a process takes. counted: which of them are no padding."""

    positions: Int64[Tensor, " b"]
    counted: Bool[Tensor, " b"]


@dataclass(frozen=True)
class Team:
    """The processes of a run; this one is number `rank` of `world`."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether it writes and speaks for all."""
        return self.rank == 0

    def share(self, positions: Int64[Tensor, " B"]) -> Share:
        """Its part of a batch: as many samples for every process, some of them again where they do not divide.

        Example:
            >>> Team(torch.device("cpu"), 1, 2).share(torch.tensor([5, 6, 7]))
            Share(positions=tensor([6, 5]), counted=tensor([ True, False]))
        """
        B = len(positions)
        places = torch.arange(-(-B // self.world) * self.world)[self.rank :: self.world]
        return Share(positions[places % B], places < B)

    def together(self, rows: Tensor) -> Tensor:
        """The rows of all processes, by rank, of which there are as many each; gradients reach this one's own."""
        if self.world == 1:
            return rows
        parts = [torch.empty_like(rows, requires_grad=False) for _ in range(self.world)]
        dist.all_gather(parts, rows.detach().contiguous())
        parts[self.rank] = rows
        return torch.cat(parts)

    def summed(self, counts: Sequence[int]) -> list[int]:
        """Counts added over all processes."""
        if self.world == 1:
            return list(counts)
        total = torch.tensor(counts, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    def parallel(self, module: nn.Module, *, sync_batchnorm: bool) -> nn.Module:
        """The module under DistributedDataParallel, which averages gradients; as it is where it is alone."""
        if self.world == 1:
            return module
        if sync_batchnorm:
            if self.device.type != "cuda":
                raise InputError(
                    f"expected CUDA devices for sync_batchnorm, got {self.device.type}; leave it out"
                )
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        where = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=where)


@contextmanager
def team(device: str) -> Iterator[Team]:
    """The processes that torchrun started, which then talk to each other; else this one alone."""
    ranks = ranks_of(None)
    place = device_of(device, ranks.local)
    if ranks.world == 1:
        yield Team(place)
        return
    if place.type == "cuda":
        torch.cuda.set_device(place)
    begun = not dist.is_initialized()
    if begun:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Team(place, ranks.rank, ranks.world)
    finally:
        if begun:
            dist.destroy_process_group()
