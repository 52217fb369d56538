"""Feature Mining. Xie, Cheng, Wang, Liu, Deng, Liu, arXiv:2107.08421, section 3, equations (2) to (4).

A random box splits a stage's feature map X into X1 = X * M and X2 = X * (1 - M); each part has its own global average
pooling and linear head; the cross-entropies of whole, inside and outside add up. At test time the network is unchanged.

GAP(X * M) is a product of X with the row M / HW. So whole, inside and outside are pooled in one read of the map, by a
3 x HW matrix made from the mask, and X * M and X * (1 - M) are never built. The heads of a stage are one batched product.
Every shape is the same for every box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..protocol import Batch, Method, Outcome, soft_cross_entropy
from .boxes import box_mask, interval, one_cell
from .heads import Heads


def pooling_matrix(masks: Tensor, masked_mean: bool = False) -> Tensor:
    """Masks (..., R, HW) -> rows of the same shape whose product with a map pools every part of it.

    Divided by HW as the paper's GAP does, or (``masked_mean``) by each part's own area.
    """
    return masks / (masks.sum(-1, keepdim=True).clamp(min=1) if masked_mean else masks.shape[-1])


def pool_rows(feature_map: Tensor, rows: Tensor) -> Tensor:
    """(n, R, HW) rows, n = 1 or B, over a (B, C, H, W) map -> (B, R, C). ``flatten(2).mT`` is a view in both memory formats."""
    return (rows if len(rows) > 1 else rows[0]) @ feature_map.flatten(2).mT


def adapter(c_in: int, c_out: int, halvings: int) -> nn.Sequential:
    """``halvings`` times [3x3 convolution of stride 2, BN, ReLU], to the deepest stage's width and resolution."""
    layers = []
    for _ in range(halvings):
        layers += [nn.Conv2d(c_in, c_out, 3, 2, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)]
        c_in = c_out
    return nn.Sequential(*layers)


@dataclass(eq=False, repr=False)
class FeatureMining(Method):
    """Feature Mining at the last ``layers`` stages. The letters are those of the book's register of open choices."""

    layers: int = 2                                                         # section 3.3: "the last one or two layer"
    box: Literal["center_clip", "corner_clip", "inside"] = "center_clip"    # A1: CutMix's code
    exact_width: bool = False                                               # A2: CutMix rounds widths to even numbers
    min_box: Literal[0, 1] = 0                                              # A2: 1 keeps a cell inside and one outside at least
    per_sample: bool = False                                                # A3: "in each network iteration"
    share_box: bool = False                                                 # A4: the same relative box at every stage
    beta: tuple[float, float] = (1.0, 1.0)                                  # A5: lambda ~ Beta; U(0, 1) is stated
    area: float | None = None                                               # A5: a fixed nominal area 1 - lambda
    segmentation: Literal["box", "dropout", "channel", "noncomplementary"] = "box"      # Table 9
    dropout_shape: Literal["element", "position"] = "element"               # A20: "random points": (C, H, W) or (H, W)
    keep: float | None = None                                               # A20: dropout, channel: None draws U(0, 1)
    second: Literal["inside", "outside"] = "inside"                         # A21: noncomplementary: X * M2 or X * (1 - M2)
    pool: Literal["gap", "masked_mean"] = "gap"                             # A6: "their own global average pooling layer"
    share_fc: Literal["none", "parts", "main"] = "none"                     # A7: "their own ... fully connection layer"
    full_head: bool = False                                                 # A8: also the whole map at earlier stages
    adapt: Literal["none", "conv"] = "none"                                 # A9: convolutions before the earlier stages' GAP
    reduction: Literal["sum", "mean"] = "sum"                               # A10: equation (4)
    weights: tuple[float, ...] | None = None                                # A10: one per extra head, in the order of the losses
    tap: Literal["raw", "post_bnrelu"] = "raw"                              # A11: BN + ReLU before earlier stages' heads
    detach_stages: tuple[int, ...] = ()                                     # A12: stages (0 = shallowest) that get no gradient
    head_init: Literal["linear", "zero"] = "linear"                         # A17: as the network's own classifier

    def __post_init__(self):
        super().__post_init__()
        self.beta, self.detach_stages = tuple(self.beta), tuple(self.detach_stages)
        if self.layers < 0 or len(self.beta) != 2 or min(self.beta) <= 0:
            raise UsageError(f"fm: layers must be 0 or more and beta two positive numbers, got {self.layers} and {self.beta}.")
        for name in ("area", "keep"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"fm: {name} is a fraction in [0, 1], got {getattr(self, name)}.")
        for name, fits, where in self._without_effect():
            if getattr(self, name) != type(self).__dataclass_fields__[name].default and not fits:
                raise UsageError(f"fm: {name} = {getattr(self, name)!r} would change nothing here; it needs {where}.")

    def _without_effect(self):
        """Where each setting means something: a record never names a choice that was not made."""
        boxes = self.segmentation in ("box", "noncomplementary")
        for name in ("box", "exact_width", "min_box", "beta", "area"):
            yield name, boxes, "segmentation 'box' or 'noncomplementary'"
        yield "exact_width", self.box == "center_clip", "box='center_clip'"
        yield "beta", self.area is None, "area=None"
        yield "share_box", self.segmentation == "box" and self.layers > 1, "segmentation='box' and two layers"
        yield "keep", self.segmentation in ("dropout", "channel"), "segmentation 'dropout' or 'channel'"
        yield "dropout_shape", self.segmentation == "dropout", "segmentation='dropout'"
        yield "second", self.segmentation == "noncomplementary", "segmentation='noncomplementary'"
        yield "pool", self.segmentation != "channel" and self.adapt == "none", "spatial segments and adapt='none'"
        for name in ("full_head", "adapt", "tap"):
            yield name, self.layers > 1, "two layers or more"
        yield "detach_stages", (self.adapt, self.tap) == ("none", "raw"), "adapt='none' and tap='raw'"

    def prepare(self, model) -> "FeatureMining":
        count = len(model.channels)
        if self.layers > count:
            raise UsageError(f"fm: layers={self.layers}, but this network has {count} stages.")
        self.stages = tuple(range(count - self.layers, count))
        if not set(self.detach_stages) <= set(self.stages):
            raise UsageError(f"fm: detach_stages={self.detach_stages}, but the stages that are mined are {self.stages}.")
        self.parts, self.last, self.heads, self.necks = {}, count - 1, nn.ModuleDict(), nn.ModuleDict()
        for stage in self.stages:
            last, width = stage == self.last, model.channels[stage]
            self.parts[stage] = ("inside", "outside") if last or not self.full_head else ("inside", "outside", "whole")
            if not last and self.tap == "post_bnrelu":
                self.necks[f"bn{stage}"] = nn.BatchNorm2d(width)
            if not last and self.adapt == "conv":
                width = model.channels[-1]
                self.necks[f"conv{stage}"] = nn.ModuleList(
                    adapter(model.channels[stage], width, count - 1 - stage) for _ in self.parts[stage])
            if not (last and self.share_fc == "main"):
                use = (0, 1, 2) if self.share_fc == "none" else (0, 0, 1)
                self.heads[str(stage)] = Heads(use[: len(self.parts[stage])], width, model.classes, self.head_init)
        extra = sum(map(len, self.parts.values()))
        if self.weights is not None and len(self.weights) != extra:
            raise UsageError(f"fm: weights needs one number per extra head, {extra} here, got {len(self.weights)}.")
        self.register_buffer("scales", torch.tensor(self.weights or (), dtype=torch.float64), persistent=False)
        if self.share_fc == "main" and self.layers and model.head.in_features != model.channels[-1]:
            raise UsageError("fm: share_fc='main' needs a classifier that reads the globally pooled last map.")
        return self.to(next(model.head.parameters()).device)

    def box_draw(self, n: int, device) -> Tensor:
        """(n, 3): the relative side sqrt(1 - lambda) and the position (u_x, u_y) of n boxes, equation (2)."""
        lam, at = torch.rand(n, 1, device=device), torch.rand(n, 2, device=device)
        if self.area is not None:
            lam = torch.full_like(lam, 1 - self.area)
        elif self.beta != (1.0, 1.0):
            a, b = (torch.full((n, 1), value, device=device) for value in self.beta)
            lam = torch.distributions.Beta(a, b, validate_args=False).sample()      # validation would wait for the device
        return torch.cat([(1 - lam).sqrt(), at], dim=1)

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

    def _points(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Bernoulli masks of ``shape`` (n, ...), one keep probability per mask."""
        n, ones = shape[0], (1,) * (len(shape) - 1)
        keep = torch.rand(n, *ones, device=like.device) if self.keep is None else self.keep
        return (torch.rand(shape, device=like.device) < keep).to(like.dtype)

    def boxes(self, n: int, height: int, width: int, shared: Tensor | None, device) -> tuple[Tensor, Tensor]:
        """Masks (n, HW) of the two parts; ``shared`` (n, 3) are relative boxes that another stage uses too."""
        first = self.mask(self.box_draw(n, device) if shared is None else shared, height, width).float()
        if self.segmentation != "noncomplementary":
            return first, 1 - first
        other = self.mask(self.box_draw(n, device), height, width).float()
        return first, other if self.second == "inside" else 1 - other

    def draw(self, steps: int, batch: int, sizes) -> dict[str, Tensor]:
        """One box per step and stage, as the pooling rows (steps, R, HW) it stands for. Boxes per image and noise per
        element are drawn within the step."""
        if self.per_sample or self.segmentation in ("dropout", "channel"):
            return {}
        shared, drawn = self.box_draw(steps, "cpu") if self.share_box else None, {}
        for stage in self.stages:
            first, second = self.boxes(steps, *sizes[stage], shared, "cpu")
            name = f"fm.stage{stage + 1}"
            drawn |= {f"{name}.rows": self.rows(stage, first, second),
                      f"{name}.area": first.mean(-1), f"{name}.empty": (first.sum(-1) == 0).float()}
        return drawn

    def rows(self, stage: int, first: Tensor, second: Tensor) -> Tensor:
        """Masks (..., HW) of the two parts -> (..., R, HW): what pools the parts of this stage in their order, on the last
        stage after the whole map, which the network's classifier reads."""
        masks = {"whole": torch.ones_like(first), "inside": first, "outside": second}
        return pooling_matrix(torch.stack([masks[name] for name in self._order(stage)], dim=-2), self.pool == "masked_mean")

    def _order(self, stage: int) -> tuple[str, ...]:
        return ("whole", *self.parts[stage]) if stage == self.last else self.parts[stage]

    def segments(self, x: Tensor, shared: Tensor | None) -> tuple[Tensor, Tensor]:
        """Masks of the two parts of a (B, C, H, W) map: (n, HW), or (n, C) by channel, or (n, C, HW) by element."""
        channels, height, width = x.shape[1:]
        n = len(x) if self.per_sample else 1
        if self.segmentation == "channel":
            first = self._points((n, channels), x)
        elif self.segmentation == "dropout":
            first = self._points((n, height * width) if self.dropout_shape == "position" else (n, channels, height * width), x)
        else:
            return tuple(mask.to(x.dtype) for mask in self.boxes(n, height, width, shared, x.device))
        return first, 1 - first

    def pooled(self, x: Tensor, stage: int, drawn: Mapping[str, Tensor], shared: Tensor | None, logs: dict) -> Tensor:
        """(B, C, H, W) -> (B, R, C): the parts of the map, each pooled to a vector; on the last stage after the whole map."""
        if f"bn{stage}" in self.necks:
            x = F.relu(self.necks[f"bn{stage}"](x))
        name = f"fm.stage{stage + 1}"
        if f"{name}.rows" in drawn:
            logs |= {f"{name}.{what}": drawn[f"{name}.{what}"] for what in ("area", "empty")}
            rows = drawn[f"{name}.rows"][None].to(x.dtype)
        else:
            first, second = self.segments(x, shared)
            logs |= {f"{name}.area": first.mean(), f"{name}.empty": (first.sum(-1) == 0).to(x.dtype).mean()}
            if self.segmentation == "channel":
                return self._by_channel(x, stage, first, second)
            rows = self.rows(stage, first, second)
        if f"conv{stage}" in self.necks:
            masks = (rows > 0).to(x.dtype).unflatten(-1, x.shape[2:])           # (n, R, H, W), or (n, C, R, H, W) by element
            return self._adapted(x, stage, masks.unsqueeze(2).unbind(1) if masks.dim() == 4 else masks.unbind(2))
        if rows.dim() == 4:                                     # (n, C, R, HW): one mask per channel
            x = x.flatten(2)
            return torch.einsum("bcp,crp->brc", x, rows[0]) if len(rows) == 1 else torch.einsum("bcp,bcrp->brc", x, rows)
        return pool_rows(x, rows)

    def _by_channel(self, x: Tensor, stage: int, first: Tensor, second: Tensor) -> Tensor:
        """Part of the channels of the map each; masks (n, C)."""
        masks = {"whole": torch.ones_like(first), "inside": first, "outside": second}
        if f"conv{stage}" in self.necks:
            return self._adapted(x, stage, [masks[name][:, :, None, None] for name in self._order(stage)])
        return x.mean((2, 3))[:, None] * torch.stack([masks[name] for name in self._order(stage)], dim=1)

    def _adapted(self, x: Tensor, stage: int, masks: Sequence[Tensor]) -> Tensor:
        """Convolutions stand between mask and pooling here, so this option alone builds the masked maps."""
        branches = self.necks[f"conv{stage}"]
        return torch.stack([branch(x * mask).mean((2, 3)) for branch, mask in zip(branches, masks, strict=True)], dim=1)

    def logits(self, model, stage: int, parts: Tensor) -> Tensor:
        """(B, n, C) pooled parts -> (n, B, K)."""
        parts = parts.detach() if stage in self.detach_stages else parts
        return self.heads[str(stage)](parts) if str(stage) in self.heads else model.head(parts.transpose(0, 1))

    def step(self, inner, model, batch: Batch) -> Outcome:
        if not self.stages:
            return inner(model, batch)
        logs: dict[str, Tensor] = {}
        shared = None
        if self.share_box and f"fm.stage{self.last + 1}.rows" not in batch.drawn:
            shared = self.box_draw(len(batch.x) if self.per_sample else 1, batch.x.device)
        pools = {stage: partial(self.pooled, stage=stage, drawn=batch.drawn, shared=shared, logs=logs) for stage in self.stages}
        out = inner(model, batch._replace(pools={**batch.pools, **pools}))
        heads = [self.logits(model, stage, out.trace.parts[stage]) for stage in self.stages]
        logits = torch.cat(heads) if len(heads) > 1 else heads[0]
        values = soft_cross_entropy(logits, out.batch.y)                        # (heads,), equation (4) term by term
        if self.weights is not None:
            values = values * self.scales.to(values.dtype)
        names = [f"fm.stage{stage + 1}.{part}" for stage in self.stages for part in self.parts[stage]]
        ce = None
        if self.reduction == "mean":
            values, ce = values / (1 + len(names)), out.losses["ce"] / (1 + len(names))
        return out.plus(dict(zip(names, values.unbind(), strict=True)), logs, ce=ce)
