"""Options of every network: what a classifier reads where that is not the mean of the last map, how it reads it, and how large
that map is."""

from collections.abc import Sequence
from inspect import signature

import torch
from torch import nn

from ..errors import UsageError, checked, choose
from ..layers.convmix import ConvMix
from ..layers.idccp import IDCCP, d4
from ..layers.pooling import CovariancePooling, Root, reduction
from ..layers.unit_classifier import UnitClassifier
from .pyramidnet import Unit
from .resnet import PadShortcut
from .staged import StagedNet, map_sizes


@checked("covariance")
def covariance(net: nn.Module, d: int | None = None, steps: Sequence[int] = (), groups: int = 1, **settings) -> None:
    """Covariance pooling in place of the mean (`CovariancePooling`, which has the ``settings``). Where ``d`` is given a 1x1
    convolution with BN and ReLU brings the map to d channels first, over the widths ``steps`` if there are any, in ``groups``."""
    if steps and d is None:
        raise UsageError("Covariance pooling with steps needs d, the number of channels at the end of them.")
    reduced = None if d is None else reduction(net.channels[-1], [*steps, d], groups)
    pool = CovariancePooling(d or net.channels[-1], groups=groups, **settings)
    net.read(reduced, pool, pool.width)


def convmix(net: nn.Module, **settings) -> None:
    """The classifier, which stays as it was drawn, reads a learnt mixture of the maps of all stages (`ConvMix`)."""
    if not isinstance(net, StagedNet):
        raise UsageError("The head 'convmix' is for networks of this package, not for those of other libraries.")
    net.read_all(ConvMix(net.channels, **settings))


def unit(net: nn.Module, **settings) -> None:
    """A classifier with class vectors of length one and no bias, of the mean of the last map (`UnitClassifier`)."""
    if not isinstance(net, StagedNet):
        raise UsageError("The head 'unit' is for networks of this package, not for those of other libraries.")
    net.head = UnitClassifier(net.channels[-1], net.classes, **settings)


def idccp(net: nn.Module, **settings) -> None:
    """A covariance that no turning and no mirroring of the image changes (`IDCCP`): the network sees eight copies of it."""
    if not isinstance(net, StagedNet):
        raise UsageError("The head 'idccp' is for networks of this package, not for those of other libraries.")
    pool = IDCCP(net.channels[-1], **settings)
    net.read_copies(d4, pool, pool.width)


HEADS = {"covariance": covariance, "convmix": convmix, "unit": unit, "idccp": idccp}
OWN = {"covariance": (covariance, CovariancePooling), "convmix": (ConvMix,), "unit": (UnitClassifier,),
       "idccp": (IDCCP,)}                                       # where settings stand
GIVEN = ("net", "settings", "channels", "width", "classes")     # what is no setting


def attach(net: nn.Module, name: str, **settings) -> None:
    """Give a network this head; what is drawn for it comes from the global random state."""
    known_settings(name, settings)
    HEADS[name](net, **settings)


def settings(name: str, **given) -> dict:
    """A head's name and all its settings, defaults included, as plain values."""
    known = known_settings(name, given)
    roots = {key: Root(known[key]).settings for key in ("root", "later") if known.get(key) is not None}
    return {"name": name, **known, **roots}


def known_settings(name: str, given: dict) -> dict:
    known = {key: p.default for part in OWN[name] for key, p in signature(part).parameters.items()
             if key not in GIVEN and (key != "d" or part is not CovariancePooling)}
    for key in given:
        choose(f"setting of head {name!r}", key, known)
    return {**known, **given}


def last_stride(net: nn.Module, stride: int) -> None:
    """With stride 1 the last stage keeps the resolution of the one before, as second-order networks have it: their covariances
    are of four times as many places."""
    if stride == 2:
        return
    for module in net.stages[-1].modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (1, 1)
        elif isinstance(module, nn.AvgPool2d) and module.stride in (2, (2, 2)):
            module.kernel_size = module.stride = 1
            module.padding = 0
        elif isinstance(module, PadShortcut | Unit):
            module.stride = 1
    with torch.random.fork_rng(devices=[]):
        before, last = map_sizes(net, 64, 64)[-2:]
    if before != last:
        raise UsageError("last_stride = 1 can't be had of this network: its last stage halves the resolution in another way.")
