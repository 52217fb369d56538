"""Layers that stand between the stages of a network: the option ``insert`` of every network of this package, a list of
``{"layer": "low_rank", "after": "stage2", settings of the layer}``; ``after`` is "stem" or a stage, counted from 1."""

from collections.abc import Sequence
from importlib import import_module
from inspect import signature

from torch import nn

from ..errors import UsageError, choose
from ..layers import LAYERS
from .staged import StagedNet


def made(layer: str) -> type[nn.Module]:
    """The class of a layer of this name."""
    module, cls = LAYERS[choose("layer", layer, LAYERS)]
    return getattr(import_module(f"..layers.{module}", __package__), cls)


def attach(net: nn.Module, insert: Sequence[dict]) -> None:
    """Put these layers into a network. They have no weights to draw, so all others begin as without them."""
    for entry in insert:
        layer, after, settings = _parts(entry)
        if not isinstance(net, StagedNet):
            raise UsageError(f"insert: {layer} can stand in networks of this package, not in those of other libraries.")
        places = ["stem", *(f"stage{i}" for i in range(1, len(net.stages) + 1))]
        if choose(f"place of {layer}, after", after, places) in net.inserted:
            raise UsageError(f"insert: only one layer can stand after {after}.")
        net.inserted[after] = made(layer)(**settings)


def resolved(insert: Sequence[dict]) -> list[dict]:
    """The same with all settings of the layers, defaults included, as plain values."""
    found = []
    for entry in insert:
        layer, after, settings = _parts(entry)
        defaults = {name: p.default for name, p in signature(made(layer)).parameters.items()}
        found.append({"layer": layer, "after": after, **defaults, **settings})
    return found


def _parts(entry: dict) -> tuple[str, str, dict]:
    settings = dict(entry)
    if missing := {"layer", "after"} - settings.keys():
        raise UsageError(f"insert: an entry says which layer stands after what; {entry} lacks {' and '.join(sorted(missing))}.")
    layer, after = settings.pop("layer"), settings.pop("after")
    for name in settings:
        choose(f"setting of {layer}", name, list(signature(made(layer)).parameters))
    return layer, after, settings
