"""Feature Mining, reproduced. The names a notebook or a training loop of your own needs; each is imported on first use,
so that the cheap side (records, verdicts, tables) never waits for torch.

>>> import featuremining as fm
>>> fm.METHODS["fm"]
('feature_mining', 'FeatureMining')
"""

from importlib import import_module

from .methods import METHODS

__version__ = "0.2.0"

_HOME = {
    **{cls: f"methods.{module}" for module, cls in METHODS.values()}, "METHODS": "methods", "make": "methods",
    "Method": "protocol", "Batch": "protocol", "Trace": "protocol", "Outcome": "protocol",
    "compose": "protocol", "plain_step": "protocol",
    "MODELS": "models", "build": "models", "Tapped": "models.tapped",
    "load_pretrained": "training.trained", "train_each": "training", "measure": "measuring",
    "load": "datasets", "DATASETS": "datasets",
    "plan": "studies", "load_cells": "studies", "read_records": "records",
    "FMError": "errors", "UsageError": "errors",
}
_MODULES = {        # what notebooks and loops of your own call by these names -> where it lives
    "tables": "showing.tables", "figures": "showing.figures", "verdicts": "judging.verdicts", "stats": "stats",
    "studies": "studies", "records": "records", "recipes": "recipes", "paths": "paths", "notebook": "showing.notebook",
    "train": "training.loop", "engine": "training.engine", "cost": "measuring.cost", "insight": "measuring.insight",
    "audit_page": "showing.audit", "pooling_page": "showing.pooling", "show": "showing.show",
}
__all__ = [*_HOME, *_MODULES]


def __getattr__(name):
    if name in _MODULES:
        return _needed(name)
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _needed(name):
    """A module that may need more than the package itself does."""
    from .errors import UsageError

    try:
        return import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] == __name__:
            raise
        raise UsageError(f"featuremining.{name} needs {error.name}: pip install 'featuremining[notebooks]', or in a checkout "
                         "pip install -e '.[notebooks]'.") from None
