"""Geometric regularisation of local activations. Theodorakopoulos, Fotopoulou, Economou, Information 12(8), 2021, 333: a
student's local features, the vectors across channels at the positions of a map, are to lie to each other as its teacher's do.

Of the paper only the abstract was at hand. It fixes that the losses compare neighbouring information of local features at
corresponding layers, with no restriction on their dimensionality, and that they work beside distillation, across architectures,
and on external data. So the three methods are **reconstructions**:

Geometric: the affinity contrast, whose formula is that of public code of the same group (its knowledge transfer for offline
    signature verification, "Geometric Regularization of Local Activation Features"); what that code does not fix is ours.
GeometricPattern: the distances between neighbours, in units of the mean distance. Ours, after the abstract's words.
GeometricLLE: the weights of locally linear embedding (Roweis, Saul, 2000). Ours.

The teacher may have any number of stages, widths and resolutions: the last stages of both are paired, the last with the last,
and of two maps the finer is averaged to the coarser. It sees the very images that the student sees.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets import DataSet, load
from ..datasets.augment import normalise
from ..errors import UsageError, check_effect
from ..protocol import Batch, Outcome
from . import geometry
from .distillation import Distillation


@contextmanager
def kept_statistics(model):
    """Layers use a batch's own statistics, and what they keep of batches (batch normalisation's running means, a low-rank layer's
    subspace) is afterwards as before."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    kept = [(m, name, buffer, buffer.clone()) for m in model.modules() if getattr(m, "learns_of_batches", False)
            for name, buffer in m.named_buffers(recurse=False)]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, name, buffer, value in kept:
            if not torch.equal(buffer, value):      # autograd may need those that were not touched
                buffer.copy_(value)
            setattr(module, name, buffer)


def places(u: Tensor, n: int) -> Tensor:
    """Distinct positions out of ``n``, spread evenly, from uniform numbers (P + 1,), P <= n: one of each of P equal runs of
    positions, all of them shifted by the last number. Shape (P,).

    >>> places(torch.tensor([0.0, 0.9, 0.5, 0.0, 0.25]), 8).tolist()
    [2, 5, 7, 0]
    """
    p = len(u) - 1
    run = n // p
    inside = (u[:-1] * run).long().clamp(max=run - 1) + run * torch.arange(p, device=u.device)
    return (inside + (u[-1] * n).long()) % n


@dataclass(eq=False, repr=False)
class Geometry(Distillation):
    """What the three share: which maps are compared, where, and on which images."""

    betas: tuple[float, ...] = ()   # weights of the last stages, the last stage last; 0 leaves a stage out
    positions: int = 64             # ours: all positions of a map up to so many, else so many at random, new in each step
    external: str = ""              # ours: a data set whose training images, without labels, are compared beside the batch
    external_batch: int = 64        # ours

    def __post_init__(self):
        super().__post_init__()
        if not self.betas or min(self.betas) < 0 or self.positions < 2 or self.external_batch < 2:
            raise UsageError(f"{self.title}: betas are 0 or more, one per stage, positions and external_batch 2 or more, got "
                             f"{self.betas}, {self.positions} and {self.external_batch}.")
        check_effect(self.title, "external_batch", self.external_batch, 64, self.external, "external")

    def prepare(self, model) -> "Geometry":
        super().prepare(model)
        ours, theirs = len(model.channels), len(self.frozen[0].channels)
        if len(self.betas) > min(ours, theirs):
            raise UsageError(f"{self.title}: betas weighs {len(self.betas)} stages, but the student has {ours} and the teacher "
                             f"{theirs}.")
        first = range(ours - len(self.betas), ours)
        self.pairs = [(stage, stage - ours + theirs, beta) for stage, beta in zip(first, self.betas, strict=True) if beta]
        if self.external:
            outside = load(self.external)
            if not isinstance(outside, DataSet):
                raise UsageError(f"{self.title}: external images are held in memory; {self.external} is read from files.")
            device = next(model.head.parameters()).device
            self.outside = outside.train_x.to(device), *(torch.tensor(v, device=device) for v in (outside.mean, outside.std))
        return self

    def draw(self, steps: int, batch: int, sizes) -> dict[str, Tensor]:
        """Positions, and which external images."""
        drawn = {f"{self.title}.places": torch.rand(steps, self.positions + 1)}
        if self.external:
            drawn[f"{self.title}.external"] = torch.randint(len(self.outside[0]), (steps, self.external_batch))
        return drawn

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Local features (B, N, C_s) and (B, N, C_t) -> scalar."""
        raise NotImplementedError

    def compared(self, student, teacher, u: Tensor, dtype: torch.dtype, name: str) -> dict[str, Tensor]:
        """The losses of two traces of the same images."""
        losses = {}
        for ours, theirs, beta in self.pairs:
            s, t = student.maps[ours].to(dtype), teacher.maps[theirs].to(dtype)
            size = tuple(min(a, b) for a, b in zip(s.shape[2:], t.shape[2:], strict=True))
            n = size[0] * size[1]
            if n < 2:
                raise UsageError(f"{self.title}: a map of one position has no neighbours; give betas to shallower stages only.")
            at = places(u, n) if n > self.positions else None
            with torch.autocast(s.device.type, enabled=False):
                losses[f"{name}.stage{ours + 1}"] = beta * self.compare(
                    geometry.local_features(s, size, at), geometry.local_features(t, size, at))
        return losses

    def step(self, inner, model, batch: Batch) -> Outcome:
        out = inner(model, batch)
        drawn, dtype = self.drawn(batch, f"{self.title}.places"), out.batch.y.dtype
        u = drawn[f"{self.title}.places"]
        losses = self.compared(out.trace, self.taught(out.batch.x), u, dtype, self.title)
        if self.external:
            x = self.seen(drawn[f"{self.title}.external"], out.batch.x)
            with kept_statistics(model):
                trace = model.trace(x)
            losses |= self.compared(trace, self.taught(x), u, dtype, f"{self.title}.external")
        return out.plus(losses)

    def seen(self, index: Tensor, like: Tensor) -> Tensor:
        """External images at the batch's resolution, normalised by their own data's statistics, neither cropped nor mirrored."""
        images, mean, std = self.outside
        x = normalise(images[index], mean, std).to(like.dtype)
        return x if x.shape[2:] == like.shape[2:] else F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


@dataclass(eq=False, repr=False)
class Geometric(Geometry):
    """Affinity contrast: for each position, squared distances to its neighbours over those to all, neighbours being those in the
    minimum spanning tree of the teacher's map; student's and teacher's are to agree. Losses ``geometric.stage1``, ..."""

    betas: tuple[float, ...] = (10.0, 0.0, 100.0)   # the group's code, for three layers
    form: Literal["ratio", "softmax", "contrast"] = "ratio"     # ratio: the group's code; the others are ours
    tau: float = 1.0                # ours: temperature of softmax and contrast, in mean distances

    title = "geometric"

    def __post_init__(self):
        super().__post_init__()
        if not self.tau > 0:
            raise UsageError(f"geometric: tau must be positive, got {self.tau}.")
        check_effect(self.title, "tau", self.tau, 1.0, self.form != "ratio", "form 'softmax' or 'contrast'")

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        s, t = geometry.distances(student), geometry.distances(teacher)
        if self.form == "ratio":
            tree = geometry.spanning_tree(t)
            return F.mse_loss(geometry.affinity_contrast(s, tree), geometry.affinity_contrast(t, tree))
        own = torch.eye(s.shape[1], dtype=torch.bool, device=s.device)
        log_p, log_q = ((geometry.in_means(d) / -self.tau).masked_fill(own, -torch.inf).log_softmax(2) for d in (t, s))
        if self.form == "softmax":
            return (log_p.exp() * (log_p - log_q).masked_fill(own, 0)).sum(2).mean()
        return -log_q.masked_fill(~geometry.spanning_tree(t), -torch.inf).logsumexp(2).mean()


@dataclass(eq=False, repr=False)
class GeometricPattern(Geometry):
    """Neighbouring pattern: distances between neighbours, the teacher's and the student's, in units of each map's mean distance,
    are to agree. Losses ``geometric_pattern.stage2``, ..."""

    betas: tuple[float, ...] = (1.0, 1.0)       # ours
    graph: Literal["nearest", "tree"] = "nearest"       # ours: nearest of either map, or the teacher's spanning tree
    neighbours: int = 5                         # ours
    error: Literal["squared", "smooth_l1"] = "squared"  # ours

    title = "geometric_pattern"

    def __post_init__(self):
        super().__post_init__()
        if self.neighbours < 1:
            raise UsageError(f"geometric_pattern: neighbours is 1 or more, got {self.neighbours}.")
        check_effect(self.title, "neighbours", self.neighbours, 5, self.graph == "nearest", "graph 'nearest'")

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        s, t = geometry.distances(student), geometry.distances(teacher)
        edges = geometry.spanning_tree(t) if self.graph == "tree" else (
            geometry.joined(t, self.neighbours) | geometry.joined(s, self.neighbours))
        error = F.mse_loss if self.error == "squared" else F.smooth_l1_loss
        terms = error(geometry.in_means(s), geometry.in_means(t), reduction="none")
        return ((terms * edges).sum((1, 2)) / edges.sum((1, 2))).mean()


@dataclass(eq=False, repr=False)
class GeometricLLE(Geometry):
    """The weights that rebuild each of the teacher's vectors from its neighbours are to rebuild the student's. Losses
    ``geometric_lle.stage2``, ..."""

    betas: tuple[float, ...] = (0.1, 0.1)       # ours
    neighbours: int = 5                         # ours
    ridge: float = 1e-3                         # scikit-learn's

    title = "geometric_lle"

    def __post_init__(self):
        super().__post_init__()
        if self.neighbours < 1 or not self.ridge > 0:
            raise UsageError(f"geometric_lle: neighbours is 1 or more and ridge positive, got {self.neighbours}, {self.ridge}.")

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        weights = geometry.reconstruction_weights(teacher, self.neighbours, self.ridge)
        return geometry.reconstruction_error(student, weights).mean()
