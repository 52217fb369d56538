"""ConvMix. Arif, Burchert, Schmidt-Thieme, SCIA 2023, LNCS 13886, 156-174: the classifier reads a learnt combination of the maps
of several stages. Only the abstract was at hand: a **reconstruction**.

It fixes: features of multiple stages, spatially pooled; a combination that is learnt, without further hyper-parameters and
without additional training cost; an embedding for the downstream task. It does not say by which operation they are combined.
Two are built:

map: every stage's map is pooled to the deepest one's resolution; a 1x1 convolution of all their channels, BN and ReLU give one
    map, which is pooled and classified.
vector: every stage's pooled vector is projected to the deepest one's width; the sum with one learnt weight per stage is
    classified.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError, check_effect, check_maps, checked


def spread(c_in: int, c_out: int) -> Tensor:
    """(c_out, c_in), rows of sum one: channels repeated where there are fewer, averaged where there are more.

    >>> spread(1, 2).tolist(), spread(2, 1).tolist(), spread(2, 2).tolist()
    ([[1.0], [1.0]], [[0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]])
    """
    return F.adaptive_avg_pool1d(torch.eye(c_in), c_out).T.contiguous()


def mix_vectors(vectors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """sum_s w_s v_s: S vectors (B, D) and weights (S,) -> (B, D).

    >>> mix_vectors([torch.ones(1, 2), torch.tensor([[3.0, 5.0]])], torch.tensor([1.0, 2.0])).tolist()
    [[7.0, 11.0]]
    """
    return torch.einsum("sbd,s->bd", torch.stack(tuple(vectors)), weights)


class ConvMix(nn.Module):
    """The maps of S stages, (B, C_s, H_s, W_s), shallow to deep -> (B, C_S), the mean of a mixed map or the mixed vectors.

    ``init`` "uniform": every stage has the weight 1 / S; "identity": only the deepest counts, so that the network begins as the
    plain one; BN and ReLU, which would change it, are then left out. The shallower stages get their first gradient through the
    mixing when their weights have left zero.
    """

    @checked("convmix")
    def __init__(self, channels: Sequence[int], mode: Literal["map", "vector"] = "map",
                 pool: Literal["avg", "max", "both"] = "avg", init: Literal["uniform", "identity"] = "uniform"):
        super().__init__()
        if len(channels) < 2:
            raise UsageError("convmix: mixes the maps of two stages or more; this network has one.")
        check_effect("convmix", "pool", pool, "avg", mode == "map", "mode 'map'")
        self.mode, self.pool, self.identity, self.channels = mode, pool, init == "identity", tuple(channels)
        self.width = channels[-1]
        shares = torch.full((len(channels),), 1 / len(channels))
        if self.identity:
            shares = torch.eye(len(channels))[-1]
        blocks = [spread(c, self.width) for c in channels]
        if mode == "vector":
            self.weights = nn.Parameter(shares)
            self.projections = nn.ParameterList(nn.Parameter(block) for block in blocks)
            return
        times = 2 if pool == "both" else 1
        rows = [block * share / times for block, share in zip(blocks, shares, strict=True) for _ in range(times)]
        self.weight = nn.Parameter(torch.cat(rows, 1)[:, :, None, None])
        self.after = nn.Identity() if self.identity else nn.Sequential(nn.BatchNorm2d(self.width), nn.ReLU())

    def mixed(self, maps: Sequence[Tensor]) -> Tensor:
        """The one map that is classified, of mode "map": (B, C_S, H_S, W_S). Class activation maps are of this one."""
        size = maps[-1].shape[2:]
        pools = {"avg": (F.adaptive_avg_pool2d,), "max": (F.adaptive_max_pool2d,),
                 "both": (F.adaptive_avg_pool2d, F.adaptive_max_pool2d)}[self.pool]
        parts = [pooled(x, size, pool) for x in maps for pool in pools]
        return self.after(F.conv2d(torch.cat(parts, 1), self.weight))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        if len(maps) != len(self.channels):
            raise UsageError(f"convmix: takes the maps of {len(self.channels)} stages, got {len(maps)}.")
        for x, channels in zip(maps, self.channels, strict=True):
            check_maps("convmix", x, channels)
        if self.mode == "map":
            return self.mixed(maps).mean((2, 3))
        vectors = [x.mean((2, 3)) @ w.T for x, w in zip(maps, self.projections, strict=True)]
        return mix_vectors(vectors, self.weights)

    @torch.no_grad()
    def shares(self) -> Tensor:
        """How much each stage counts, (S,): the length of all its weights, as a part of the sum over stages. Every epoch's mean
        is in the record of a training, as ``convmix.stage1``, ..."""
        if self.mode == "vector":
            sizes = self.weights.abs() * torch.stack([w.norm() for w in self.projections])
        else:
            times = 2 if self.pool == "both" else 1
            sizes = torch.stack([w.norm() for w in self.weight.split([times * c for c in self.channels], 1)])
        return sizes / sizes.sum()


def averages(x: Tensor, size: Sequence[int]) -> Tensor:
    """Adaptive average pooling of (B, C, H, W) to (H', W') by products with constant matrices, whose gradient is deterministic
    on a GPU."""
    with torch.no_grad():
        rows, columns = (F.adaptive_avg_pool1d(torch.eye(n, dtype=x.dtype, device=x.device), m)
                         for n, m in zip(x.shape[2:], size, strict=True))
    return rows.mT @ x @ columns


def pooled(x: Tensor, size: Sequence[int], pool) -> Tensor:
    """``pool`` of (B, C, H, W) to (H', W'): by windows where they fit, whose gradient is deterministic on a GPU."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    window = [n // m for n, m in zip(x.shape[2:], size, strict=True)]
    if [m * w for m, w in zip(size, window, strict=True)] != list(x.shape[2:]):
        return averages(x, size) if pool is F.adaptive_avg_pool2d else pool(x, size)
    return (F.avg_pool2d if pool is F.adaptive_avg_pool2d else F.max_pool2d)(x, window)
