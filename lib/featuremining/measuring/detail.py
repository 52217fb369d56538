"""Whether the maps behind a low-rank layer (`layers.low_rank`) hold more of an image's detail than those before it. Ren et al.,
ICDM 2021, show that strokes and texture "can be enhanced after LDFR"; as which number is not said, and this one is our choice:
where does a map change, and does the image change there, too?
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..layers.low_rank import LowRankRecovery, informative
from ..models.probing import evaluating

SHOWN = 4               # images whose most informative map is kept for the figure


def slopes(x: Tensor) -> Tensor:
    """How much a map changes at each place: (B, C, H, W) -> (B, H, W), the length of the slope, by central differences (one-sided
    at the border), root of the mean square over channels."""
    down, right = torch.gradient(x, dim=(2, 3))
    return (down.square() + right.square()).mean(1).sqrt()


def likeness(maps: Tensor, images: Tensor) -> Tensor:
    """The correlation over the places of an image between the slopes of its maps (B, C, h, w) and its own, which are averaged to
    the maps' places: (B,) in [-1, 1], 0 where either is the same everywhere. It stays when maps are scaled or shifted. Places at
    the border are left out: one-sided differences are larger there, in any two images alike."""
    theirs = F.adaptive_avg_pool2d(slopes(images)[:, None], maps.shape[2:]).squeeze(1)
    a, b = (v[:, 1:-1, 1:-1].flatten(1) for v in (slopes(maps), theirs))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    size = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(size > 1e-12, (a * b).sum(1) / size.clamp(min=1e-12), 0)


def fine(maps: Tensor) -> Tensor:
    """The share of what varies in maps (B, C, H, W) that does so within fewer than four places, upright or across: (B,), 0 where
    nothing varies."""
    power = torch.fft.fft2(maps).abs().square()
    power[:, :, 0, 0] = 0
    rows, columns = (torch.fft.fftfreq(n, device=maps.device).abs() > 0.25 for n in maps.shape[2:])
    whole = power.sum((1, 2, 3))
    return torch.where(whole > 0, (power * (rows[:, None] | columns)).sum((1, 2, 3)) / whole.clamp(min=1e-12), 0)


@torch.no_grad()
def around(model, place: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """What a network's layer reads and gives for images (B, 3, H, W), in evaluation mode; not for copies
    of them, which some networks see as well."""
    seen: list[tuple[Tensor, Tensor]] = []
    hook = model.inserted[place].register_forward_hook(lambda _, read, out: seen.append((read[0][:len(x)], out[:len(x)])))
    try:
        with evaluating(model):
            model(x)
    finally:
        hook.remove()
    return seen[0]


def place_of(model) -> str | None:
    """Behind what the network's first low-rank layer stands; None without any."""
    layers = getattr(model, "inserted", {})
    return next((place for place, layer in layers.items() if isinstance(layer, LowRankRecovery)), None)


def measure(model, batches: Iterable[tuple[Tensor, Tensor]]) -> dict:
    """`likeness` and `fine` before and after the layer, means over images, times 100; and of the first images the most
    informative map, both ways, as 256 shades of its own range. Plain values."""
    place = place_of(model)
    if place is None:
        raise UsageError("detail is measured around a low-rank layer, and this network has none.")
    rows, shown = [], {}
    for x, _ in batches:
        pair = around(model, place, x)
        rows.append(torch.stack([f for maps in pair for f in (likeness(maps, x), fine(maps))]))
        shown = shown or {name: shades(maps) for name, maps in _shown(*pair).items()}
    before, fine_before, after, fine_after = (100 * torch.cat(rows, 1).double().mean(1)).tolist()
    return {"place": place, "n": sum(row.shape[1] for row in rows), "before": round(before, 4), "after": round(after, 4),
            "fine_before": round(fine_before, 4), "fine_after": round(fine_after, 4), "maps": shown}


def _shown(before: Tensor, after: Tensor) -> dict[str, Tensor]:
    """The map that is most informative before the layer, of the first images, before and after it: (SHOWN, H, W) each."""
    few, best = slice(SHOWN), informative(before[:SHOWN], 1 / before.shape[1], "variance")
    at = (before[few] == best).flatten(2).all(2).int().argmax(1)
    return {"before": best[:, 0], "after": after[few][torch.arange(len(at)), at]}


def shades(maps: Tensor) -> list[list[str]]:
    """(B, H, W) -> rows of two hexadecimal digits a place, 00 the map's lowest value and ff its highest."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    grey = (255 * (maps - low) / (high - low).clamp(min=1e-12)).round().byte().cpu()
    return [[bytes(row.tolist()).hex() for row in grid] for grid in grey]
