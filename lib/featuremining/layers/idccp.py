"""Invariant deep compressible covariance pooling (IDCCP). Wang, Ren, Parr, Guan, Shao, TGRS 59(8):6549-6561, 2021,
arXiv:2011.05702: what a network sees of an image in all eight positions of a square is averaged, so that no turning and no
mirroring changes it, and its covariance is compressed by an orthogonal projection.

With g in the group D4 and f the shared network: P = (1/8) sum_g Cov(f(g x)), P / |P|_F, W^T P W with W^T W = 1, its square root,
the upper triangle v, sign(v) sqrt(|v| + 1e-12), and the whole divided by its length. The abstract gives the group, the average
and the orthogonal compression; the rest is as in the authors' program (a14en9/Remote-Sensing-Image-Classification). That draws W
orthogonal and then trains it freely (``orthogonal="initial"``), and takes the root of a root (``roots=2``), after clipping
eigenvalues to [1e-6, 1e6], which is left out here.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from ..errors import UsageError, check_maps, checked
from .covariance import factor, triu
from .pooling import PRECISIONS, Root, RootSettings
from .roots import covariance_sqrt
from .spectral import for_next_layer, full_precision

COPIES = 8


def d4(x: Tensor) -> Tensor:
    """Square images (B, C, H, H) -> (8 B, C, H, H): as they are, turned by 90, 180 and 270 degrees, and all four mirrored.

    >>> d4(torch.arange(4.0).view(1, 1, 2, 2)).flatten(1).int().tolist()[:2]
    [[0, 1, 2, 3], [1, 3, 0, 2]]
    """
    if x.shape[-1] != x.shape[-2]:
        raise UsageError(f"idccp: turns images by 90 degrees, so that they have to be square, got {x.shape[-2]} x {x.shape[-1]}.")
    turned = torch.cat([torch.rot90(x, k, (-2, -1)) for k in range(4)])
    return torch.cat([turned, turned.flip(-1)])


def signed_root(v: Tensor) -> Tensor:
    """sign(v) sqrt(|v| + 1e-12), 0 at 0."""
    return v.sign() * (v.abs() + 1e-12).sqrt()


class IDCCP(nn.Module):
    """Maps (8 B, C, H, W) of the copies that `d4` makes of B images -> (B, width), each of length one.

    Where ``d`` is given, a 1x1 convolution without activation brings the maps to d channels first. W is d x d', d' = ``share`` d,
    and ``width`` d' (d' + 1) / 2. ``orthogonal`` "parametrised" keeps W^T W = 1 through the training, where weight decay pulls W
    back to its start; "initial" only draws it so. ``root`` is a name of `ROOTS` or {"name": ..., settings}; with ``roots=2`` it
    is taken of the exact root.
    """

    @checked("idccp")
    def __init__(self, channels: int, d: int | None = None, share: float = 0.125, root: RootSettings = "newton_schulz",
                 roots: Literal[1, 2] = 1, orthogonal: Literal["parametrised", "initial"] = "parametrised",
                 precision: Literal["float32", "float64"] = "float32"):
        super().__init__()
        if not 0 < share <= 1 or (d is not None and d < 1):
            raise UsageError("idccp: share is what part of the channels is kept, in (0, 1], and d 1 or more, got "
                             f"{share} and {d}.")
        self.channels, self.orthogonal = channels, orthogonal
        self.project = nn.Identity() if d is None else nn.Conv2d(channels, d, 1)
        self.d, self.roots, self.root = d or channels, roots, Root(root)
        self.kept = max(1, round(share * self.d))
        self.width = self.kept * (self.kept + 1) // 2
        self.dtype = PRECISIONS[precision]
        self.compress = nn.Linear(self.d, self.kept, bias=False)            # its weight is W^T
        nn.init.orthogonal_(self.compress.weight)
        if orthogonal == "parametrised":        # torch's default for such shapes, "householder", is 0 after one step with decay
            parametrizations.orthogonal(self.compress, orthogonal_map="cayley")

    def average(self, x: Tensor) -> Tensor:
        """Maps of eight copies (8 B, d, H, W) -> F (B, d, 8 HW) with F F^T the mean of their covariances."""
        copies = x.flatten(2).unflatten(0, (COPIES, -1))
        return factor(copies).movedim(0, 2).flatten(2) * COPIES**-0.5

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda and torch.cuda.is_current_stream_capturing():
            raise UsageError("idccp: a linear system can't be solved within a CUDA graph; give --engine eager.")
        check_maps("idccp", x, self.channels)
        if len(x) % COPIES:
            raise UsageError(f"idccp: takes the maps of eight copies of each image, got {len(x)} maps: see `d4`.")
        if self.orthogonal == "parametrised" and torch.finfo(next(self.compress.parameters()).dtype).bits < 32:
            raise UsageError("idccp: orthogonal weights can't be computed in half precision: keep the network in float32 and use "
                             "autocast, or take orthogonal = 'initial'.")
        x = self.project(x)
        with full_precision(x):
            f = self.average(x.to(torch.promote_types(x.dtype, self.dtype)))
            gram = f.mT @ f if f.shape[-1] < f.shape[-2] else f @ f.mT
            least = torch.finfo(f.dtype).tiny ** 0.5                        # maps that are constant stay zero
            f = self.compress.weight.to(f.dtype) @ f / torch.linalg.matrix_norm(gram).clamp(min=least).sqrt()[:, None, None]
            if self.roots == 2:
                f = covariance_sqrt(f, power=0.25)              # symmetric: its square is the root of what F F^T was
            found = F.normalize(signed_root(triu(self.root(f))), dim=1)
        return for_next_layer(found, x)
