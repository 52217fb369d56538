"""A fixed mask on a stage's map: the observation study of Xie et al., arXiv:2107.08421, section 2, figure 2.

The paper multiplies "the features of the last layer of the network by different fixed binary masks, so that only part of
the features ... can participate in the network training", and looks at class activation maps of what came out. It prints
the masks only as a picture: the shapes here are ours.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import UsageError, choose
from ..protocol import Batch, Method, Outcome
from .dropout import after

Shape = Literal["full", "top", "bottom", "left", "right", "centre", "border"]
PLACES = {          # which rows and which columns are kept; of the border, which are not
    "full": ("all", "all"), "top": ("low", "all"), "bottom": ("high", "all"), "left": ("all", "low"), "right": ("all", "high"),
    "centre": ("middle", "middle"), "border": ("middle", "middle"),
}


def span(size: int, place: str) -> tuple[int, int]:
    """The cells [begin, end) of ``size`` that are kept: ``all``, or half of them at the ``low`` end, at the ``high`` end or in
    the ``middle``.

    The ends are mirror images: of an odd size both have the cell between them. The middle is rounded down, and half a cell
    towards the low end where it can't be exact.

    >>> [span(8, place) for place in ("all", "low", "high", "middle")]
    [(0, 8), (0, 4), (4, 8), (2, 6)]
    >>> [span(7, place) for place in ("all", "low", "high", "middle")]
    [(0, 7), (0, 4), (3, 7), (2, 5)]
    """
    half = size // 2
    begin = (size - half) // 2
    return {"all": (0, size), "low": (0, size - half), "high": (half, size), "middle": (begin, begin + half)}[place]


def fixed_mask(shape: str, height: int, width: int, device=None) -> Tensor:
    """(height, width) booleans, true where the map is kept. Centre: half the height by half the width, a quarter of the area;
    border: all but the centre.

    >>> fixed_mask("border", 4, 4).int().tolist()
    [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    places = PLACES[choose("mask", shape, PLACES)]
    if min(height, width) < 2 and shape != "full":
        raise UsageError(f"fixed_mask: a map of {height} x {width} has no {shape}; take larger images or a shallower stage.")
    inside = []
    for size, place in zip((height, width), places, strict=True):
        cells, (begin, end) = torch.arange(size, device=device), span(size, place)
        inside.append((cells >= begin) & (cells < end))
    box = inside[0][:, None] & inside[1]
    return ~box if shape == "border" else box


@dataclass(eq=False, repr=False)
class FixedMask(Method):
    """While training, one stage's map is multiplied by one binary mask, the same for all images and steps. The average is
    still taken over all H * W places. The evaluated network sees the whole map."""

    mask: Shape = "top"     # ours; the Feature Mining paper shows its masks only as a picture (figure 2, first column)
    stage: int = -1         # the Feature Mining paper: "the last layer"; negative: from the deepest

    def prepare(self, model) -> "FixedMask":
        count = len(model.channels)
        if not -count <= self.stage < count:
            raise UsageError(f"fixed_mask: stage {self.stage} was asked for, but this network has {count} stages, from 0.")
        self.edited = self.stage % count
        return self

    def draw(self, steps: int, batch: int, sizes) -> dict[str, Tensor]:
        """Nothing; but a map too small for the mask is reported here, before the first step is compiled or captured."""
        if sizes:
            fixed_mask(self.mask, *sizes[self.edited])
        return {}

    def edit(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the map with zeros outside the mask."""
        return x * fixed_mask(self.mask, *x.shape[2:], x.device)

    def step(self, inner, model, batch: Batch) -> Outcome:
        if not self.training:
            return inner(model, batch)
        edits = {**batch.edits, self.edited: after(batch.edits.get(self.edited), self.edit)}
        return inner(model, batch._replace(edits=edits))
