"""Batch augmentation on uint8: random crops of zero-padded images and horizontal flips, as one gather of pixels."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Draw(NamedTuple):
    """Where each image's crop begins, in pixels from the top left of the padded image, and whether it is mirrored."""

    top: Tensor         # (B,) int64 in [0, 2 pad]
    left: Tensor        # (B,) int64 in [0, 2 pad]
    mirror: Tensor      # (B,) bool


def draw(n: int, pad: int, flip: bool, generator: torch.Generator) -> Draw:
    """Crops and flips of n images."""
    top, left = torch.randint(2 * pad + 1, (2, n), generator=generator)
    return Draw(top, left, (torch.rand(n, generator=generator) < 0.5) & flip)


def padded(images: Tensor, pad: int) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, H + 2 pad, W + 2 pad, 3), zeros around."""
    return F.pad(images, (0, 0, pad, pad, pad, pad)).contiguous()


def crop_flip(store: Tensor, index: Tensor, drawn: Draw, height: int, width: int) -> Tensor:
    """Crops of the images ``index`` (B,) out of the padded ``store`` (N, Hp, Wp, 3) -> (B, height, width, 3) uint8.

    Equal to torchvision's crop and horizontal flip of the same draws, pixel for pixel.
    """
    _, full_height, full_width, channels = store.shape
    step = torch.arange(width, device=store.device)
    cols = drawn.left[:, None] + torch.where(drawn.mirror[:, None], width - 1 - step, step)                 # (B, width)
    rows = drawn.top[:, None] + torch.arange(height, device=store.device)                                   # (B, height)
    pixel = (index[:, None, None] * full_height + rows[:, :, None]) * full_width + cols[:, None, :]
    return store.view(-1, channels).index_select(0, pixel.flatten()).view(len(index), height, width, channels)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in channels-last memory: (x / 255 - mean) / std.

    In torchvision's order of operations, so that the result is torchvision's bit for bit.
    """
    x = images.float().div_(255)
    rows = x.view(*x.shape[:2], -1)                                 # (B, H, W * 3): repeating three numbers per pixel is slow
    rows.sub_(mean.repeat(x.shape[2])).div_(std.repeat(x.shape[2]))
    return x.permute(0, 3, 1, 2)
