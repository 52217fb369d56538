"""CutMix. Yun, Han, Oh, Chun, Choe, Yoo, ICCV 2019, arXiv:1905.04899. Feature Mining takes its box from here."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..protocol import Batch, Method, Outcome
from .boxes import box_mask, check_beta, interval


def paste(batch: Batch, mask: Tensor, partner: Tensor) -> Batch:
    """Pixels inside ``mask`` (H, W) come from x[partner]; targets are weighted by the exact share of pixels.

    >>> b = Batch(torch.tensor([[[[0., 0.]]], [[[4., 4.]]]]), torch.eye(2))
    >>> mixed = paste(b, torch.tensor([[True, False]]), torch.tensor([1, 0]))
    >>> mixed.x.flatten().tolist(), mixed.y[0].tolist()
    ([4.0, 0.0, 0.0, 4.0], [0.5, 0.5])
    """
    kept = 1 - mask.to(batch.y.dtype).mean()
    return batch._replace(x=torch.where(mask, batch.x[partner], batch.x), y=torch.lerp(batch.y[partner], batch.y, kept))


@dataclass(eq=False, repr=False)
class CutMix(Method):
    """A box of every image is replaced by that of another; one box and one permutation per batch, as in the authors' code.
    Targets are probability rows, so every head of every method around it is scored with the mixed target."""

    alpha: float = 1.0      # Beta(alpha, alpha): the authors' value
    prob: float = 0.5       # of a batch being mixed: the authors' value for CIFAR; 1.0 for ImageNet

    whole_batch = True

    def __post_init__(self):
        super().__post_init__()
        check_beta("cutmix: alpha", self.alpha)
        if not 0 <= self.prob <= 1:
            raise UsageError(f"cutmix: prob must lie in [0, 1], got {self.prob}.")

    def draw(self, steps: int, batch: int, sizes) -> dict[str, Tensor]:
        lam = torch.distributions.Beta(float(self.alpha), float(self.alpha)).sample((steps,))
        lam = torch.where(torch.rand(steps) < self.prob, lam, torch.ones(()))       # 1: an empty box
        return {"cutmix.lam": lam, "cutmix.at": torch.rand(steps, 2), "cutmix.noise": torch.rand(steps, batch)}

    def step(self, inner, model, batch: Batch) -> Outcome:
        drawn = self.drawn(batch, "cutmix.lam")
        height, width = batch.x.shape[2:]
        side, at = (1 - drawn["cutmix.lam"]).sqrt()[None], drawn["cutmix.at"]
        x, y = interval(width, side, at[:1], "center_clip"), interval(height, side, at[1:], "center_clip")
        mask = box_mask(x, y, height, width).view(height, width)
        return inner(model, paste(batch, mask, drawn["cutmix.noise"][: len(batch.x)].argsort()))
