"""Global covariance pooling: what a classifier reads of the last map is the upper triangle of its covariance's square root.

Li, Xie, Wang, Zuo, ICCV 2017, arXiv:1703.08050 (MPN-COV; M-l2, M-Fro); Li, Xie, Wang, Gao, CVPR 2018, arXiv:1712.01034
(iSQRT-COV); Wang, Xie, Zuo, Zhang, Li, arXiv:1904.06836 (global Gaussian embedding; progressive and grouped 1x1 convolutions, of
which the abstract says no more: that covariances are taken within the groups is our reading); Song, Sebe, Wang, arXiv:2205.13282
(scaling eigen branch, as its authors' program has it); Song, Sebe, Wang, ICCV 2021, arXiv:2105.02498 (the hybrid protocol: one
root until the last decay of the learning rate, another from there).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import UsageError, check_maps, checked, choose
from .covariance import factor, triu
from .roots import ROOTS, covariance_sqrt, settings_of
from .spectral import eigh, for_next_layer, full_precision

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
RootSettings = str | Mapping            # a name of `ROOTS`, or {"name": ..., settings}


class Root(nn.Module):
    """`covariance_sqrt` with its method and settings: factors (..., C, N) -> (..., C, C)."""

    def __init__(self, root: RootSettings):
        super().__init__()
        given = {"name": root} if isinstance(root, str) else dict(root) if isinstance(root, Mapping) else {}
        if not given:
            raise UsageError(f"A root is one of {', '.join(ROOTS)}, or {{\"name\": one of them, settings}}, got {root!r}.")
        name = given.pop("name", None)
        self.settings = {"name": choose("root", name, ROOTS), **settings_of(name, given)}

    @property
    def power(self) -> float:
        return self.settings.get("power", 0.5)

    def forward(self, f: Tensor) -> Tensor:
        settings = dict(self.settings)
        return covariance_sqrt(f, settings.pop("name"), **settings)


class Hybrid(nn.Module):
    """One root first, another ``late`` in training. Which of them is in use is part of the weights."""

    def __init__(self, first: Root, second: Root):
        super().__init__()
        self.first, self.second, self.late = first, second, False

    @property
    def power(self) -> float:
        return (self.second if self.late else self.first).power

    def switch(self, late: bool) -> bool:
        """Use the root for this part of training; whether that is another than before."""
        changed, self.late = late != self.late, late
        return changed

    def forward(self, f: Tensor) -> Tensor:
        return (self.second if self.late else self.first)(f)

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.late)

    def set_extra_state(self, state: Tensor) -> None:
        self.late = bool(state)


class CovariancePooling(nn.Module):
    """(B, d, H, W) maps -> (B, width), the upper triangle of a root of their covariance; ``width`` is d (d + 1) / 2.

    ``root`` is a name of `ROOTS` or {"name": ..., settings}; ``later`` another from the last decay of the learning rate on, as
    the training tells it. ``normalise`` divides by a norm of the covariance to the root's power: ``"l2"`` its largest
    eigenvalue, ``"frobenius"`` its Frobenius norm. ``gaussian`` pools [P + m m^T, m; m^T, 1] with the mean m, ``seb`` multiplies
    by 1 + |Q exp(-P)|_F, ``groups`` takes covariances within groups of channels only. The root is computed in ``precision`` at
    least, and ``dropout`` acts on what is read.
    """

    @checked("covariance")
    def __init__(self, d: int, root: RootSettings = "newton_schulz", later: RootSettings | None = None, groups: int = 1,
                 gaussian: bool = False, normalise: Literal["none", "l2", "frobenius"] = "none", seb: bool = False,
                 dropout: float = 0.0, precision: Literal["float32", "float64"] = "float32"):
        super().__init__()
        if d < 1 or groups < 1 or d % groups:
            raise UsageError(f"{d} channels can't be divided into {groups} equal groups.")
        if not 0 <= dropout < 1:
            raise UsageError(f"covariance: dropout is what part of the numbers is dropped, in [0, 1), got {dropout}.")
        self.root = Root(root) if later is None else Hybrid(Root(root), Root(later))
        self.d, self.groups, self.gaussian, self.seb = d, groups, gaussian, seb
        self.normalise, self.dtype = normalise, PRECISIONS[precision]
        self.dropout = nn.Dropout(dropout)
        side = d // groups + gaussian
        self.width = groups * side * (side + 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        check_maps("covariance", x, self.d)
        return self.dropout(self.vector(x.flatten(2)))

    def vector(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """Columns (..., d, N) -> (..., width); ``weights`` (..., N) say how much each column counts, as in `factor`. Without
        dropout."""
        exact = torch.promote_types(x.dtype, self.dtype)
        like = x
        with full_precision(x):
            x, weights = x.to(exact), None if weights is None else weights.to(exact)
            if self.groups > 1:
                x, weights = x.unflatten(-2, (self.groups, -1)), None if weights is None else weights[..., None, :]
            x = torch.cat([x, torch.ones_like(x[..., :1, :])], -2) if self.gaussian else x
            f = factor(x, weights, centre=not self.gaussian)
            q = triu(self.scaled(self.root(f), f))
        return for_next_layer(q.flatten(-2) if self.groups > 1 else q, like)

    def scaled(self, q: Tensor, f: Tensor) -> Tensor:
        """The root Q of F F^T, normalised and with the scaling branch."""
        if self.normalise == "none" and not self.seb:
            return q
        gram = f.mT @ f if f.shape[-1] < f.shape[-2] else f @ f.mT
        values, small = eigenvalues(gram), torch.finfo(q.dtype).tiny
        if self.seb:        # |Q exp(-P)|_F with the exact root
            q = q * (1 + (values * (-2 * values).exp()).sum(-1).clamp(min=small).sqrt())[..., None, None]
        if self.normalise == "none":
            return q
        norm, least = values[..., -1] if self.normalise == "l2" else torch.linalg.matrix_norm(gram), small**0.5
        scale = torch.where(norm > least, norm.clamp(min=least) ** -self.root.power, 0)         # zero maps stay zero
        return q * scale[..., None, None]


def eigenvalues(matrix: Tensor) -> Tensor:
    """Of symmetric matrices (..., d, d), ascending; their first derivative is u u^T, whether eigenvalues are equal or not."""
    _, vectors = eigh(matrix)
    return (vectors * (matrix @ vectors)).sum(-2)


def reduction(channels: int, widths: Sequence[int], groups: int = 1) -> nn.Sequential:
    """(B, channels, H, W) -> (B, widths[-1], H, W): 1x1 convolutions, each with BN and ReLU, progressively narrower; the last one
    in ``groups``."""
    layers: list[nn.Module] = []
    for i, width in enumerate(widths, 1):
        of = groups if i == len(widths) else 1
        if min(width, of) < 1 or channels % of or width % of:
            raise UsageError(f"A 1x1 convolution from {channels} to {width} channels can't have {of} equal groups.")
        conv = nn.Conv2d(channels, width, 1, groups=of, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers)
