"""One training on several GPUs: a process for each, started by ``torchrun``; every process sees its share of each batch, and
the gradients are averaged, so that together they take the step of the whole batch.

Batch statistics are those of a share, as is usual; running statistics are the first process's. The step itself stays the
one of a single process, without a wrapper around the network that methods would have to know.
"""

import os
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Replicas(NamedTuple):
    """This process among ``world``; the only one where a program is started without ``torchrun``."""

    rank: int = 0
    world: int = 1

    @property
    def share(self) -> tuple[int, int]:
        return tuple(self)

    @property
    def first(self) -> bool:
        """Whether this process prints, and writes checkpoints and records."""
        return self.rank == 0

    def average(self, parameters: Iterable[Tensor], images: int) -> None:
        """Gradients of the mean loss over this process's ``images`` become those of the mean over all processes' images."""
        if self.world == 1:
            return
        grads = [p.grad for p in parameters]
        count = torch.full((1,), float(images), device=grads[0].device)
        flat = torch.cat([g.flatten() * images for g in grads] + [count])
        dist.all_reduce(flat)
        for g, mean in zip(grads, (flat[:-1] / flat[-1]).split([g.numel() for g in grads]), strict=True):
            g.copy_(mean.view_as(g))

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.world > 1:
            dist.all_reduce(value := value.clone())
        return value

    def whole(self, part: Tensor, n: int) -> Tensor:
        """What each process has of n entries, every ``world``-th from its rank on (`DataSet.tests`), put together: bool (n,)."""
        entries = torch.zeros(n, dtype=torch.uint8, device=part.device)
        entries[self.rank::self.world] = part.to(torch.uint8)
        return self.total(entries).bool()

    def spread(self, buffers: Iterable[Tensor]) -> None:
        """The first process's values for all."""
        if self.world > 1:
            for buffer in buffers:
                dist.broadcast(buffer, 0)

    def wait(self) -> None:
        if self.world > 1:
            dist.barrier()


def join() -> Replicas:
    """The group that ``torchrun`` announces by the environment, joined once per process."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Replicas()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Replicas(dist.get_rank(), world)


def own_gpu() -> str:
    """The name of this process's GPU."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
