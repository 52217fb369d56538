"""The networks, one family a file. In come a name and a number of classes, out goes a classifier whose stages methods can see; it
knows nothing of methods, recipes or data.

``MODELS`` maps a name to (module, builder, options), so that names are known without torch.

Beside them ``timm/<name>`` is one of timm's classifiers that end in pooling and a linear layer; any other is refused when built.

Options of every network: ``head``, a name of ``HEADS`` or {"name": ..., settings}, is what the classifier reads of the last map,
and ``last_stride = 1`` keeps that map at the resolution of the one before.
"""

from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from typing import Literal

from ..errors import UsageError, check_settings, choose

MODELS = {
    **{f"resnet{depth}": ("resnet", "resnet", {"depth": depth, "block": "basic", "shortcut": "B", "stem_stride": 1})
       for depth in (20, 32, 44, 56, 110)},
    "resnet164": ("resnet", "resnet", {"depth": 164, "block": "bottleneck", "shortcut": "B", "stem_stride": 1}),
    **{f"preresnet{depth}": ("preact_resnet", "preact_resnet", {"depth": depth, "block": "basic"})
       for depth in (20, 32, 44, 56, 110)},
    "preresnet164": ("preact_resnet", "preact_resnet", {"depth": 164, "block": "bottleneck"}),
    "densenet_bc_100_12": ("densenet", "densenet", {"depth": 100, "growth": 12, "bc": True}),
    "densenet_100_12": ("densenet", "densenet", {"depth": 100, "growth": 12, "bc": False}),
    **{f"wrn_{depth}_{width}": ("wide_resnet", "wide_resnet", {"depth": depth, "width": width})
       for depth, width in ((16, 4), (28, 10), (40, 2))},
    **{f"pyramidnet_110_{alpha}": ("pyramidnet", "pyramidnet", {"depth": 110, "alpha": alpha}) for alpha in (84, 270)},
    "resnet50": ("imagenet", "resnet50", {}),
}
TIMM = "timm/"
HEADS = ("mean", "covariance", "convmix", "unit", "idccp")       # by `heads`; mean is what every network has


def known(name: str) -> bool:
    """Whether `build` has a network of this name."""
    return name in MODELS or name.startswith(TIMM)


def _entry(name: str) -> tuple[str, str, dict]:
    if name.startswith(TIMM):
        return "imagenet", "timm_classifier", {"name": name.removeprefix(TIMM)}
    return MODELS[choose("network", name, [*MODELS, f"{TIMM}<name>"])]


def options_of(name: str, **options) -> dict:
    """All options of a named network with their values, defaults included; those of inserted layers too, if there are any, and
    those of a head other than the mean by names like ``head.root.name``."""
    found = {**_entry(name)[2], **options}
    if "insert" in found:
        found["insert"] = import_module(".inserts", __name__).resolved(found["insert"])
    head = _head(found.pop("head", "mean"))
    if head["name"] != "mean":
        found |= _flat("head", import_module(".heads", __name__).settings(**head))
    return found


def _head(head) -> dict:
    """{"name": ..., settings} of an option ``head``."""
    if not isinstance(head, str | Mapping):
        raise UsageError(f"A head is one of {', '.join(HEADS)}, or {{\"name\": one of them, settings}}, got {head!r}.")
    settings = {"name": head} if isinstance(head, str) else dict(head)
    choose("head", settings.get("name"), HEADS)
    if settings["name"] == "mean" and len(settings) > 1:
        raise UsageError(f"The head 'mean' has no settings, got {', '.join(settings.keys() - {'name'})}.")
    return settings


def _flat(prefix: str, value) -> dict:
    if not isinstance(value, dict):
        return {prefix: value}
    return {key: v for name, inner in value.items() for key, v in _flat(f"{prefix}.{name}", inner).items()}


def _check(name: str, maker, options: dict) -> None:
    """A `UsageError` for an option that the network does not have."""
    if "pretrained" in options:
        raise UsageError("A network that is built here starts untrained: for published weights build it yourself, for example "
                         "timm.create_model(..., pretrained=True), and wrap it in Tapped.")
    known = signature(maker).parameters
    for option in options if not any(p.kind == p.VAR_KEYWORD for p in known.values()) else ():
        choose(f"option of {name}", option, [*list(known)[1:], "insert", "head", "last_stride"])
    check_settings(f"{name} option", maker, options)


def build(name: str, classes: int, insert=(), head="mean", last_stride: Literal[1, 2] = 2, **options):
    """The network ``name`` with ``classes`` logits, freshly initialised from the global random state.

    ``options`` override the named defaults (``build("resnet56", 100, block="bottleneck")``). ``insert`` puts layers between the
    stages, ``[{"layer": "low_rank", "after": "stage2"}]``, or at the end of residual branches, ``within`` a stage. A head other
    than the mean is drawn last, so that equal seeds give equal weights of all that stands before it.
    """
    module, builder, defaults = _entry(name)
    settings = _head(head)
    maker = getattr(import_module(f".{module}", __name__), builder)
    _check(name, maker, options)
    check_settings(f"{name} option", build, {"last_stride": last_stride})
    net = maker(classes, **{**defaults, **options})
    if last_stride != 2:
        import_module(".heads", __name__).last_stride(net, last_stride)
    if insert:
        import_module(".inserts", __name__).attach(net, insert)
    if settings["name"] != "mean":
        import_module(".heads", __name__).attach(net, **settings)
    return net
