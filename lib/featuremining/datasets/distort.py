"""Distorted test images: kinds and severities of CIFAR-C. Hendrycks and Dietterich, ICLR 2019, arXiv:1903.12261.

Drawn here from torch's and torchvision's operations with the constants of the authors' program (github.com/hendrycks/robustness,
make_cifar_c.py); images are not theirs, since noise is drawn anew and blurs are rounded otherwise. Ten of their fifteen kinds:
frost needs photographs of theirs, and snow, fog, glass blur and elastic transforms are left out. So this is not CIFAR-C.
"""

from collections.abc import Callable
from math import ceil, exp

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from ..errors import UsageError, choose

NOISE = (0.04, 0.06, 0.08, 0.09, 0.10)
SHOTS = (500, 250, 100, 75, 50)
IMPULSES = (0.01, 0.02, 0.03, 0.05, 0.07)
DEFOCUS = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))        # radius, sigma of its edge
MOTION = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))                       # radius, sigma along the way
ZOOM = (6, 11, 16, 21, 26)                                                  # so many factors from 1 on, 0.01 apart
BRIGHTER = (0.05, 0.1, 0.15, 0.2, 0.3)
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
PIXELS = (0.95, 0.9, 0.85, 0.75, 0.65)
QUALITY = (80, 65, 58, 50, 40)

Distortion = Callable[[Tensor, int, torch.Generator], Tensor]       # images (N, 3, H, W) in [0, 1], severity 0 to 4


def gaussian_noise(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    return x + NOISE[s] * torch.randn(x.shape, generator=g)


def shot_noise(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    return torch.poisson(x * SHOTS[s], generator=g) / SHOTS[s]


def impulse_noise(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    """Salt and pepper, each value by itself."""
    hit, salt = torch.rand(x.shape, generator=g) < IMPULSES[s], torch.rand(x.shape, generator=g) < 0.5
    return torch.where(hit, salt.to(x.dtype), x)


def filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel by itself, reflected at the border."""
    half = kernel.shape[-1] // 2
    weight = kernel.expand(x.shape[1], 1, *kernel.shape)
    return F.conv2d(F.pad(x, (half, half, half, half), mode="reflect"), weight, groups=x.shape[1])


def defocus_blur(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    """A disc, its edge smoothed by a Gaussian of three pixels."""
    radius, sigma = DEFOCUS[s]
    at = torch.arange(-8, 9)
    disc = (at[:, None] ** 2 + at**2 <= radius**2).to(x.dtype)
    return filtered(x, tv.gaussian_blur((disc / disc.sum())[None], [3, 3], [sigma, sigma])[0])


def motion_blur(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    """Half a Gaussian along one way for all images, at an angle drawn from -45 to 45 degrees."""
    radius, sigma = MOTION[s]
    line = torch.zeros(2 * radius + 1, 2 * radius + 1, dtype=x.dtype)
    line[radius, radius:] = torch.tensor([exp(-(i**2) / (2 * sigma**2)) for i in range(radius + 1)])
    angle = 90 * torch.rand((), generator=g).item() - 45
    line = tv.rotate(line[None], angle, InterpolationMode.BILINEAR)[0]
    return filtered(x, line / line.sum())


def zoom_blur(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    """The mean of the image and of its enlarged middles."""
    size, total = list(x.shape[-2:]), x
    for i in range(ZOOM[s]):
        middle = tv.center_crop(x, [ceil(n / (1 + i / 100)) for n in size])
        total = total + tv.resize(middle, size, antialias=False)
    return total / (ZOOM[s] + 1)


def brightness(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    """The value of HSV, the largest channel, becomes so much more; the ratios of the channels stay."""
    value = x.amax(1, keepdim=True)
    brighter = (value + BRIGHTER[s]).clamp(max=1)
    return torch.where(value > 0, x * brighter / value.clamp(min=1e-6), brighter)


def contrast(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    mean = x.mean((-2, -1), keepdim=True)
    return (x - mean) * CONTRAST[s] + mean


def pixelate(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    """Smaller and back by PIL's means over boxes, which torch has not."""
    height, width = x.shape[-2:]
    small, back = ([int(height * PIXELS[s]), int(width * PIXELS[s])], [height, width])
    images = (tv.resize(tv.to_pil_image(image), small, InterpolationMode.BOX) for image in to_bytes(x))
    return torch.stack([tv.pil_to_tensor(tv.resize(image, back, InterpolationMode.BOX)) for image in images]) / 255


def jpeg(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    return torch.stack([tv.jpeg(image, QUALITY[s]) for image in to_bytes(x)]) / 255


KINDS: dict[str, Distortion] = {f.__name__: f for f in (
    gaussian_noise, shot_noise, impulse_noise, defocus_blur, motion_blur, zoom_blur, brightness, contrast, pixelate, jpeg)}
SEVERITIES = (1, 2, 3, 4, 5)


def to_bytes(x: Tensor) -> Tensor:
    return (255 * x.clamp(0, 1)).round().to(torch.uint8)


def distorted(images: Tensor, kind: str, severity: int, seed: int = 0) -> Tensor:
    """Images (N, H, W, 3) uint8 -> the same distorted. Equal seeds give equal images.

    >>> distorted(torch.full((1, 4, 4, 3), 200, dtype=torch.uint8), "contrast", 5).unique().tolist()
    [200]
    """
    if severity not in SEVERITIES:
        raise UsageError(f"A severity is 1 to 5, got {severity!r}.")
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise UsageError(f"Images to distort are (N, H, W, 3) of uint8, got {tuple(images.shape)} of {images.dtype}.")
    draw = torch.Generator().manual_seed(seed)
    x = KINDS[choose("distortion", kind, KINDS)](images.permute(0, 3, 1, 2) / 255, severity - 1, draw)
    return to_bytes(x).permute(0, 2, 3, 1).contiguous()
