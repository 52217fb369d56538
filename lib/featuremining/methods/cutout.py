"""Cutout. DeVries, Taylor, 2017, arXiv:1708.04552."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..protocol import Batch, Method, Outcome


def inside(at: Tensor, size: int, length: int) -> Tensor:
    """(B,) centres in [0, 1) -> (B, size) booleans: true within ``length // 2`` of the centre's cell, clipped at the border.

    >>> inside(torch.tensor([0.0, 0.5]), 6, 4).int().tolist()
    [[1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0]]
    """
    centre, cells, half = (at * size).floor()[:, None], torch.arange(size, device=at.device), length // 2
    return (cells >= centre - half) & (cells < centre + half)


@dataclass(eq=False, repr=False)
class Cutout(Method):
    """Zero one square of every image, at a place of its own, after normalisation: the square is the mean colour."""

    length: int = 8         # pixels; the authors' value for CIFAR-100 (16 for CIFAR-10)

    whole_batch = True

    def __post_init__(self):
        super().__post_init__()
        if self.length < 2 or self.length % 2:
            raise UsageError(f"cutout: length is an even number of pixels, as in the authors' code, got {self.length}.")

    def draw(self, steps: int, batch: int, sizes) -> dict[str, Tensor]:
        return {"cutout.at": torch.rand(steps, batch, 2)}

    def step(self, inner, model, batch: Batch) -> Outcome:
        at = self.drawn(batch, "cutout.at")["cutout.at"][: len(batch.x)]
        height, width = batch.x.shape[2:]
        hole = inside(at[:, 0], height, self.length)[:, :, None] & inside(at[:, 1], width, self.length)[:, None, :]
        return inner(model, batch._replace(x=batch.x.masked_fill(hole[:, None], 0)))
