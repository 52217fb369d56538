"""PyramidNets for CIFAR. Han, Kim, Kim, "Deep Pyramidal Residual Networks", CVPR 2017, arXiv:1610.02915.

(B, 3, H, W) images, H and W multiples of 4. Depth 6n + 2 with basic units, three stages of n at full, half and quarter
resolution. The width grows with every unit by alpha / (3n), from 16 to 16 + alpha, rounded to the nearest whole number as in
both of the authors' programs (equation (3) rounds down, which is the same for alpha = 270).

A unit is BN, 3x3 convolution, BN, ReLU, 3x3 convolution, BN; its shortcut is the identity, averaged over 2x2 cells where the
unit halves the resolution, with zeros as the new channels. A BN without ReLU follows the first convolution, and BN-ReLU the
last unit.

The last stage's map is what is pooled, after that BN-ReLU; the earlier ones are the bare sums. Initialised after He.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from .preact_resnet import bn_relu, conv
from .resnet import conv_bn, he_init
from .staged import StagedNet


class Unit(nn.Module):
    """(B, c_in, H, W) -> (B, c_out, H / stride, W / stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.residual = nn.Sequential(nn.BatchNorm2d(c_in), conv(c_in, c_out, 3, stride), bn_relu(c_out),
                                      conv_bn(c_out, c_out, 3))
        self.stride, self.extra = stride, c_out - c_in

    def forward(self, x: Tensor) -> Tensor:
        out = self.residual(x)
        x = F.avg_pool2d(x, 2) if self.stride == 2 else x
        return out.add_(F.pad(x, (0, 0, 0, 0, 0, self.extra)))      # in place: nothing else reads the residual's own output


def pyramidnet(classes: int, depth: int, alpha: int) -> StagedNet:
    """Stages of (depth - 2) / 6 units each."""
    n, rest = divmod(depth - 2, 6)
    if rest or n < 1 or alpha < 0:
        raise UsageError(f"A basic PyramidNet has depth 6n + 2 and alpha of 0 or more; {depth} and {alpha} are not of that form.")
    widths = [16 + (2 * alpha * k + 3 * n) // (6 * n) for k in range(3 * n + 1)]    # halves go up, without rounding errors
    stages = []
    for first in range(0, 3 * n, n):
        pairs = zip(widths[first : first + n], widths[first + 1 : first + n + 1], strict=True)
        stages.append(nn.Sequential(*(Unit(*pair, 2 if first and not i else 1) for i, pair in enumerate(pairs))))
    stages[-1].append(bn_relu(widths[-1]))
    return StagedNet(conv_bn(3, 16, 3), stages, tuple(widths[n :: n]), classes).apply(he_init)
