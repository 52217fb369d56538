"""Networks by name. ``MODELS`` maps a name to (module, builder, options), so that names are known without torch."""

from importlib import import_module

from ..errors import choose

MODELS = {
    **{f"resnet{depth}": ("resnet", "resnet", {"depth": depth, "block": "basic", "shortcut": "B"})
       for depth in (20, 32, 44, 56, 110)},
    "resnet164": ("resnet", "resnet", {"depth": 164, "block": "bottleneck", "shortcut": "B"}),
}


def options_of(name: str, **options) -> dict:
    """All options of a named network with their values, defaults included."""
    return {**MODELS[choose("network", name, MODELS)][2], **options}


def build(name: str, classes: int, **options):
    """The network ``name`` with ``classes`` logits, freshly initialised from the global random state.

    ``options`` override the named defaults (``build("resnet56", 100, block="bottleneck")``).
    """
    resolved = options_of(name, **options)
    module, builder, _ = MODELS[name]
    return getattr(import_module(f".{module}", __name__), builder)(classes, **resolved)
