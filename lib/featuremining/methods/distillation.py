"""A trained network teaches another, by its logits, a middle map, or where its maps are active. Three methods, one teacher:

KD: Hinton, Vinyals, Dean, 2015, arXiv:1503.02531, section 2.
FitNet: Romero, Ballas, Kahou, Chassang, Gatta, Bengio, ICLR 2015, arXiv:1412.6550, section 2.2.
AttentionTransfer: Zagoruyko, Komodakis, ICLR 2017, arXiv:1612.03928, section 3.1.

The teacher is frozen, in evaluation mode and no part of the method's parameters or state. It sees the very images that the
student sees, mixed or cut as other methods made them.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import paths
from ..errors import UsageError
from ..models import build, weights
from ..models.weights import digest
from ..protocol import Batch, Method, Outcome, Trace, soft_kl

HOW = ("A teacher is a trained network's name and file: `fm run CELL --tier full` trains one and writes "
       "build/weights/<tier>/<key>/seed0.pt; then set teacher='resnet56', weights='weights/<tier>/<key>/seed0.pt'.")


def read_state(path: Path) -> dict[str, Tensor]:
    """The state of a trained network from a file, or one sentence."""
    if not path.is_file():
        raise UsageError(f"There are no weights at {path}. {HOW}")
    try:
        return weights.read(path)
    except (ValueError, OSError) as error:
        raise UsageError(f"{path} is not the state of a trained network ({error}). {HOW}") from None


def load_teacher(name: str, weights: str, classes: int) -> tuple[nn.Module, str]:
    """The network ``name`` with the state in the file ``weights``, frozen and in evaluation mode, and the state's sha256: that
    which the teacher's own record gives under ``weights``."""
    if not (name and weights):
        raise UsageError(f"Distillation needs a teacher, got teacher={name!r} and weights={weights!r}. {HOW}")
    path = paths.weights_at(weights)
    state = read_state(path)
    with torch.random.fork_rng(devices=[]):                     # its initial weights leave the student's draws alone
        net = build(name, classes)
    known = state.get("head.bias")
    if known is not None and len(known) != classes:
        raise UsageError(f"The teacher in {path} knows {len(known)} classes, the student {classes}: both need the same data set.")
    try:
        net.load_state_dict(state, strict=True)
    except RuntimeError:
        raise UsageError(f"The weights in {path} are not those of a {name} of {classes} classes; their record says which network "
                         "they are of.") from None
    return net.eval().requires_grad_(False), digest(state)


def same_size(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two (B, C, H, W) maps at the smaller one's resolution, where one is a multiple of the other."""
    down = [max(m // n, 1) for m, n in zip(a.shape[2:], b.shape[2:], strict=True)]
    up = [max(n // m, 1) for m, n in zip(a.shape[2:], b.shape[2:], strict=True)]
    a, b = F.avg_pool2d(a, down) if max(down) > 1 else a, F.avg_pool2d(b, up) if max(up) > 1 else b
    if a.shape[2:] != b.shape[2:]:
        raise UsageError(f"The student's map {tuple(a.shape[2:])} and the teacher's {tuple(b.shape[2:])} don't fit each other.")
    return a, b


def attention(feature_map: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, HW): the mean of squares over channels as a vector of length one.

    >>> attention(torch.tensor([[[[3.0, 0.0]], [[0.0, 0.0]]]])).tolist()
    [[1.0, 0.0]]
    """
    return F.normalize(feature_map.square().mean(1).flatten(1), dim=1)


@dataclass(eq=False, repr=False)
class Distillation(Method):
    """What the three share: the teacher. `settings` names its state's sha256 once it is loaded."""

    teacher: str = ""       # name of a network
    weights: str = ""       # file of its trained state: absolute, or in the build folder, else among the project's own

    def prepare(self, model) -> "Distillation":
        teacher, self.teacher_sha256 = load_teacher(self.teacher, self.weights, model.classes)
        first = next(model.head.parameters())
        self.frozen = [teacher.to(first.device, first.dtype, memory_format=torch.channels_last)]    # in a list: no submodule
        return self.to(first.device, first.dtype)

    def stages(self, model) -> int:
        """How many stages student and teacher both have."""
        count, theirs = len(model.channels), len(self.frozen[0].channels)
        if count != theirs:
            raise UsageError(f"Student and teacher need equally many stages, but have {count} and {theirs}.")
        return count

    def _apply(self, fn, recurse=True):
        """`to`, `cuda`, `double` and the like move the teacher, too."""
        for net in getattr(self, "frozen", ()):
            net._apply(fn)
        return super()._apply(fn, recurse)

    def settings(self) -> dict:
        known = {"teacher_sha256": self.teacher_sha256} if hasattr(self, "teacher_sha256") else {}
        return {**super().settings(), **known}

    @torch.no_grad()
    def taught(self, x: Tensor) -> Trace:
        """The teacher's trace of (B, 3, H, W) images."""
        return self.frozen[0].trace(x)


@dataclass(eq=False, repr=False)
class KD(Distillation):
    """ce CE(z, y) + kd T^2 KL(softmax(z_t / T) || softmax(z / T)). The network's own cross-entropy is scaled by ``ce``."""

    temperature: float = 4.0    # HobbitLong/RepDistiller
    ce: float = 0.1             # HobbitLong/RepDistiller, gamma
    kd: float = 0.9             # HobbitLong/RepDistiller, alpha

    def __post_init__(self):
        super().__post_init__()
        if not (self.temperature > 0 and self.ce >= 0 and self.kd >= 0):
            raise UsageError("kd: temperature must be positive, ce and kd 0 or more, got "
                             f"{self.temperature}, {self.ce} and {self.kd}.")

    def step(self, inner, model, batch: Batch) -> Outcome:
        out = inner(model, batch)
        kl = soft_kl(out.trace.logits, self.taught(out.batch.x).logits, self.temperature)
        return out.plus({"kd": self.kd * self.temperature**2 * kl}, ce=self.ce * out.losses["ce"])


@dataclass(eq=False, repr=False)
class FitNet(Distillation):
    """beta MSE(r(F), F_t) at a middle stage, beside the cross-entropy: one training, as in RepDistiller; the paper trains the
    hint first and then distils logits. r is a 1x1 convolution with BN and ReLU, as in RepDistiller for maps of equal size;
    where sizes differ the larger map is average-pooled, which is ours."""

    beta: float = 100.0             # HobbitLong/RepDistiller
    stage: int | None = None        # 0 = shallowest; None: the middle one, the earlier of two (RepDistiller: second of three)

    def __post_init__(self):
        super().__post_init__()
        if not self.beta >= 0:
            raise UsageError(f"fitnet: beta is 0 or more, got {self.beta}.")

    def prepare(self, model) -> "FitNet":
        super().prepare(model)
        count = self.stages(model)
        self.at_stage = (count - 1) // 2 if self.stage is None else self.stage
        if self.at_stage not in range(count):
            raise UsageError(f"fitnet: stage={self.stage}, but this network has the stages 0 to {count - 1}.")
        width = self.frozen[0].channels[self.at_stage]
        self.regressor = nn.Sequential(nn.Conv2d(model.channels[self.at_stage], width, 1, bias=False),
                                       nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        like = next(model.head.parameters())
        return self.to(like.device, like.dtype)

    def step(self, inner, model, batch: Batch) -> Outcome:
        out = inner(model, batch)
        student, teacher = same_size(out.trace.maps[self.at_stage], self.taught(out.batch.x).maps[self.at_stage])
        y = out.batch.y
        value = F.mse_loss(self.regressor(student).to(y.dtype), teacher.to(y.dtype))
        return out.plus({"fitnet": self.beta * value})


@dataclass(eq=False, repr=False)
class AttentionTransfer(Distillation):
    """beta mean((A(F) - A(F_t))^2) at every stage, beside the cross-entropy: ``attention.stage1``, ... The mean over B and HW
    and beta are those of the authors' code; maps of different size are pooled to the smaller."""

    beta: float = 1000.0            # szagoruyko/attention-transfer, HobbitLong/RepDistiller

    def __post_init__(self):
        super().__post_init__()
        if not self.beta >= 0:
            raise UsageError(f"attention: beta is 0 or more, got {self.beta}.")

    def prepare(self, model) -> "AttentionTransfer":
        super().prepare(model)
        self.stages(model)
        return self

    def step(self, inner, model, batch: Batch) -> Outcome:
        out = inner(model, batch)
        losses, dtype = {}, out.batch.y.dtype
        for i, maps in enumerate(zip(out.trace.maps, self.taught(out.batch.x).maps, strict=True), 1):
            student, teacher = (attention(m.to(dtype)) for m in same_size(*maps))
            losses[f"attention.stage{i}"] = self.beta * (student - teacher).square().mean()
        return out.plus(losses)
