"""Recipes: how long and how fast a network is trained, per data set, network and tier. No torch here.

``full`` is, for its networks, section 4.1.1 of the Feature Mining paper: 300 epochs, SGD at 0.1 (PyramidNet 0.5), a tenth at
epochs 150 and 225, batch 128 (DenseNet 64). Weight decay, Nesterov momentum and augmentation are not printed there; the values
here are those of the public code the paper's schedule comes from, per family. ``short`` is the same schedule in a tenth of the
epochs.
``smoke`` uses the embedded ``parts`` data, in fp32, and of deep and wide networks a few steps; its numbers mean nothing but
"it runs".
What a tier costs follows from measured steps, see `hours`; it is shown on the book's page of speed and cost.
"""

from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from .errors import UsageError, choose

TIERS = ("smoke", "short", "full")
PRECISIONS = ("fp32", "bf16")                   # bf16: convolutions and products under autocast; another arithmetic
SEEDS = {"smoke": 1, "short": 1, "full": 4}     # trainings a cell wants; the paper averages over 4
ITERATIONS = {"smoke": 3, "short": 30, "full": 300}     # of a training whose cost is measured; full: the paper's


Share = Annotated[float, Ge(0), Le(1)]
AtLeast0 = Annotated[int, Ge(0)]
AtLeast1 = Annotated[int, Ge(1)]


@dataclass(frozen=True)
class Recipe:
    """All of an optimisation. ``milestones`` are fractions of the epochs; the rate falls at the first epoch past each."""

    __pydantic_config__ = {"strict": True, "allow_inf_nan": False, "revalidate_instances": "always"}

    epochs: AtLeast1 = 300
    batch: AtLeast1 = 128
    lr: Annotated[float, Gt(0)] = 0.1
    milestones: tuple[Share, ...] | list[Share] = (0.5, 0.75)
    gamma: Annotated[Share, Gt(0)] = 0.1
    momentum: Annotated[Share, Lt(1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Ge(0)] = 5e-4        # on every parameter, train-only heads included
    pad: AtLeast0 = 4                   # zero padding before the random crop; 0: no crop
    flip: bool = True                   # horizontal, half of the images
    precision: str = "fp32"
    steps: AtLeast1 | None = None       # at most so many steps an epoch, where an epoch would take a CPU an hour
    warmup: AtLeast0 | None = None      # epochs at a tenth of the rate before all others, as He et al. (2016) give a ResNet-110
    test_every: AtLeast1 | None = None  # epochs between two tests; None: test each, as the paper's rule of the best epoch wants

    def tests(self, epoch: int) -> bool:
        """Whether to test after this epoch (from 0). The last ten are always tested, for the median of the last ten."""
        return (epoch + 1) % (self.test_every or 1) == 0 or epoch >= self.epochs - 10

    def rate(self, epoch: int) -> float:
        """Learning rate of the epoch (from 0).

        >>> [Recipe().rate(e) for e in (0, 149, 150, 225)], [Recipe(warmup=1).rate(e) for e in (0, 1)]
        ([0.1, 0.1, 0.01, 0.001], [0.01, 0.1])
        """
        if epoch < (self.warmup or 0):
            return self.lr / 10
        return round(self.lr * self.gamma ** sum(epoch >= m * self.epochs for m in self.milestones), 12)

    def late(self, epoch: int) -> bool:
        """Whether the rate has fallen for the last time by this epoch (from 0).

        >>> [Recipe().late(e) for e in (0, 150, 224, 225)]
        [False, False, False, True]
        """
        return epoch >= max(self.milestones, default=1) * self.epochs


FAMILIES = {                            # by the beginning of a network's name; the longest that fits
    "resnet": Recipe(),
    "resnet164": Recipe(weight_decay=1e-4),
    "preresnet164": Recipe(weight_decay=1e-4),
    "resnet50": Recipe(weight_decay=1e-4),
    "densenet": Recipe(batch=64, weight_decay=1e-4, nesterov=True),
    "wrn": Recipe(nesterov=True),
    "pyramidnet": Recipe(lr=0.5, weight_decay=1e-4, nesterov=True),
}


FAST: dict[str, Any] = {"epochs": 6}                    # the smoke tier: a minute on a CPU, a few for the widest networks
SLOW = {"epochs": 3, "steps": 10}       # steps of an epoch; at most so many
HEAVY = {"epochs": 2, "steps": 2}
SMOKE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("resnet56", "resnet110", "resnet164", "preresnet110", "preresnet164", "densenet_bc_100_12", "wrn_16_4",
                     "wrn_40_2"), SLOW),
    **dict.fromkeys(("wrn_28_10", "densenet_100_12", "resnet50"), HEAVY),
    "pyramidnet_110_84": {**SLOW, "warmup": 2},             # its rate of 0.5 is too much for first steps with five losses
    "pyramidnet_110_270": {**HEAVY, "warmup": 2},
}


def recipe(network: str, tier: str, **changes) -> Recipe:
    """The named recipe of a network in a tier; ``changes`` are made to its full-tier form."""
    choose("tier", tier, TIERS)
    family = max((name for name in FAMILIES if network.startswith(name)), key=len, default="resnet")
    if unknown := changes.keys() - vars(FAMILIES[family]).keys():
        raise UsageError(f"A recipe has no {sorted(unknown)[0]!r}; it has {', '.join(vars(FAMILIES[family]))}.")
    base = checked(replace(FAMILIES[family], **changes))
    if tier == "short":
        return replace(base, epochs=max(base.epochs // 10, 1))
    if tier == "smoke":
        # in fp32 whatever the changes: a processor without bf16 instructions emulates them, in minutes instead of one
        return replace(base, batch=64, milestones=(2 / 3, 5 / 6), precision="fp32", **SMOKE.get(network, FAST))
    return base


def checked(r: Recipe) -> Recipe:
    """The recipe, if each of its fields has the type and the range that it is declared with; a `UsageError` otherwise."""
    from pydantic import ValidationError

    try:
        _form().validate_python(r)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"A recipe's {first['loc'][0]} can't be {first['input']!r}: {first['msg']}.") from None
    return r


@cache
def _form() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Recipe)


def as_dict(r: Recipe) -> dict:
    """What identifies a recipe. A field that is added later defaults to None, and None is left out: no record grows stale."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(r).items() if v is not None}


def hours(r: Recipe, step: float, test: float, train: int = 50_000) -> float:
    """Hours of one training on ``train`` images, from the seconds of a step of the recipe's batch and of a test on all test
    images, as ``make bench`` measures them.

    >>> round(hours(Recipe(), step=0.36, test=0.0), 2)
    11.73
    """
    steps, tests = min(ceil(train / r.batch), r.steps or train), sum(map(r.tests, range(r.epochs)))
    return (r.epochs * steps * step + tests * test) / 3600
