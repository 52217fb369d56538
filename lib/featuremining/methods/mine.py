"""What Feature Mining adds to one stage: how its map is pooled part by part, and what reads the parts. Gone at test time."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..layers.pooling import CovariancePooling
from .heads import Heads

OFTEN = 0.1         # of the draws: beyond it a part that is empty is worth a warning; CutMix's rule has 8 % on 7 x 7 cells


def pool_rows(feature_map: Tensor, rows: Tensor) -> Tensor:
    """(n, C or 1, R, HW or 1) rows, n = 1 or B, over a (B, C, H, W) map -> (B, R, C), without a masked map where rows are the
    same for all channels or for all places. ``flatten(2).mT`` is a view in both memory formats."""
    if rows.shape[3] == 1:
        return feature_map.mean((2, 3))[:, None] * rows[..., 0].mT
    if rows.shape[1] == 1:
        rows = rows[:, 0]
        return (rows if len(rows) > 1 else rows[0]) @ feature_map.flatten(2).mT
    return torch.einsum("bcp,bcrp->brc", feature_map.flatten(2), rows)


def adapter(c_in: int, c_out: int, halvings: int) -> nn.Sequential:
    """``halvings`` times [3x3 convolution of stride 2, BN, ReLU], to the deepest stage's width and resolution."""
    layers = []
    for _ in range(halvings):
        layers += [nn.Conv2d(c_in, c_out, 3, 2, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)]
        c_in = c_out
    return nn.Sequential(*layers)


class Mine(nn.Module):
    """One stage's ``parts``, what stands between map and pooling, and a linear head per part.

    Earlier stages may have a BN with ReLU (``norm``), and convolutions of each masked map (``adapters``). Without ``heads`` the
    network's own classifier reads the parts. ``order`` is that of the poolings: on the last stage the whole map's comes first.
    """

    def __init__(self, settings, model, stage: int):
        super().__init__()
        *_, width = model.channels
        self.stage, self.channels, self.name = stage, model.channels[stage], f"fm.stage{stage + 1}"
        self.watched: set[tuple[int, int]] = set()
        self.kind, self.per_sample, self.detached = settings.kind, settings.per_sample, stage in settings.detach_stages
        last = stage == len(model.channels) - 1
        self.parts = ("inside", "outside", "whole") if settings.full_head and not last else ("inside", "outside")
        self.order = ("whole", *self.parts) if last and model.mean_pooled else self.parts
        self.covariance = last and settings.covariance
        normed, adapted = settings.tap == "post_bnrelu" and not last, settings.adapt == "conv" and not last
        self.norm = nn.Sequential(nn.BatchNorm2d(self.channels), nn.ReLU()) if normed else nn.Identity()
        self.adapters = nn.ModuleList(adapter(self.channels, width, len(model.channels) - 1 - stage)
                                      for _ in self.parts if adapted)
        use = ((0, 1, 2) if settings.share_fc == "none" else (0, 0, 1))[: len(self.parts)]
        own = not (last and settings.share_fc == "main")
        self.width = self.covariance_of(model).width if self.covariance else width if adapted else self.channels
        self.heads = Heads(use, self.width, model.classes, settings.head_init) if own else None

    def covariance_of(self, model) -> CovariancePooling | None:
        """The network's covariance pooling where the parts are pooled by it, each with its own mean; else None."""
        if not self.covariance:
            return None
        if model.mean_pooled or not isinstance(model.pool, CovariancePooling):
            raise UsageError("fm: covariance=True needs a network with head='covariance'.")
        return model.pool

    def watch(self, height: int, width: int) -> None:
        """Once for each size of the map: a `UsageError` where a part is always empty, a warning where it often is."""
        if torch.compiler.is_compiling() or (height, width) in self.watched:
            return
        self.watched.add((height, width))
        for part, odds in zip(("inside", "outside"), self.kind.empty((self.channels, height, width)), strict=True):
            often = "always" if odds == 1 else f"in {odds:.0%} of the draws"
            says = (f"{self.name}: on a map of {height} x {width} the {part} part is empty {often}, and its head learns nothing "
                    "then: take larger images or an earlier stage, or another box (box='inside', min_box=1).")
            if odds == 1:
                raise UsageError(says)
            if odds > OFTEN:
                warnings.warn(says, stacklevel=2)

    def split(self, n: int, height: int, width: int, device, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        """Masks of the two parts, for n = 1 or B images; ``shared`` is what another stage's masks are made of, too."""
        return self.kind.split(n, (self.channels, height, width), device, shared)

    def rows(self, first: Tensor, second: Tensor) -> Tensor:
        """Masks of the two parts -> (n, C or 1, R, HW or 1), what pools the R parts in their order."""
        masks = {"whole": torch.ones_like(first), "inside": first, "outside": second}
        return self.kind.rows(torch.stack([masks[part] for part in self.order], dim=-2))

    def pooled(self, x: Tensor, drawn: Mapping[str, Tensor], shared: Tensor | None, logs: dict,
               covariance: CovariancePooling | None = None) -> Tensor:
        """(B, C, H, W) -> (B, R, C): the parts of the map, each pooled to a vector; on the last stage after the whole map, where
        the network reads its mean."""
        if f"{self.name}.rows" in drawn:
            rows, area, empty = (drawn[f"{self.name}.{what}"] for what in ("rows", "area", "empty"))
            rows = rows[None, None]
        else:
            self.watch(*x.shape[2:])
            n = len(x) if self.per_sample else 1
            shared = None if shared is None else shared[:n]         # of a batch shared by processes, the map has this one's part
            first, second = (mask.to(x.dtype) for mask in self.split(n, *x.shape[2:], x.device, shared))
            rows, area, empty = self.rows(first, second), first.mean(), (first.sum(-1) == 0).to(x.dtype).mean()
        logs |= {f"{self.name}.area": area, f"{self.name}.empty": empty}
        if covariance is not None:      # all places of a part count alike, so that a row is as good as a mask
            return covariance.vector(x.flatten(2)[:, None], rows[:, 0])
        x, rows = self.norm(x), rows.to(x.dtype)
        return self.adapted(x, rows) if self.adapters else pool_rows(x, rows)

    def adapted(self, x: Tensor, rows: Tensor) -> Tensor:
        """Convolutions stand between mask and pooling here, so this option alone builds the masked maps."""
        masks = (rows > 0).to(x.dtype).unflatten(-1, x.shape[2:] if rows.shape[-1] > 1 else (1, 1)).unbind(2)
        return torch.stack([branch(x * mask).mean((2, 3)) for branch, mask in zip(self.adapters, masks, strict=True)], dim=1)

    def logits(self, parts: Tensor, head: nn.Module) -> Tensor:
        """(B, n, C) pooled parts -> (n, B, K); ``head`` is the network's own."""
        parts = parts.detach() if self.detached else parts
        return head(parts.transpose(0, 1)) if self.heads is None else self.heads(parts)
