"""Global second-order pooling within a network (GSoP). Gao, Xie, Wang, Li, CVPR 2019, arXiv:1811.12006: the covariance of a map's
channels, or of its places, says by how much each of them is scaled.

As in the authors' program (ZilinGao/Global-Second-order-Pooling-Convolutional-Networks), of which the abstract leaves most open:
a 1x1 convolution to d channels; their covariance d x d; BN over its rows; a convolution of its own for each row, which makes four
numbers of it; a 1x1 convolution of all of them to one number for each channel; a sigmoid. Of places the same, on an 8 x 8 grid.
Unlike the program, the covariance of places is centred with their own number of samples, which are the channels: theirs divides
by the number of places.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError, check_effect, check_maps, checked
from .convmix import averages, pooled
from .covariance import covariance
from .spectral import for_next_layer, full_precision

ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU, "leaky": nn.LeakyReLU}


def rows_of(x: Tensor) -> Tensor:
    """Variables with their samples in a row, (B, d, n) -> their covariance as d channels of a map, (B, d, d, 1), computed in
    fp32 at least."""
    with full_precision(x):
        found = covariance(x.to(torch.promote_types(x.dtype, torch.float32)))[..., None]
    return for_next_layer(found, x)


def scales(d: int, out: int, act: str) -> nn.Sequential:
    """(B, d, d, 1) -> (B, out, 1, 1), between 0 and 1: each row has its own convolution, to four numbers."""
    return nn.Sequential(nn.BatchNorm2d(d), nn.Conv2d(d, 4 * d, (d, 1), groups=d), ACTIVATIONS[act](), nn.Conv2d(4 * d, out, 1),
                         nn.Sigmoid())


class ChannelGate(nn.Module):
    """(B, C, H, W) -> (B, C, 1, 1): by how much each channel is scaled."""

    def __init__(self, channels: int, d: int, stride: int, act: str):
        super().__init__()
        self.reduce = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, d, 1, stride), nn.BatchNorm2d(d), nn.ReLU(inplace=True))
        self.scales = scales(d, channels, act)

    def forward(self, x: Tensor) -> Tensor:
        return self.scales(rows_of(self.reduce(x).flatten(2))).to(x.dtype)


class SpatialGate(nn.Module):
    """(B, C, H, W) -> (B, 1, H, W): by how much each place is scaled, found on a grid of ``side`` x ``side`` places."""

    def __init__(self, channels: int, d: int, side: int):
        super().__init__()
        self.reduce = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, d, 1), nn.BatchNorm2d(d))
        self.side, self.scales = side, scales(side**2, side**2, "relu")

    def forward(self, x: Tensor) -> Tensor:
        grid = pooled(self.reduce(x), (self.side, self.side), F.adaptive_avg_pool2d)
        found = self.scales(rows_of(grid.flatten(2).mT)).view(-1, 1, self.side, self.side)
        return over(found, x.shape[2:]).to(x.dtype)


def over(grid: Tensor, size: Sequence[int]) -> Tensor:
    """A grid (B, 1, h, w) over a map of another size, (B, 1, H, W): by adaptive averages, which repeat numbers where the map is a
    multiple of the grid."""
    return grid if tuple(size) == tuple(grid.shape[2:]) else averages(grid, size)


class GSoP(nn.Module):
    """Maps (B, C, H, W) -> maps of the same shape, whose channels, places, or both are scaled by numbers between 0 and 1.

    ``mode`` "channel" or "spatial" is one of them; "average", "max" and "concat" fuse the map scaled by one with the map scaled
    by the other: their mean, the larger, or a 1x1 convolution of both with BN. ``d`` is how many channels a covariance is of,
    ``side`` x ``side`` how many places, ``stride`` that of the convolution before the covariance of channels, ``act`` what
    follows its convolution of rows. With ``relu`` the map scaled by places is rectified, as in the authors' program.
    """

    @checked("gsop")
    def __init__(self, channels: int, mode: Literal["channel", "spatial", "average", "max", "concat"] = "channel", d: int = 128,
                 stride: int = 1, act: Literal["none", "relu", "leaky"] = "none", side: int = 8, relu: bool = False):
        super().__init__()
        if min(d, stride, side) < 1:
            raise UsageError(f"gsop: d, stride and side are 1 or more, got {d}, {stride} and {side}.")
        for name, value, default, other in (("stride", stride, 1, "spatial"), ("act", act, "none", "spatial"),
                                            ("side", side, 8, "channel"), ("relu", relu, False, "channel")):
            check_effect("gsop", name, value, default, mode != other, f"a mode other than {other!r}")
        self.channels = channels
        self.mode, self.d, self.stride, self.act, self.side, self.relu = mode, d, stride, act, side, relu
        self.channel = None if mode == "spatial" else ChannelGate(channels, d, stride, act)
        self.spatial = None if mode == "channel" else SpatialGate(channels, d, side)
        self.both = nn.Sequential(nn.Conv2d(2 * channels, channels, 1, bias=False), nn.BatchNorm2d(channels)) if (
            mode == "concat") else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        check_maps("gsop", x, self.channels)
        scaled = []
        if self.channel is not None:
            scaled.append(x * self.channel(x))
        if self.spatial is not None:            # the scale is positive, so that it may follow the ReLU
            scaled.append((x.relu() if self.relu else x) * self.spatial(x))
        if len(scaled) == 1:
            return scaled[0]
        if self.mode == "average":
            return (scaled[0] + scaled[1]) / 2
        return torch.maximum(*scaled) if self.both is None else self.both(torch.cat(scaled, 1))
