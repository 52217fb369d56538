"""Low-rank deep feature recovery. Ren, Zhang, Fan, Zhang, Xu, Wang, ICDM 2021 (LDFR), and its faster form, Knowledge and
Information Systems 2022 (FLDFR). Of both only the abstracts were at hand: a **reconstruction**.

They fix: low-rank projections embed the feature maps onto a low-rank subspace that is learnt from selected informative maps;
all maps are rebuilt; at test time a generalised subspace serves, the average over all that were learnt; FLDFR flattens all maps
of a batch into one problem. They fix neither the problem nor the selection. "Projections" and "embedding in the test phase" are
words of inductive robust PCA (Bao, Liu, Xu, Yan, TIP 2012), A = P A + E with P of low rank, whose relaxed form has the closed
solution of Favaro, Vidal, Ravichandran (CVPR 2011). That is what is solved here; the robust form is an option.
"""

from math import ceil
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import UsageError, check_effect, check_maps, checked
from .spectral import eigh, without_bad

Score = Literal["variance", "energy", "entropy", "nuclear"]


def low_rank_projection(a: Tensor, tau: float | Tensor) -> Tensor:
    """The minimiser P of ||P||_* + tau / 2 ||A - P A||_F^2 for A (..., d, n): with A = U S V^T, P = U (1 - 1 / (tau S^2))_+ U^T,
    (..., d, d), symmetric, its eigenvalues in [0, 1). Singular values up to 1 / sqrt(tau) are left out; where A is zero so is P.
    No gradient passes through it; where A has infinities or NaN, P is NaN.

    >>> low_rank_projection(torch.diag(torch.tensor([2.0, 0.5])), 1.0).tolist()
    [[0.75, 0.0], [0.0, 0.0]]
    """
    return shrunk(a @ a.mT, lambda squares: 1 / torch.as_tensor(tau, dtype=squares.dtype, device=squares.device))


def shrunk(gram: Tensor, threshold) -> Tensor:
    """`low_rank_projection` from A A^T (..., d, d), in fp64. ``threshold`` gives 1 / tau (...) from the squared singular values
    (..., d), which ascend."""
    squares, u = eigh(gram.double())
    kept = (1 - threshold(squares)[..., None] / squares.clamp(min=torch.finfo(squares.dtype).tiny)).clamp(min=0)
    return ((u * kept[..., None, :]) @ u.mT).to(gram.dtype)


def robust_projection(a: Tensor, lam: float, steps: int = 60, mu: float = 0.5, grow: float = 1.15) -> tuple[Tensor, Tensor]:
    """Minimise ||P||_* + lam ||E||_{2,1} with A = P A + E, A divided by its largest singular value: whole columns may be wrong.
    (..., d, n) -> P (..., d, d), E (..., d, n).

    Inexact augmented Lagrangian with a copy J of P that takes the nuclear norm (Lin, Liu, Su, NeurIPS 2011; Liu et al., TPAMI
    2013); its penalty starts at ``mu`` and grows by ``grow`` in each of ``steps``.
    """
    a, bad = without_bad(a)
    scale = torch.linalg.matrix_norm(a, 2)[..., None, None].clamp(min=torch.finfo(a.dtype).tiny)
    a = a / scale
    eye = torch.eye(a.shape[-2], dtype=a.dtype, device=a.device)
    inverse = torch.linalg.inv(eye + a @ a.mT)
    p, e, y, z = torch.zeros_like(inverse), torch.zeros_like(a), torch.zeros_like(a), torch.zeros_like(inverse)
    for _ in range(steps):
        u, s, vh = torch.linalg.svd(p + z / mu)
        j = u @ ((s - 1 / mu).clamp(min=0)[..., None] * vh)
        p = ((a - e + y / mu) @ a.mT + j - z / mu) @ inverse
        e = shorter(a - p @ a + y / mu, lam / mu)
        y, z, mu = y + mu * (a - p @ a - e), z + mu * (p - j), mu * grow
    return torch.where(bad[..., None, None], torch.nan, p), e * scale


def shorter(columns: Tensor, by: float) -> Tensor:
    """Every column (..., d, n) shorter by so much, zero at the least: what minimises by ||E||_{2,1} + ||E - columns||^2 / 2."""
    length = columns.norm(dim=-2, keepdim=True)
    return columns * ((length - by).clamp(min=0) / length.clamp(min=torch.finfo(columns.dtype).tiny))


def scores(x: Tensor, by: str) -> Tensor:
    """How informative each map of (B, C, H, W) is: (B, C). Variance over positions, sum of magnitudes, entropy of the magnitudes
    as a distribution over positions, or nuclear norm."""
    if by == "variance":
        return x.var((2, 3), correction=0)
    if by == "energy":
        return x.abs().sum((2, 3))
    if by == "nuclear":
        x, bad = without_bad(x)
        return torch.where(bad, torch.nan, torch.linalg.svdvals(x).sum(-1))
    share = x.abs().flatten(2)
    share = share / share.sum(2, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return torch.special.entr(share).sum(2)


def informative(x: Tensor, share: float, by: str) -> Tensor:
    """The k = ceil(share C) maps of each image with the highest scores, of equal ones the lower channel: (B, C, H, W) ->
    (B, k, H, W)."""
    k = ceil(round(share * x.shape[1], 9))
    best = scores(x, by).sort(dim=1, descending=True, stable=True).indices[:, :k]
    return x[torch.arange(len(x), device=x.device)[:, None], best]


class LowRankRecovery(nn.Module):
    """Maps (B, C, H, W) -> maps of the same shape, x + gate (recovered - x). Recovered is m + P (x - m) with m the mean of the
    columns that P is learnt from.

    ``mode`` "batch" is FLDFR: maps are columns of HW numbers, one P for a batch. "image" is LDFR: the maps of an image stand
    side by side, as columns of H numbers, one P per image. While training a batch is recovered by its own P, without gradient
    through it; in evaluation by the average of all P learnt, so that the layer is one affine map. Before any was learnt it
    changes nothing. So training and test differ, as with batch normalisation. ``average`` "mean" is that of all, "ema" forgets
    the old ones by ``momentum``, "epoch" begins anew whenever `begin_epoch` is called, as the trainings of this package do.
    """

    learns_of_batches = True

    @checked("low_rank")
    def __init__(self, mode: Literal["batch", "image"] = "batch", select: Score = "variance", share: float = 0.5,
                 rho: float = 0.1, gate: float = 1.0, centre: bool = True, average: Literal["mean", "ema", "epoch"] = "mean",
                 momentum: float = 0.99, update_every: int = 1, solver: Literal["closed", "robust"] = "closed", lam: float = 0.5,
                 relu: bool = False):
        super().__init__()
        if not (0 < share <= 1 and 0 < rho < 1 and 0 <= gate <= 1 and 0 <= momentum < 1 and update_every >= 1 and lam > 0):
            raise UsageError("low_rank: share lies in (0, 1], rho in (0, 1), gate in [0, 1], momentum in [0, 1), update_every "
                             f"is 1 or more and lam positive, got {share}, {rho}, {gate}, {momentum}, {update_every} and {lam}.")
        for name, value, default, acts, needs in (
                ("select", select, "variance", share < 1, "share below 1"),
                ("rho", rho, 0.1, solver == "closed", "solver 'closed'"),
                ("lam", lam, 0.5, solver == "robust", "solver 'robust'"),
                ("momentum", momentum, 0.99, average == "ema", "average 'ema'")):
            check_effect("low_rank", name, value, default, acts, needs)
        self.mode, self.select, self.share, self.rho, self.gate, self.centre = mode, select, share, rho, gate, centre
        self.average, self.momentum, self.update_every, self.solver, self.lam = average, momentum, update_every, solver, lam
        self.relu = relu
        for name, start in (("subspace", torch.zeros(0, 0)), ("offset", torch.zeros(0)), ("learnt", torch.zeros(())),
                            ("passes", torch.zeros((), dtype=torch.long))):
            self.register_buffer(name, start)
        if update_every > 1:            # what serves between two updates
            self.register_buffer("latest", torch.zeros(0, 0))
            self.register_buffer("latest_offset", torch.zeros(0))

    def columns(self, x: Tensor) -> Tensor:
        """(B, k, H, W) -> (1, HW, B k) or (B, H, k W): what P is learnt from, and what it acts on."""
        if self.mode == "batch":
            return x.flatten(2).permute(2, 0, 1).flatten(1)[None]
        return x.permute(0, 2, 1, 3).flatten(2)

    def maps(self, columns: Tensor, shape: torch.Size) -> Tensor:
        """The inverse of `columns`."""
        batch, k, height, width = shape
        if self.mode == "batch":
            return columns[0].reshape(height, width, batch, k).permute(2, 3, 0, 1)
        return columns.reshape(batch, height, k, width).permute(0, 2, 1, 3)

    @torch.no_grad()
    def learn(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Subspaces (M, d, d) and offsets (M, d) of a batch of maps, M being 1 or B: recovered = P x + offset."""
        a = self.columns(informative(x, self.share, self.select))
        mean = a.mean(2, keepdim=True) if self.centre else torch.zeros_like(a[:, :, :1])
        a = a - mean
        if self.solver == "closed":
            p = shrunk(a @ a.mT / a.shape[2], lambda squares: self.rho**2 * squares[..., -1])
        else:
            p, _ = robust_projection(a, self.lam)
        return p, (mean - p @ mean).squeeze(2)

    @torch.no_grad()
    def remember(self, p: Tensor, offset: Tensor) -> None:
        """Into the generalised subspace: the mean of all, or one that forgets."""
        if not self.learnt:
            self.subspace, self.offset = torch.zeros_like(p[0]), torch.zeros_like(offset[0])
        if p.shape[1:] != self.subspace.shape:
            raise UsageError(f"low_rank: its subspace was learnt from columns of {len(self.subspace)} numbers and can't go on "
                             f"with {p.shape[1]}; images keep their size.")
        self.learnt += len(p)
        part = len(p) / self.learnt if self.average != "ema" or self.learnt == len(p) else 1 - self.momentum
        self.subspace.lerp_(p.mean(0), part)
        self.offset.lerp_(offset.mean(0), part)

    def begin_epoch(self) -> None:
        """With ``average`` "epoch", leave out what was learnt so far; the next batch is learnt of."""
        if self.average == "epoch":
            self.learnt.zero_()
            self.passes.zero_()

    def subspaces(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """What recovers this batch: its own, the last one learnt, or the generalised one; None where nothing was learnt."""
        if not self.training or not len(x):
            return (self.subspace[None], self.offset[None]) if self.learnt else None
        due = int(self.passes) % self.update_every == 0
        self.passes += 1
        if not due:
            return self.latest[None], self.latest_offset[None]
        p, offset = self.learn(x.to(torch.promote_types(x.dtype, torch.float32)))
        self.remember(p, offset)
        if self.update_every > 1:
            self.latest, self.latest_offset = p.mean(0), offset.mean(0)
        return p, offset

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda and torch.cuda.is_current_stream_capturing():
            raise UsageError("low_rank: eigenvectors can't be found within a CUDA graph; give --engine eager.")
        check_maps("low_rank", x)
        with torch.autocast(x.device.type, enabled=False):
            found = self.subspaces(x)
            if found is None:
                return x
            p, offset = found
            columns = self.columns(x)
            if p.shape[1] != columns.shape[1]:
                raise UsageError(f"low_rank: its subspace was learnt from columns of {p.shape[1]} numbers, these have "
                                 f"{columns.shape[1]}; images keep the size they were trained at.")
            recovered = self.maps((p.to(x.dtype) @ columns) + offset[..., None].to(x.dtype), x.shape)
        y = recovered if self.gate == 1 else x + self.gate * (recovered - x)
        return y.relu() if self.relu else y

    def _load_from_state_dict(self, state, prefix, *args):
        """What was learnt has the size of the maps it was learnt from."""
        for name in ("subspace", "offset", "latest", "latest_offset"):
            if hasattr(self, name) and prefix + name in state:
                setattr(self, name, torch.empty_like(state[prefix + name], device=self.learnt.device))
        super()._load_from_state_dict(state, prefix, *args)
