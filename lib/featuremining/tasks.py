"""What a cell asks to be done, by its task: train a classifier, train a detector, measure costs. Torch is imported on demand."""

from importlib import import_module

from .studies import Run

MODULES = {"classification": "train", "detection": "detection"}


def train_all(runs: list[Run], device: str = "auto", engine: str = "auto"):
    """The records of these trainings, all of one task; what is missing is trained first."""
    return import_module(f".{MODULES[runs[0].task]}", __package__).train_all(runs, device, engine)


def measure(runs: list[Run], device: str = "auto", engine: str = "auto"):
    """The findings of costs of these trainings, side by side."""
    return import_module(".table10", __package__).measure(runs, device, engine)
