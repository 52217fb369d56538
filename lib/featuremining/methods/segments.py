"""What Feature Mining divides a map by: a box, or as its Table 9 compares, two boxes, points or channels.

The fields of a kind are the settings that mean something for it. ``split`` draws the masks of the two parts for n = 1 or B
images, (n, HW) by place, (n, C, HW) by element or (n, C) by channel; ``rows`` makes of masks what pools the parts; ``empty``
says how likely each part is empty, so that its head would learn from nothing.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from .boxes import box_mask, interval, one_cell

Shape = tuple[int, int, int]        # (C, H, W) of one image's map


def pooling_matrix(masks: Tensor, masked_mean: bool = False) -> Tensor:
    """Masks (..., R, HW) -> rows of the same shape whose product with a map pools every part of it.

    Divided by HW as the paper's GAP does, or (``masked_mean``) by each part's own area.
    """
    return masks / (masks.sum(-1, keepdim=True).clamp(min=1) if masked_mean else masks.shape[-1])


def bernoulli(shape: tuple[int, ...], keep: float | None, device) -> Tensor:
    """Masks of ``shape`` (n, ...), each with one probability: ``keep``, or U(0, 1) where that is None."""
    probability = torch.rand(shape[0], *(1,) * (len(shape) - 1), device=device) if keep is None else keep
    return (torch.rand(shape, device=device) < probability).float()


@dataclass(frozen=True)
class Places:
    """Parts that differ from place to place of the map; ``ahead``: small enough to be drawn for many steps at once."""

    pool: str
    ahead = False

    def rows(self, masks: Tensor) -> Tensor:
        """(n, R, HW) -> (n, 1, R, HW); by element (n, C, R, HW)."""
        rows = pooling_matrix(masks, self.pool == "masked_mean")
        return rows if rows.dim() == 4 else rows[:, None]

    def shared(self, n: int, device) -> Tensor | None:
        """What all stages' parts have in common."""


def odds_of_none(cells: int, keep: float | None) -> tuple[float, float]:
    """How likely none, and how likely all of ``cells`` are kept, each with probability ``keep`` (None: U(0, 1)).

    >>> odds_of_none(2, 0.5), odds_of_none(4, None), odds_of_none(4, 0.0)
    ((0.25, 0.25), (0.2, 0.2), (1.0, 0.0))
    """
    return (1 / (cells + 1),) * 2 if keep is None else ((1 - keep) ** cells, keep**cells)


@dataclass(frozen=True)
class Boxes(Places):
    """Random boxes of equation (2), as numbers relative to the map, (n, 3), and as masks."""

    box: str
    exact_width: bool
    min_box: int
    beta: tuple[float, float]
    area: float | None
    ahead, second = True, "outside"

    def draw(self, n: int, device) -> Tensor:
        """(n, 3): the relative side sqrt(1 - lambda) and the position (u_x, u_y) of n boxes."""
        lam, at = torch.rand(n, 1, device=device), torch.rand(n, 2, device=device)
        if self.area is not None:
            side = sqrt(self.area) * (1 + 1e-6)         # so that (3/7)^2 of 7 x 7 cells is 3 x 3 in spite of rounding
            return torch.cat([torch.full_like(lam, side), at], dim=1)
        if self.beta != (1.0, 1.0):
            a, b = (torch.full((n, 1), value, device=device) for value in self.beta)
            lam = torch.distributions.Beta(a, b, validate_args=False).sample()      # validation would wait for the device
        return torch.cat([(1 - lam).sqrt(), at], dim=1)

    def empty(self, shape: Shape) -> tuple[float, float]:
        """How likely the first part and the second are empty: of many draws, which leave the random state alone."""
        n = min(max(2**20 // (shape[1] * shape[2]), 256), 2**14)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            drawn = self.draw(n, "cpu")
        if self.area is None and self.beta == (1.0, 1.0):
            drawn[:, 0] = ((torch.arange(n) + 0.5) / n).sqrt()          # evenly spread, so that percents are right
        inside = self.mask(drawn, *shape[1:])
        none, whole = ((~inside).all(1).double().mean().item(), inside.all(1).double().mean().item())
        return none, none if self.second == "inside" else whole

    def mask(self, drawn: Tensor, height: int, width: int) -> Tensor:
        """(n, HW) booleans, true inside the box."""
        side, ux, uy = drawn.unbind(1)
        x = interval(width, side, ux, self.box, self.exact_width)
        y = interval(height, side, uy, self.box, self.exact_width)
        if self.min_box:
            x, y = one_cell(*x, width), one_cell(*y, height)
            whole = (x[1] - x[0] == width) & (y[1] - y[0] == height)
            y = (y[0], y[1] - whole.to(y[1].dtype))
        return box_mask(x, y, height, width)


@dataclass(frozen=True)
class OneBox(Boxes):
    """The inside of a box and its outside, the paper's own."""

    share_box: bool

    def shared(self, n: int, device) -> Tensor | None:
        return self.draw(n, device) if self.share_box else None

    def split(self, n: int, shape: Shape, device, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        first = self.mask(self.draw(n, device) if shared is None else shared, *shape[1:]).float()
        return first, 1 - first


@dataclass(frozen=True)
class TwoBoxes(Boxes):
    """The inside of one box, and the inside or the outside of another: parts that may overlap."""

    second: str

    def split(self, n: int, shape: Shape, device, shared: None) -> tuple[Tensor, Tensor]:
        first, other = (self.mask(self.draw(n, device), *shape[1:]).float() for _ in range(2))
        return first, other if self.second == "inside" else 1 - other


@dataclass(frozen=True)
class Points(Places):
    """Random elements of the map, or random places, and the others."""

    dropout_shape: str
    keep: float | None

    def empty(self, shape: Shape) -> tuple[float, float]:
        channels, height, width = shape
        return odds_of_none(height * width * (1 if self.dropout_shape == "position" else channels), self.keep)

    def split(self, n: int, shape: Shape, device, shared: None) -> tuple[Tensor, Tensor]:
        channels, height, width = shape
        cells = (height * width,) if self.dropout_shape == "position" else (channels, height * width)
        first = bernoulli((n, *cells), self.keep, device)
        return first, 1 - first


@dataclass(frozen=True)
class Channels:
    """Random channels, and the others."""

    keep: float | None
    ahead = False

    def empty(self, shape: Shape) -> tuple[float, float]:
        return odds_of_none(shape[0], self.keep)

    def rows(self, masks: Tensor) -> Tensor:
        """(n, R, C) -> (n, C, R, 1)."""
        return masks.mT[..., None]

    def shared(self, n: int, device) -> None:
        """Stages differ in their channels."""

    def split(self, n: int, shape: Shape, device, shared: None) -> tuple[Tensor, Tensor]:
        first = bernoulli((n, shape[0]), self.keep, device)
        return first, 1 - first


KINDS = {"box": OneBox, "dropout": Points, "channel": Channels, "noncomplementary": TwoBoxes}
