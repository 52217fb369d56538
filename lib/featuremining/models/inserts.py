"""Layers that stand within a network: the option ``insert`` of every network of this package, a list of
``{"layer": "low_rank", "after": "stage2", settings of the layer}``. ``after`` is "stem" or a stage, counted from 1. In its place
``within``, a stage, puts the layer at the end of a residual branch, before the addition: that of the stage's last block, or with
``blocks = "all"`` one in each."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from inspect import signature

from torch import nn

from ..errors import UsageError, choose
from ..layers import LAYERS
from .staged import StagedNet

BLOCKS = ("last", "all")


def made(layer: str) -> type[nn.Module]:
    """The class of a layer of this name."""
    module, cls = LAYERS[choose("layer", layer, LAYERS)]
    return getattr(import_module(f"..layers.{module}", __package__), cls)


def defaults(layer: str) -> dict:
    """All settings of a layer with their values; how many channels it sees is the network's matter."""
    return {name: p.default for name, p in signature(made(layer)).parameters.items() if name != "channels"}


def attach(net: nn.Module, insert: Sequence[dict]) -> None:
    """Put these layers into a network. What is drawn for them comes after all that the network has without them."""
    taken: set[tuple[str, str]] = set()
    for layer, place, settings in _all(insert):
        if not isinstance(net, StagedNet):
            raise UsageError(f"insert: {layer} can stand in networks of this package, not in those of other libraries.")
        key, where = next(iter(place.items()))
        stages = [f"stage{i}" for i in range(1, len(net.stages) + 1)]
        choose(f"place of {layer}, {key}", where, ["stem", *stages] if key == "after" else stages)
        if (key, where) in taken:
            raise UsageError(f"insert: only one layer can stand {key} {where}.")
        taken.add((key, where))
        if key == "after":
            net.inserted[where] = _fitting(layer, net.stem if where == "stem" else net.channels[stages.index(where)], settings)
        else:
            branches = _branches(net.stages[stages.index(where)], layer)
            for branch in branches if place["blocks"] == "all" else branches[-1:]:
                branch.append(_fitting(layer, branch, settings))


def _fitting(layer: str, of: nn.Module | int, settings: dict) -> nn.Module:
    """The layer for a number of channels, or for what the last convolution of a module gives."""
    cls = made(layer)
    if "channels" not in signature(cls).parameters:
        return cls(**settings)
    channels = of if isinstance(of, int) else [m for m in of.modules() if isinstance(m, nn.Conv2d)][-1].out_channels
    return cls(channels, **settings)


def _branches(stage: nn.Module, layer: str) -> list[nn.Sequential]:
    """The residual branches of a stage's blocks."""
    found = [m.residual for m in stage.modules() if isinstance(getattr(m, "residual", None), nn.Sequential)]
    if not found:
        raise UsageError(f"insert: {layer} can't stand within a stage that has no residual branches; put it after one.")
    return found


def resolved(insert: Sequence[dict]) -> list[dict]:
    """The same with all settings of the layers, defaults included, as plain values."""
    return [{"layer": layer, **place, **defaults(layer), **settings} for layer, place, settings in _all(insert)]


def _all(insert: Sequence[dict]) -> list[tuple[str, dict, dict]]:
    if not isinstance(insert, list | tuple):
        raise UsageError(f'insert is a list, such as [{{"layer": "low_rank", "after": "stage2"}}], got {insert!r}.')
    return [_parts(entry) for entry in insert]


def _parts(entry: dict) -> tuple[str, dict, dict]:
    """The layer's name, where it stands ({"after": ...} or {"within": ..., "blocks": ...}), and the settings it is given."""
    settings = dict(entry) if isinstance(entry, Mapping) else {}
    if "layer" not in settings or len({"after", "within"} & settings.keys()) != 1:
        raise UsageError("insert: an entry says which layer stands after what, or within what; "
                         f"{entry!r} lacks {'layer' if 'layer' not in settings else 'after or within, or has both'}.")
    layer = settings.pop("layer")
    place = {key: settings.pop(key) for key in ("after", "within") if key in settings}
    if "within" in place:
        place["blocks"] = choose(f"blocks of {layer}", settings.pop("blocks", "last"), BLOCKS)
    for name in settings:
        choose(f"setting of {layer}", name, list(defaults(layer)))
    return layer, place, settings


def gsop_net(which: int, stages: int = 3, d: int | None = 256, **settings) -> dict:
    """Options of `build` for GSoP-Net1 or GSoP-Net2 (Gao, Xie, Wang, Li, CVPR 2019), whose last stage keeps its resolution: a
    GSoP block of these ``settings`` within the last block of each stage, and either the mean as ever, or a covariance of ``d``
    channels with three steps of Newton-Schulz.

    >>> gsop_net(1, 1)
    {'insert': [{'layer': 'gsop', 'within': 'stage1'}], 'last_stride': 1}
    """
    choose("GSoP-Net", which, (1, 2))
    options = {"insert": [{"layer": "gsop", "within": f"stage{i}", **settings} for i in range(1, stages + 1)], "last_stride": 1}
    head = {"name": "covariance", "d": d, "root": {"name": "newton_schulz", "iterations": 3}}
    return options if which == 1 else {**options, "head": head}
