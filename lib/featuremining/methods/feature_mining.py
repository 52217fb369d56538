"""Feature Mining. Xie, Cheng, Wang, Liu, Deng, Liu, arXiv:2107.08421, section 3, equations (2) to (4).

A random box splits a stage's feature map X into X1 = X * M and X2 = X * (1 - M); each part has its own global average
pooling and linear head; the cross-entropies of whole, inside and outside add up. At test time the network is unchanged.

GAP(X * M) is a product of X with the row M / HW. So whole, inside and outside are pooled in one read of the map, by a
3 x HW matrix made from the mask, and X * M and X * (1 - M) are never built. The heads of a stage are one batched product.
Every shape is the same for every box.
"""

from dataclasses import dataclass, fields
from functools import partial
from math import isfinite
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import UsageError, check_effect
from ..models.probing import look
from ..protocol import Batch, Method, Outcome
from .boxes import check_beta
from .mine import Mine
from .segments import KINDS

EARLIER = ("share_box", "full_head", "adapt", "tap")        # nothing to choose where only the last stage is mined
NEEDS = {"exact_width": {"box": "center_clip"}, "beta": {"area": None}, "pool": {"adapt": "none"},
         "detach_stages": {"adapt": "none", "tap": "raw"}}  # a setting -> others without which it would change nothing


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
    covariance: bool = False                    # ours: the last stage's parts pooled as a network with head="covariance" pools

    def __post_init__(self):
        super().__post_init__()
        self.beta, self.detach_stages = tuple(map(float, self.beta)), tuple(self.detach_stages)
        if self.layers < 0 or len(self.beta) != 2:
            raise UsageError(f"fm: layers must be 0 or more and beta two numbers, got {self.layers} and {self.beta}.")
        check_beta("fm: beta", *self.beta)
        for name in ("area", "keep"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"fm: {name} is a fraction in [0, 1], got {getattr(self, name)}.")
        if self.weights is not None and not all(isfinite(w) for w in self.weights):
            raise UsageError(f"fm: weights are finite numbers, got {self.weights}.")
        for field in fields(self):
            lacks = self.lacks(field.name)
            check_effect("fm", field.name, getattr(self, field.name), field.default, not lacks, lacks)
        if self.covariance and (not self.layers or self.segmentation == "channel" or (
                self.segmentation == "dropout" and self.dropout_shape == "element")):
            raise UsageError("fm: covariance=True needs a last stage that is divided by places: boxes, or dropout of shape "
                             "'position'.")
        kind = KINDS[self.segmentation]
        self.kind = kind(**{field.name: getattr(self, field.name) for field in fields(kind)})

    def lacks(self, name: str) -> str:
        """What would have to be set for ``name`` to change something; empty if it does. So a record never names a choice that
        was not made."""
        homes = [segmentation for segmentation, kind in KINDS.items() if name in kind.__dataclass_fields__]
        if homes and self.segmentation not in homes:
            return f"segmentation {' or '.join(map(repr, homes))}"
        if name != "layers" and not self.layers:
            return "one layer or more"
        if name in EARLIER and self.layers < 2:
            return "two layers or more"
        needs = NEEDS.get(name, {})
        met = all(getattr(self, other) == value for other, value in needs.items())
        return "" if met else " and ".join(f"{other}={value!r}" for other, value in needs.items())

    def prepare(self, model) -> "FeatureMining":
        count = len(model.channels)
        if self.layers > count:
            raise UsageError(f"fm: layers={self.layers}, but this network has {count} stages.")
        self.stages = tuple(range(count - self.layers, count))
        if not set(self.detach_stages) <= set(self.stages):
            raise UsageError(f"fm: detach_stages={self.detach_stages}, but the stages that are mined are {self.stages}.")
        self.mines = nn.ModuleList(Mine(self, model, stage) for stage in self.stages)
        self.names = [f"{mine.name}.{part}" for mine in self.mines for part in mine.parts]
        if self.weights is not None and len(self.weights) != len(self.names):
            raise UsageError(f"fm: weights needs one number per extra head, {len(self.names)} here, got {len(self.weights)}.")
        if self.share_fc == "main" and not self.reads_parts(model):
            raise UsageError("fm: share_fc='main' needs a classifier that reads the last map pooled as the parts are.")
        like = next(model.head.parameters())
        self.to(like.device, like.dtype)
        scales = torch.tensor(self.weights or (), dtype=torch.float64, device=like.device)
        self.register_buffer("scales", scales, persistent=False)
        return self

    def reads_parts(self, model) -> bool:
        """Whether the network's classifier reads its last map pooled as the parts are."""
        if self.mines[-1].covariance:
            return model.head.in_features == self.mines[-1].width
        return look(model, *getattr(model, "image_size", (32, 32))).averaged

    def suits(self, sizes) -> None:
        for mine in self.mines:
            mine.watch(*sizes[mine.stage])

    def draw(self, steps: int, batch: int, sizes) -> dict[str, Tensor]:
        """One box per step and stage, as the pooling rows (steps, R, HW) it stands for. Boxes per image and noise per
        element are drawn within the step."""
        if self.per_sample or not self.kind.ahead:
            return {}
        shared, drawn = self.kind.shared(steps, "cpu"), {}
        for mine in self.mines:
            first, second = mine.split(steps, *sizes[mine.stage], "cpu", shared)
            drawn |= {f"{mine.name}.rows": mine.rows(first, second).squeeze(1),
                      f"{mine.name}.area": first.mean(-1), f"{mine.name}.empty": (first.sum(-1) == 0).float()}
        return drawn

    def step(self, inner, model, batch: Batch) -> Outcome:
        if not self.stages:
            return inner(model, batch)
        logs: dict[str, Tensor] = {}
        ahead, n = f"{self.mines[-1].name}.rows" in batch.drawn, len(batch.x) if self.per_sample else 1
        shared = None if ahead else self.kind.shared(n, batch.x.device)
        pools = {mine.stage: partial(mine.pooled, drawn=batch.drawn, shared=shared, logs=logs,
                                     covariance=mine.covariance_of(model)) for mine in self.mines}
        out = inner(model, batch._replace(pools={**batch.pools, **pools}))
        heads = [mine.logits(out.trace.parts[mine.stage], model.head) for mine in self.mines]
        logits = torch.cat(heads) if len(heads) > 1 else heads[0]
        values, ce = out.batch.score(logits, out.batch.y), None               # (heads,), equation (4) term by term
        if self.weights is not None:
            values = values * self.scales.to(values.dtype)
        if self.reduction == "mean":
            values, ce = values / (1 + len(values)), out.losses["ce"] / (1 + len(values))
        return out.plus(dict(zip(self.names, values.unbind(), strict=True)), logs, ce=ce)
