"""Networks by name. ``MODELS`` maps a name to (module, builder, options), so that names are known without torch."""

from importlib import import_module

from ..errors import choose

MODELS = {
    **{f"resnet{depth}": ("resnet", "resnet", {"depth": depth, "block": "basic"}) for depth in (20, 32, 44, 56, 110)},
    "resnet164": ("resnet", "resnet", {"depth": 164, "block": "bottleneck"}),
}


def build(name: str, classes: int, **options):
    """The network ``name`` with ``classes`` logits, freshly initialised from the global random state.

    ``options`` override the named defaults (``build("resnet56", 100, block="bottleneck")``).
    """
    module, builder, defaults = MODELS[choose("network", name, MODELS)]
    return getattr(import_module(f".{module}", __name__), builder)(classes, **{**defaults, **options})
