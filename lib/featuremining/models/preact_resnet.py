"""Pre-activation ResNets. He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027.

(B, 3, H, W) images, H and W multiples of 4; the widths and resolutions of `resnet`. Every unit is BN-ReLU-convolution, the
stem is a bare convolution, and one BN-ReLU follows the last addition. As in the paper's appendix, the first unit of all and
every unit that changes the shape put the activation before the split, so that the shortcut (a 1x1 convolution without BN
where the shape changes) reads it too. The stride is the 3x3 convolution's, as in `resnet`.

The last stage's map is what is pooled, after the final BN-ReLU; the earlier ones are the bare sums.
"""

from torch import Tensor, nn

from ..errors import UsageError, choose
from .resnet import he_init
from .staged import StagedNet


def conv(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)


def bn_relu(width: int) -> nn.Sequential:
    """BN writes a new tensor, so the in-place ReLU behind it never touches a map that something else reads."""
    return nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))


class Unit(nn.Module):
    """x + residual(act(x)), or with a ``shared`` activation shortcut(act(x)) + residual(act(x))."""

    def __init__(self, residual: nn.Module, c_in: int, c_out: int, stride: int, shared: bool):
        super().__init__()
        same = stride == 1 and c_in == c_out
        self.act, self.residual, self.shared = bn_relu(c_in), residual, shared or not same
        self.shortcut = nn.Identity() if same else conv(c_in, c_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        active = self.act(x)
        return self.residual(active).add_(self.shortcut(active if self.shared else x))  # nothing else reads the residual


def basic(c_in: int, width: int, stride: int, shared: bool) -> Unit:
    residual = nn.Sequential(conv(c_in, width, 3, stride), bn_relu(width), conv(width, width, 3))
    return Unit(residual, c_in, width, stride, shared)


def bottleneck(c_in: int, width: int, stride: int, shared: bool) -> Unit:
    c_out = 4 * width
    residual = nn.Sequential(conv(c_in, width, 1), bn_relu(width), conv(width, width, 3, stride), bn_relu(width),
                             conv(width, c_out, 1))
    return Unit(residual, c_in, c_out, stride, shared)


def units(make, n: int, widths: tuple[int, ...], expansion: int, classes: int) -> StagedNet:
    """Stem and one stage of ``n`` units per width, halving the resolution between stages; the final BN-ReLU ends the last."""
    stages, c_in = [], 16
    for stage, width in enumerate(widths):
        blocks = []
        for i in range(n):
            blocks.append(make(c_in, width, 2 if stage and not i else 1, shared=not stage and not i))
            c_in = width * expansion
        stages.append(nn.Sequential(*blocks))
    stages[-1].append(bn_relu(c_in))
    return StagedNet(conv(3, 16, 3), stages, tuple(w * expansion for w in widths), classes).apply(he_init)


def preact_resnet(classes: int, depth: int, block: str) -> StagedNet:
    """Depth 6n + 2 with basic units, 9n + 2 with bottlenecks. Initialised as `resnet`."""
    make, expansion, per_unit = {"basic": (basic, 1, 6), "bottleneck": (bottleneck, 4, 9)}[
        choose("block type", block, ("basic", "bottleneck"))]
    n, rest = divmod(depth - 2, per_unit)
    if rest or n < 1:
        raise UsageError(f"A {block} pre-activation ResNet has depth {per_unit}n + 2; {depth} is not of that form.")
    return units(make, n, (16, 32, 64), expansion, classes)
