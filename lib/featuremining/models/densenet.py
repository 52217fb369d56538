"""DenseNets for CIFAR. Huang, Liu, van der Maaten, Weinberger, CVPR 2017, arXiv:1608.06993, sections 3 and 4.2.

(B, 3, H, W) images, H and W multiples of 4. Three dense blocks at full, half and quarter resolution; every layer reads the
concatenation of the block's input and of all earlier layers' outputs and adds ``growth`` channels. Between blocks a
transition (BN-ReLU, 1x1 convolution, 2x2 average) halves the resolution. Plain: depth 3n + 4, a first convolution of 16
channels, 3x3 layers, transitions that keep the width. BC: depth 6n + 4, a first convolution of twice the growth, 1x1
convolutions to four times the growth before the 3x3, transitions that halve the width.

A stage's map is a whole dense block's concatenation, so a transition begins the next stage; the last stage ends with the
final BN-ReLU, which gives what is pooled. Initialised after He, as the paper says; the classifier as torch's default.
"""

import torch
from torch import Tensor, nn

from ..errors import UsageError
from .preact_resnet import bn_relu, conv
from .resnet import he_init
from .staged import StagedNet


class Layer(nn.Module):
    """(B, C, H, W) -> (B, C + growth, H, W), its input first."""

    def __init__(self, c_in: int, growth: int, narrow: bool):
        super().__init__()
        squeeze = [bn_relu(c_in), conv(c_in, 4 * growth, 1)] if narrow else []
        width = 4 * growth if narrow else c_in
        self.new = nn.Sequential(*squeeze, bn_relu(width), conv(width, growth, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.new(x)], 1)


def transition(c_in: int, c_out: int) -> list[nn.Module]:
    return [bn_relu(c_in), conv(c_in, c_out, 1), nn.AvgPool2d(2)]


def densenet(classes: int, depth: int, growth: int, bc: bool) -> StagedNet:
    """Three dense blocks of equally many layers."""
    n, rest = divmod(depth - 4, 6 if bc else 3)
    if rest or n < 1:
        raise UsageError(f"A {'BC' if bc else 'plain'} DenseNet has depth {6 if bc else 3}n + 4; {depth} is not of that form.")
    c_in = stem = 2 * growth if bc else 16
    stages, channels = [], []
    for stage in range(3):
        begin = []
        if stage:
            width = c_in // 2 if bc else c_in
            begin, c_in = transition(c_in, width), width
        layers = [Layer(c_in + i * growth, growth, bc) for i in range(n)]
        c_in += n * growth
        stages.append(nn.Sequential(*begin, *layers))
        channels.append(c_in)
    stages[-1].append(bn_relu(c_in))
    return StagedNet(conv(3, stem, 3), stages, tuple(channels), classes).apply(he_init)
