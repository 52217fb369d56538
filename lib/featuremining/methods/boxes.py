"""Random boxes on a grid: CutMix's in the image, Feature Mining's in a feature map (its equation (2))."""

import torch
from torch import Tensor

from ..errors import UsageError

BETA = 1e-6, 1e6    # parameters that Beta's samples in fp32 follow; below and beyond, all come out as 1/2


def check_beta(what: str, *parameters: float) -> None:
    """A `UsageError` unless Beta(a, b) has these parameters and samples that are of it."""
    if not all(BETA[0] <= p <= BETA[1] for p in parameters):
        raise UsageError(f"{what} must be positive, from {BETA[0]:g} to {BETA[1]:g}, got {', '.join(map(str, parameters))}.")


def interval(size: int, side: Tensor, u: Tensor, rule: str, exact_width: bool = False) -> tuple[Tensor, Tensor]:
    """One axis of equation (2): first and past-the-end cell, (n,) each, of a box of relative ``side`` (n,) placed by ``u`` (n,).

    ``center_clip`` is CutMix's published code (half widths rounded down on both sides, clipped at the border).

    >>> [t.item() for t in interval(8, torch.tensor([0.7]), torch.tensor([0.95]), "center_clip")]
    [5.0, 8.0]
    """
    cut = (size * side).floor()
    if rule == "inside":
        start = (u * (size - cut + 1)).floor()
        return start, start + cut
    at = (u * size).floor()
    if rule == "corner_clip":
        return at, (at + cut).clamp(max=size)
    start, half = at - (cut / 2).floor(), (cut / 2).floor()
    return start.clamp(min=0), (start + cut if exact_width else at + half).clamp(max=size)


def one_cell(start: Tensor, end: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Widen an empty [start, end) to one cell without leaving [0, size)."""
    end = torch.maximum(end, (start + 1).clamp(max=size))
    return torch.minimum(start, end - 1), end


def box_mask(x: tuple[Tensor, Tensor], y: tuple[Tensor, Tensor], height: int, width: int) -> Tensor:
    """(n, height * width) booleans: true inside the box [x0, x1) by [y0, y1), each bound (n,)."""
    cols, rows = torch.arange(width, device=x[0].device), torch.arange(height, device=x[0].device)
    in_x = (cols >= x[0][:, None]) & (cols < x[1][:, None])
    in_y = (rows >= y[0][:, None]) & (rows < y[1][:, None])
    return (in_y[:, :, None] & in_x[:, None, :]).flatten(1)
