"""Mixup. Zhang, Cisse, Dauphin, Lopez-Paz, ICLR 2018, arXiv:1710.09412."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..protocol import Batch, Method, Outcome
from .boxes import check_beta


def mix(batch: Batch, lam: Tensor, partner: Tensor) -> Batch:
    """lam x + (1 - lam) x[partner], images and targets alike: lam scalar, partner (B,) indices.

    >>> b = Batch(torch.tensor([[0.], [4.]]), torch.eye(2))
    >>> mix(b, torch.tensor(0.75), torch.tensor([1, 0])).x.flatten().tolist()
    [1.0, 3.0]
    """
    x, y = batch.x, batch.y
    return batch._replace(x=torch.lerp(x[partner], x, lam.to(x.dtype)), y=torch.lerp(y[partner], y, lam.to(y.dtype)))


@dataclass(eq=False, repr=False)
class Mixup(Method):
    """Train on mixed pairs of images and targets. One lam ~ Beta(alpha, alpha) and one permutation per batch, as in the
    authors' code. Targets are probability rows, so every head of every method around it is scored with the mixed target.
    """

    alpha: float = 1.0      # the authors' CIFAR value; the Feature Mining paper does not print its own

    whole_batch = True

    def __post_init__(self):
        super().__post_init__()
        check_beta("mixup: alpha", self.alpha)

    def draw(self, steps: int, batch: int, sizes) -> dict[str, Tensor]:
        lam = torch.distributions.Beta(float(self.alpha), float(self.alpha)).sample((steps,))
        return {"mixup.lam": lam, "mixup.noise": torch.rand(steps, batch)}

    def step(self, inner, model, batch: Batch) -> Outcome:
        """The order of a batch's noise is a uniform permutation of it, whatever its size."""
        drawn = self.drawn(batch, "mixup.lam")
        return inner(model, mix(batch, drawn["mixup.lam"], drawn["mixup.noise"][: len(batch.x)].argsort()))
