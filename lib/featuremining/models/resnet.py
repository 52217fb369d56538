"""CIFAR ResNets. He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, section 4.2.

Basic blocks: depth 6n + 2. Bottleneck blocks: depth 9n + 2. Three stages of widths 16, 32, 64 (times 4 for bottlenecks) at
full, half and quarter resolution. Shortcut "B" (1x1 convolution + BN where the shape changes) is what public PyTorch code
uses, "A" (subsampling and zero padding) is what He et al. used on CIFAR.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError, choose
from .staged import StagedNet


def conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


class PadShortcut(nn.Module):
    """Option A: every other pixel, missing channels zero. It has no parameters."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.stride, self.extra = stride, c_out - c_in

    def forward(self, x: Tensor) -> Tensor:
        half = self.extra // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.extra - half))


class Block(nn.Module):
    """relu(residual(x) + shortcut(x)); the 3x3 convolution carries the stride."""

    def __init__(self, residual: nn.Module, c_in: int, c_out: int, stride: int, shortcut: str):
        super().__init__()
        self.residual = residual
        if stride == 1 and c_in == c_out:
            self.shortcut = nn.Identity()
        else:
            self.shortcut = conv_bn(c_in, c_out, 1, stride) if shortcut == "B" else PadShortcut(c_in, c_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.residual(x).add_(self.shortcut(x)).relu_()      # in place: nothing else reads the residual's own output


def basic(c_in: int, width: int, stride: int, shortcut: str) -> Block:
    relu = nn.ReLU(inplace=True)
    return Block(nn.Sequential(conv_bn(c_in, width, 3, stride), relu, conv_bn(width, width, 3)), c_in, width, stride, shortcut)


def bottleneck(c_in: int, width: int, stride: int, shortcut: str) -> Block:
    relu, c_out = nn.ReLU(inplace=True), 4 * width
    residual = nn.Sequential(conv_bn(c_in, width, 1), relu, conv_bn(width, width, 3, stride), relu, conv_bn(width, c_out, 1))
    return Block(residual, c_in, c_out, stride, shortcut)


def resnet(classes: int, depth: int, block: str, shortcut: str, stem_stride: int = 1) -> StagedNet:
    """A CIFAR ResNet for (B, 3, H, W) images; H and W any multiple of 4 (8 with a stem of stride 2, for larger images)."""
    make, expansion, per_block = {"basic": (basic, 1, 6), "bottleneck": (bottleneck, 4, 9)}[
        choose("block type", block, ("basic", "bottleneck"))]
    choose("shortcut", shortcut, ("A", "B"))
    n, rest = divmod(depth - 2, per_block)
    if rest or n < 1:
        raise UsageError(f"A {block} ResNet has depth {per_block}n + 2; {depth} is not of that form.")
    stages, c_in = [], 16
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        blocks = []
        for i in range(n):
            blocks.append(make(c_in, width, stride if i == 0 else 1, shortcut))
            c_in = width * expansion
        stages.append(nn.Sequential(*blocks))
    stem = nn.Sequential(conv_bn(3, 16, 3, stem_stride), nn.ReLU(inplace=True))
    net = StagedNet(stem, stages, tuple(w * expansion for w in (16, 32, 64)), classes)
    return net.apply(he_init)


def he_init(module: nn.Module) -> None:
    """N(0, 2 / (k k C_out)) for convolutions; BN starts at 1 and 0 and the classifier at torch's default anyway."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
