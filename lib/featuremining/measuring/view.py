"""How wide a network looks: the smallest part of the image that holds most of its class activation. Arif et al., SCIA 2023, see a
"wider view" of ConvMix in pictures of Grad-CAM; this number is our choice.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from ..layers.convmix import ConvMix
from ..models.probing import evaluating
from ..protocol import Trace
from .insight import grad_cam, look, silent, upsample

SHARE = 0.8             # of the class activation, ours


def area(maps: Tensor, share: float = SHARE) -> Tensor:
    """The fewest places that hold this share of the positive part of maps (B, H, W), over all places: (B,) in (0, 1]; nan for a
    map that is nowhere positive.

    >>> area(torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[0.0, 9.0], [-5.0, 0.0]]])).tolist()
    [1.0, 0.25]
    """
    positive = maps.clamp(min=0).flatten(1).double().sort(1, descending=True).values
    held = positive.cumsum(1)
    few = (held < share * held[:, -1:] * (1 - 1e-9)).sum(1) + 1
    return torch.where(silent(maps), torch.nan, few / positive.shape[1])


@torch.no_grad()
def averaged_map(model, trace: Trace) -> Tensor | None:
    """The map whose average the classifier reads, (B, C, H, W): the last stage's, or ConvMix's mixture; None for others."""
    if trace.averaged:
        return trace.maps[-1]
    pool = getattr(model, "pool", None)
    if not isinstance(pool, ConvMix) or pool.mode != "map":
        return None
    with evaluating(model):
        return pool.mixed(trace.maps)


def activation(model, x: Tensor, y: Tensor) -> Tensor:
    """Class activation (B, h, w) of the true classes, of the map that the classifier averages: its positive part, where Grad-CAM
    and CAM agree up to a factor. Grad-CAM of the last stage where there is no such map."""
    seen = averaged_map(model, look(model, x))
    return grad_cam(model, x, y) if seen is None else torch.einsum("bk,bkhw->bhw", model.head.weight.detach()[y], seen).relu()


def measure(model, batches: Iterable[tuple[Tensor, Tensor]]) -> dict:
    """`area` at the images' resolution, mean over those whose activation is somewhere positive, in percent: ``area`` of
    `activation`, ``last`` of Grad-CAM at the last stage. Plain values."""
    found: dict[str, list[Tensor]] = {"area": [], "last": []}
    for x, y in batches:
        for name, maps in (("area", activation(model, x, y)), ("last", grad_cam(model, x, y))):
            found[name].append(area(upsample(maps, *x.shape[2:])))
    every = {name: torch.cat(parts) for name, parts in found.items()}
    means = {name: v.nanmean().item() for name, v in every.items()}
    return {"share": SHARE, "n": len(every["area"]), "silent": int(every["area"].isnan().sum()),
            **{name: None if mean != mean else round(100 * mean, 4) for name, mean in means.items()}}
