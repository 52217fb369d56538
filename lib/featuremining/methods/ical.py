"""Inter-class angular loss. Hui, Li, Gong, Fang, Zhou, Yang, AAAI 2019, as in the authors' code (fpthink/ICAL): beside the
cross-entropy

    lambda / K^2 || sum_i w_i ||^2 = lambda mean_ij cos(w_i, w_j),   w_i = v_i / ||v_i||,

over the K class vectors v_i of the classifier; the K terms with i = j are a constant lambda / K. Their classifier has class
vectors of length one and no bias, also at test time: the network's option head="unit". On an ordinary classifier the loss reads
the directions of its class vectors.

The abstract says that similar classes are to be told apart by larger angles; the published penalty treats all pairs alike, and
any vectors that sum to zero minimise it. Forms that weigh confused pairs, or only those at a small angle, are ours.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError, check_effect
from ..protocol import Batch, Method, Outcome


def cosines(weight: Tensor) -> Tensor:
    """Cosines of the angles between the rows of a (K, D) matrix: (K, K), in its own precision.

    >>> cosines(torch.tensor([[2.0, 0.0], [0.0, 3.0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    with torch.autocast(weight.device.type, enabled=False):
        unit = F.normalize(weight, dim=1)
        return unit @ unit.T


def mean_cosine(weight: Tensor) -> Tensor:
    """The mean of `cosines`, by the sum of the unit rows: (K, D) -> scalar in [0, 1].

    >>> mean_cosine(torch.tensor([[1.0, 0.0], [-5.0, 0.0]])).item()
    0.0
    """
    return F.normalize(weight, dim=1).mean(0).square().sum()


def off_diagonal(square: Tensor) -> Tensor:
    """The K (K - 1) entries of a (K, K) matrix off its diagonal, row by row: (K (K - 1),).

    >>> off_diagonal(torch.arange(9).reshape(3, 3)).tolist()
    [1, 2, 3, 5, 6, 7]
    """
    k = len(square)
    return square.flatten()[1:].reshape(k - 1, k + 1)[:, :-1].flatten()


@dataclass(eq=False, repr=False)
class ICAL(Method):
    """Class vectors are to point away from each other. Loss ``ical``; logs the smallest, mean and largest angle between two
    classes in degrees, ``ical.angle_min``, ``ical.angle_mean``, ``ical.angle_max``."""

    weight: float = 5.0         # lambda; the authors' code, CIFAR-10 with crops and flips (10 without; its default is 0.1)
    form: Literal["mean", "confusion", "hinge"] = "mean"    # mean: the authors' code; the others are ours
    margin: float = 0.0         # ours, of hinge: a pair costs by how far its cosine lies above
    memory: float = 0.99        # ours, of confusion: how much of its running matrix stays from step to step

    def __post_init__(self):
        super().__post_init__()
        if not (self.weight >= 0 and -1 <= self.margin < 1 and 0 <= self.memory < 1):
            raise UsageError("ical: weight is 0 or more, margin in [-1, 1) and memory in [0, 1), got "
                             f"{self.weight}, {self.margin} and {self.memory}.")
        for name, default, form in (("margin", 0.0, "hinge"), ("memory", 0.99, "confusion")):
            check_effect("ical", name, getattr(self, name), default, self.form == form, f"form {form!r}")

    def prepare(self, model) -> "ICAL":
        weight = getattr(model.head, "weight", None)
        if not isinstance(weight, Tensor) or weight.dim() != 2 or len(weight) != model.classes or model.classes < 2:
            raise UsageError("ical: needs a classifier with one weight vector for each of two classes or more.")
        if self.form == "confusion":
            k = model.classes
            self.register_buffer("confusion", torch.ones(k, k, device=weight.device, dtype=weight.dtype) / k)
        return self

    @property
    def learns_of_batches(self) -> bool:
        return self.form == "confusion"

    @torch.no_grad()
    def watch(self, logits: Tensor, y: Tensor) -> None:
        """Mix this batch into the running matrix: row i is the mean prediction for images of class i. Classes that the batch
        has no image of keep their row."""
        with torch.autocast(logits.device.type, enabled=False):
            predicted, seen = y.T @ logits.to(y.dtype).softmax(1), y.sum(0)[:, None]
        now = torch.where(seen > 0, predicted / seen.clamp(min=1e-6), self.confusion)
        self.confusion.lerp_(now, 1 - self.memory)

    def penalty(self, weight: Tensor, cos: Tensor) -> Tensor:
        if self.form == "mean":
            return mean_cosine(weight)
        if self.form == "hinge":
            return (off_diagonal(cos) - self.margin).relu().mean()
        pairs = off_diagonal(self.confusion)             # cosines are symmetric: either half would do
        return (pairs / pairs.sum().clamp(min=1e-12) * off_diagonal(cos)).sum()

    def step(self, inner, model, batch: Batch) -> Outcome:
        out = inner(model, batch)
        if self.form == "confusion":
            self.watch(out.trace.logits, out.batch.y)
        cos = cosines(model.head.weight)
        angles = off_diagonal(cos.detach()).clamp(-1, 1).acos().rad2deg()
        logs = {"ical.angle_min": angles.min(), "ical.angle_mean": angles.mean(), "ical.angle_max": angles.max()}
        return out.plus({"ical": self.weight * self.penalty(model.head.weight, cos)}, logs)
