"""Noise on a stage's map, the regularisers that the Feature Mining paper compares with (its Tables 1 and 4):

- Dropout. Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, JMLR 15 (2014) 1929-1958: elements.
- SpatialDropout. Tompson, Goroshin, Jain, LeCun, Bregler, CVPR 2015, arXiv:1411.4280: whole channels of an image.
- DropBlock. Ghiasi, Lin, Le, NeurIPS 2018, arXiv:1810.12890: squares.

Paper 004 puts DropBlock on "the output of the first two groups" and the others on that of "the penultimate group". It
prints no rates.

What is left is scaled up while training, so that an evaluated network is the plain one. Noise is drawn in the step, and
in fp32 also for bfloat16 maps: bfloat16 has 256 numbers in [0, 1), too few for a seed rate of half a percent.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..protocol import Batch, Edit, Method, Outcome


def drop_elements(x: Tensor, dropped: Tensor, scale: float | Tensor) -> Tensor:
    """A (B, C, H, W) map with zeros where ``dropped`` (booleans that broadcast to it) is true, times ``scale``.

    >>> drop_elements(torch.tensor([1., 2., 3.]), torch.tensor([False, True, False]), 1.5).tolist()
    [1.5, 0.0, 4.5]
    """
    return torch.where(dropped, 0, x) * scale       # unlike masked_fill, `where` keeps the map's memory format


def coins(like: Tensor, p: float | Tensor) -> Tensor:
    """Independent booleans of the shape and memory format of ``like``, true with probability p."""
    return torch.rand_like(like, dtype=torch.float32) < p


def gamma(drop: float | Tensor, block: int, height: int, width: int) -> float | Tensor:
    """How likely a place where a whole block fits is to seed one: section 3 of DropBlock, with ``drop`` = 1 - keep_prob.

    Seeds times block area are ``drop`` of the map; blocks that overlap then drop a little less.

    >>> gamma(0.5, 2, 3, 3)
    0.28125
    """
    return drop / block**2 * (height * width) / ((height - block + 1) * (width - block + 1))


def block_mask(seeds: Tensor, block: int) -> Tensor:
    """Booleans (..., H - block + 1, W - block + 1), the top left corners of squares -> (..., H, W), true on the squares.

    A window of ``reach`` cells grows to ``block`` by joining it with itself, shifted: log2(block) times along either axis.

    >>> block_mask(torch.tensor([[True, False], [False, False]]), 2).int().tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    """
    mask, reach = F.pad(seeds, (block - 1,) * 4), 1
    while reach < block:
        shift = min(reach, block - reach)
        mask = mask[..., shift:, :] | mask[..., :-shift, :]
        mask = mask[..., shift:] | mask[..., :-shift]
        reach += shift
    return mask


def fraction(dropped: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """What part of the booleans is true, a scalar of at least fp32.

    >>> fraction(torch.tensor([True, False, False, False])).item()
    0.25
    """
    return dropped.sum().to(torch.promote_types(dtype, torch.float32)) / dropped.numel()


def rescale(lost: Tensor, count: int) -> Tensor:
    """count / count_ones of DropBlock's Algorithm 1, given the fraction ``lost`` of ``count`` numbers; finite if all are.

    >>> rescale(torch.tensor(0.75), 8).item()
    4.0
    """
    return 1 / (1 - lost).clamp(min=1 / count)


def after(first: Edit | None, then: Edit) -> Edit:
    """Both edits of one map, one after the other."""
    return then if first is None else lambda x: then(first(x))


class Drops(Method):
    """What the three share: which maps, and that nothing happens in eval mode or at rate 0.

    An edit that an outer method put on the same stage comes first: in a list of methods, maps are edited in its order.
    """

    name = ""           # in messages and logs

    def check(self, setting: str, value: float) -> None:
        self.stages, self.never = tuple(self.stages), value == 0
        if not 0 <= value < 1:
            raise UsageError(f"{self.name}: {setting} is a probability in [0, 1), got {value}.")
        if not self.stages:
            raise UsageError(f"{self.name}: stages needs one stage at least.")

    def prepare(self, model) -> "Drops":
        count = len(model.channels)
        for stage in self.stages:
            if not -count <= stage < count:
                raise UsageError(f"{self.name}: stage {stage} was asked for, but this network has {count} stages, from 0.")
        self.edited = tuple(stage % count for stage in self.stages)
        if len(set(self.edited)) < len(self.edited):
            raise UsageError(f"{self.name}: stages={self.stages} names a stage of this network twice.")
        return self.to(next(model.head.parameters()).device)

    def edit(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the map after dropping, and the fraction dropped."""
        raise NotImplementedError

    def step(self, inner, model, batch: Batch) -> Outcome:
        if self.never or not self.training:
            return inner(model, batch)
        logs: dict[str, Tensor] = {}

        def edit(x: Tensor, stage: int) -> Tensor:
            x, logs[f"{self.name}.stage{stage + 1}.dropped"] = self.edit(x)
            return x

        edits = {stage: after(batch.edits.get(stage), partial(edit, stage=stage)) for stage in self.edited}
        return inner(model, batch._replace(edits={**batch.edits, **edits})).plus(logs=logs)


@dataclass(eq=False, repr=False)
class Dropout(Drops):
    """Every element of the map is dropped with probability p; the others are divided by 1 - p."""

    name = "dropout"
    p: float = 0.1                          # not printed; WRN uses 0.3, DenseNet 0.2, both inside blocks
    stages: tuple[int, ...] = (-2,)         # the Feature Mining paper: "the penultimate group"; negative: from the deepest

    def __post_init__(self):
        super().__post_init__()
        self.check("p", self.p)

    def edit(self, x: Tensor) -> tuple[Tensor, Tensor]:
        dropped = self.dropped(x)
        return drop_elements(x, dropped, 1 / (1 - self.p)), fraction(dropped)

    def dropped(self, x: Tensor) -> Tensor:
        """Booleans that broadcast to the map (B, C, H, W)."""
        return coins(x, self.p)


@dataclass(eq=False, repr=False)
class SpatialDropout(Dropout):
    """Every channel of every image is dropped with probability p, as a whole."""

    name = "spatial_dropout"

    def dropped(self, x: Tensor) -> Tensor:
        return coins(x[:, :, :1, :1], self.p)


@dataclass(eq=False, repr=False)
class DropBlock(Drops):
    """Squares of block x block cells are dropped, about ``drop`` of the map; what is left is scaled so that a constant map
    keeps its mean over the batch. The top left corners of the squares are drawn where they fit, so an even ``block`` is
    exact too (the CutMix paper compares with 4).

    ``linear``, the authors' schedule, makes epoch e of E drop ``drop * e / E``. A loop that never calls `at` drops ``drop``.
    """

    name = "dropblock"
    drop: float = 0.1                       # 1 - keep_prob
    block: int = 5                          # cells; the authors' 7 is for ImageNet
    stages: tuple[int, ...] = (0, 1)        # the Feature Mining paper: "the output of the first two groups"
    per_channel: bool = True                # Algorithm 1; otherwise an image's channels share their squares
    schedule: Literal["linear", "constant"] = "linear"  # the authors' code: the rate rises over training

    def __post_init__(self):
        super().__post_init__()
        self.check("drop", self.drop)
        if self.block < 1:
            raise UsageError(f"dropblock: block is a positive number of cells, got {self.block}.")
        self.register_buffer("rate", torch.tensor(float(self.drop)), persistent=False)     # it follows from the epoch

    def at(self, progress: float) -> None:
        """In place: a captured step reads the rate where it lies."""
        self.rate.fill_(self.drop * progress if self.schedule == "linear" else self.drop)

    def draw(self, steps: int, batch: int, sizes) -> dict[str, Tensor]:
        """Nothing; but blocks that are too large are reported here, before the first step is compiled or captured."""
        for stage in self.edited if sizes else ():
            self.fits(*sizes[stage])
        return {}

    def fits(self, height: int, width: int) -> None:
        if self.block > min(height, width):
            raise UsageError(f"dropblock: block={self.block} does not fit into a map of {height} x {width}; "
                             "choose a smaller block or shallower stages.")

    def seeds(self, x: Tensor) -> Tensor:
        """Booleans (B, C or 1, H - block + 1, W - block + 1) for a map (B, C, H, W)."""
        height, width = x.shape[2:]
        self.fits(height, width)
        places = x[:, : None if self.per_channel else 1, self.block - 1:, self.block - 1:]
        return coins(places, gamma(self.rate, self.block, height, width))

    def edit(self, x: Tensor) -> tuple[Tensor, Tensor]:
        dropped = block_mask(self.seeds(x), self.block)
        lost = fraction(dropped, x.dtype)
        return drop_elements(x, dropped, rescale(lost, dropped.numel())), lost
