"""One training on several devices: a process for each, started by ``torchrun``. Together they take the step of one process with
the whole batch, up to the order in which numbers are added.

Every process has its rows of each batch. Gradients are those of the whole batch's mean loss; statistics of batch normalisation
are the whole batch's, too, which costs two small messages a layer in each direction; order, crops, boxes and mixing follow from
(seed, epoch) and are equal everywhere. Noise that is drawn within a step, such as DropBlock's, is each process's own: of such
methods only the distribution is that of one process. No wrapper is put around the network that methods would have to know.
"""

import os
from collections.abc import Iterable
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import FMError, UsageError
from ..protocol import Batch, Method

OWN_STREAM = 0x85EBCA6B         # so that noise of a step does not repeat the numbers that shuffle, crop or mix


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

    def weighed(self, loss: Tensor, images: int) -> Tensor:
        """The mean loss over this process's ``images`` as the sum that it adds to the whole batch's: what `average` wants the
        gradient of. Statistics that all share make one process's loss depend on another's images, so it is weighed before."""
        return loss if self.world == 1 else loss * images

    def average(self, parameters: Iterable[Tensor], images: int) -> None:
        """Gradients of the summed losses of all processes' ``images`` become those of the mean over them."""
        if self.world == 1:
            return
        grads = [p.grad for p in parameters]
        count = torch.full((1,), float(images), device=grads[0].device, dtype=grads[0].dtype)
        flat = torch.cat([*(g.flatten() for g in grads), count])
        dist.all_reduce(flat)
        for g, mean in zip(grads, (flat[:-1] / flat[-1]).split([g.numel() for g in grads]), strict=True):
            g.copy_(mean.view_as(g))

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        return summed(value) if self.world > 1 else value

    def whole(self, part: Tensor, n: int) -> Tensor:
        """What each process has of n entries, every ``world``-th from its rank on (`DataSet.tests`), put together: bool (n,)."""
        entries = torch.zeros(n, dtype=torch.uint8, device=part.device)
        entries[self.rank::self.world] = part.to(torch.uint8)
        return self.total(entries).bool()

    def rows(self) -> slice:
        """Of a whole batch, those of this process."""
        return slice(self.rank, None, self.world)

    def share_statistics(self, *modules: nn.Module) -> None:
        """Make batch normalisation take its statistics over all processes' images. `UsageError` where that isn't known how, as of
        a module that says it ``learns_of_batches``: each process would keep another memory of its own part."""
        for module in chain.from_iterable(owner.modules() for owner in modules if self.world > 1):
            if type(module) is nn.BatchNorm2d:
                module.__class__ = WholeBatchNorm
            elif isinstance(module, nn.modules.batchnorm._BatchNorm) or getattr(module, "learns_of_batches", False):
                raise UsageError(f"A network with {type(module).__name__} can't be spread over processes: its batch statistics "
                                 "would be those of a part. Start it without torchrun.")

    def own_noise(self, epoch_seed: int) -> None:
        """What is drawn within the steps of an epoch follows from (seed, epoch) and differs between processes."""
        if self.world > 1:
            torch.manual_seed((epoch_seed * self.world + self.rank) ^ OWN_STREAM)

    def wait(self) -> None:
        if self.world > 1:
            dist.barrier()


class OwnRows(Method):
    """The innermost of a training's methods where the others need the whole batch: the network sees this process's rows."""

    def __init__(self, rows: slice):
        nn.Module.__init__(self)
        self.rows = rows

    def step(self, inner, model, batch: Batch):
        return inner(model, batch._replace(x=batch.x[self.rows], y=batch.y[self.rows]))


def summed(value: Tensor) -> Tensor:
    dist.all_reduce(value := value.clone())
    return value


class Total(torch.autograd.Function):
    """The sum over all processes, each of whose losses depends on it: so the gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        return summed(value)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return summed(gradient.contiguous())


class WholeBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes, however many each has. Its parameters and buffers are those of
    ``nn.BatchNorm2d``, and so is what it computes when it is not training."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        count = wide.new_full((1,), x.numel() // x.shape[1])
        *sums, n = Total.apply(torch.cat([wide.sum((0, 2, 3)), count])).split([x.shape[1], 1])
        mean = sums[0] / n
        centred = wide - mean[:, None, None]
        var = Total.apply(centred.square().sum((0, 2, 3))) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_((var * n / (n - 1)).to(self.running_var.dtype), self.momentum)
        scale = (var + self.eps).rsqrt() * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def join() -> Replicas:
    """The group that ``torchrun`` announces by the environment, joined once per process."""
    told = os.environ.get("WORLD_SIZE", "1")
    if told == "1":
        return Replicas()
    lacks = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if not told.isdecimal() or int(told) < 1 or lacks:
        raise UsageError(f"WORLD_SIZE={told} is set, but not as torchrun sets it (RANK, MASTER_ADDR and MASTER_PORT beside it): "
                         "start by torchrun, or unset WORLD_SIZE.")
    world = int(told)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Replicas(dist.get_rank(), world)


@contextmanager
def together():
    """That another process of this training is gone is one sentence."""
    try:
        yield
    except RuntimeError as error:           # gloo's are plain ones
        if join().world == 1 or not any(word in str(error) for word in ("Connection", "gloo", "NCCL", "Socket")):
            raise
        raise FMError("Another process of this training is gone, so it ends; the same command goes on from the last finished "
                      f"epoch. ({str(error).splitlines()[0]})") from None


def own_gpu() -> str:
    """The name of this process's GPU."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
