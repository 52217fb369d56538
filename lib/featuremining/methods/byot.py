"""Be Your Own Teacher. Zhang, Song, Gao, Chen, Bao, Ma, ICCV 2019, arXiv:1905.08094, section 3: the sum over all classifiers of

    (1 - alpha) CE(z_i, y) + alpha KL(softmax(z_S / T) || softmax(z_i / T)) + lambda ||F_i - F_S||^2,   alpha_S = lambda_S = 0.

Every stage but the last gets an adaptation to the deepest map's width and resolution, a pooling and a classifier; the
deepest classifier and its features teach them and receive no gradient from it. At test time the network is unchanged;
the mean of all classifiers' logits, which the Feature Mining paper reports, is evaluated beside it.

The paper prints neither alpha, lambda and T nor how the terms are averaged. "Journal code" below is that of the authors'
later version (ArchipLab-LinfengZhang/pytorch-self-distillation-final), "third-party code" is
luanyunteng/pytorch-be-your-own-teacher.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..models.staged import map_sizes
from ..protocol import Batch, Method, Outcome, soft_kl
from .heads import Heads


def halvings(model) -> list[int]:
    """Per stage but the last, how often its map is to be halved to be as small as the last one.

    Ratios that are no power of two are rounded: features are compared after pooling, so resolutions need not be equal.
    """
    *shallow, deepest = (height for height, _ in map_sizes(model, 64, 64))
    return [round(log2(height / deepest)) for height in shallow]


def bottleneck(c_in: int, c_out: int, stride: int, squeeze: int) -> list[nn.Module]:
    """(B, c_in, H, W) -> (B, c_out, H / stride, W / stride): 1x1, 3x3 with the stride, 1x1, each with BN and ReLU."""
    width = max(c_out // squeeze, 1)
    convs = [nn.Conv2d(c_in, width, 1, bias=False), nn.Conv2d(width, width, 3, stride, 1, bias=False),
             nn.Conv2d(width, c_out, 1, bias=False)]
    return [layer for conv in convs for layer in (conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True))]


def adaptation(c_in: int, c_out: int, steps: int, squeeze: int) -> nn.Sequential:
    """``steps`` bottlenecks of stride 2; one of stride 1 where the map is as small as the deepest already."""
    layers = bottleneck(c_in, c_out, 2 if steps else 1, squeeze)
    for _ in range(steps - 1):
        layers += bottleneck(c_out, c_out, 2, squeeze)
    return nn.Sequential(*layers)


@dataclass(eq=False, repr=False)
class BYOT(Method):
    """A classifier at every stage, taught by the deepest. Losses: ``byot.stage1.ce``, ``.kd``, ``.hint``, ..., weighted."""

    temperature: float = 3.0                    # both public codes
    alpha: float = 0.3                          # journal code, "loss coefficient"; third-party code 0.1
    hint: float = 0.03                          # lambda; journal code, "feature coefficient", there of an unsquared norm
    kd_scale: Literal["T2", "none"] = "T2"      # times T^2: third-party code; journal code has no factor
    deepest_ce: Literal["whole", "scaled"] = "whole"    # alpha_S = 0 in the paper; third-party code scales it by 1 - alpha, too
    squeeze: int = 4                            # bottleneck width C_S / 4: third-party code, as in ResNets

    def __post_init__(self):
        super().__post_init__()
        if not (self.temperature > 0 and 0 <= self.alpha <= 1 and self.hint >= 0 and self.squeeze > 0):
            raise UsageError("byot: temperature and squeeze must be positive, alpha in [0, 1] and hint 0 or more, got "
                             f"{self.temperature}, {self.squeeze}, {self.alpha} and {self.hint}.")

    def prepare(self, model) -> "BYOT":
        *shallow, width = model.channels
        if not shallow:
            raise UsageError("byot: every stage but the last gets a classifier, but this network has one stage.")
        self.adapt = nn.ModuleList(adaptation(c_in, width, steps, self.squeeze)
                                   for c_in, steps in zip(shallow, halvings(model), strict=True))
        self.heads = Heads(range(len(shallow)), width, model.classes, "linear")
        like = next(model.head.parameters())
        return self.to(like.device, like.dtype)

    def shallow(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """All S maps -> pooled features (B, S - 1, C_S) and logits (S - 1, B, K) of every stage but the last."""
        pooled = [adapt(x).mean((2, 3)) for adapt, x in zip(self.adapt, maps[:-1], strict=True)]
        features = torch.stack(pooled, dim=1)
        return features, self.heads(features)

    def step(self, inner, model, batch: Batch) -> Outcome:
        out = inner(model, batch)
        y = out.batch.y
        features, logits = self.shallow(out.trace.maps)
        teacher, target = out.trace.logits.detach(), out.trace.maps[-1].detach().to(y.dtype).mean((2, 3))
        terms = {
            "ce": (1 - self.alpha) * out.batch.score(logits, y),
            "kd": self.alpha * self.scale * soft_kl(logits, teacher, self.temperature),
            "hint": self.hint * (features.to(y.dtype) - target[:, None]).square().mean((0, 2)),
        }
        losses = {f"byot.stage{i}.{term}": value for term, values in terms.items() for i, value in enumerate(values.unbind(), 1)}
        return out.plus(losses, ce=(1 - self.alpha) * out.losses["ce"] if self.deepest_ce == "scaled" else None)

    @property
    def scale(self) -> float:
        return self.temperature**2 if self.kd_scale == "T2" else 1.0

    def predictions(self, model, trace) -> dict[str, Tensor]:
        """Every shallow classifier, and the mean of all classifiers' logits, the network's own included (B, K)."""
        _, logits = self.shallow(trace.maps)
        ensemble = torch.cat([logits, trace.logits[None]]).mean(0)
        return {"byot.ensemble": ensemble, **{f"byot.stage{i}": z for i, z in enumerate(logits.unbind(), 1)}}
