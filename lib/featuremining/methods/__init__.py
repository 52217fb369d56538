"""What changes training: one published method, one file. In comes the training step that a method wraps, out goes a step with its
losses; heads that are made here are gone at test time. What stays in the network at test time does not belong here.

``METHODS`` maps a name to (module, class), so that names are known without torch.
"""

from importlib import import_module

from ..errors import UsageError, choose

METHODS = {
    "fm": ("feature_mining", "FeatureMining"),
    "mixup": ("mixup", "Mixup"),
    "cutmix": ("cutmix", "CutMix"),
    "cutout": ("cutout", "Cutout"),
    "label_smoothing": ("label_smoothing", "LabelSmoothing"),
    "dropout": ("dropout", "Dropout"),
    "spatial_dropout": ("dropout", "SpatialDropout"),
    "dropblock": ("dropout", "DropBlock"),
    "byot": ("byot", "BYOT"),
    "cs_kd": ("cs_kd", "CSKD"),
    "kd": ("distillation", "KD"),
    "fitnet": ("distillation", "FitNet"),
    "attention": ("distillation", "AttentionTransfer"),
    "geometric": ("geometric", "Geometric"),
    "geometric_pattern": ("geometric", "GeometricPattern"),
    "geometric_lle": ("geometric", "GeometricLLE"),
    "ical": ("ical", "ICAL"),
    "fixed_mask": ("fixed_mask", "FixedMask"),
}


def make(name: str, **settings):
    """The method ``name`` with its defaults and these settings. Unknown names or settings raise `UsageError`."""
    module, cls = METHODS[choose("method", name, METHODS)]
    cls = getattr(import_module(f".{module}", __name__), cls)
    for setting in settings:
        choose(f"setting of {name}", setting, list(cls.__dataclass_fields__))
    try:
        return cls(**settings)
    except TypeError as error:
        raise UsageError(f"{name}: {error}") from None
