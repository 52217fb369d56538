"""Wide ResNets. Zagoruyko, Komodakis, "Wide Residual Networks", BMVC 2016, arXiv:1605.07146.

(B, 3, H, W) images, H and W multiples of 4. WRN-d-k is a basic pre-activation ResNet whose three stages are k times as wide:
maps of 16k, 32k and 64k channels at full, half and quarter resolution. Every stage begins with a projection, also the first;
with them and the stem the depth is d = 6n + 4. No dropout, the paper's main setting; where the taps are and how the weights
begin (He's way, the classifier as torch's default) is `preact_resnet`'s.
"""

from ..errors import UsageError
from .preact_resnet import basic, units
from .staged import StagedNet


def wide_resnet(classes: int, depth: int, width: int) -> StagedNet:
    n, rest = divmod(depth - 4, 6)
    if rest or n < 1 or width < 1:
        raise UsageError(f"A wide ResNet has depth 6n + 4 and a width of 1 or more; {depth} and {width} are not of that form.")
    return units(basic, n, (16 * width, 32 * width, 64 * width), 1, classes)
