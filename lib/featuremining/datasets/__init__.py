"""Data sets by name, held in memory as uint8. ``DATASETS`` maps a name to its module, so names are known without torch."""

from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from ..errors import choose

if TYPE_CHECKING:
    from torch import Tensor

DATASETS = {"cifar100": "cifar100", "parts": "parts"}


class DataSet(NamedTuple):
    """Images (N, H, W, 3) uint8 and integer labels (N,); ``mean`` and ``std`` of the training images per channel, in [0, 1]."""

    name: str
    train_x: "Tensor"
    train_y: "Tensor"
    test_x: "Tensor"
    test_y: "Tensor"
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def digest(self) -> str:
        """sha256 over images and labels, training before test."""
        h = sha256()
        for tensor in (self.train_x, self.train_y, self.test_x, self.test_y):
            h.update(memoryview(tensor.contiguous().numpy()).cast("B"))
        return h.hexdigest()


def load(name: str) -> DataSet:
    """The data set ``name``. `FMError` says in one sentence how to get it when it is not there."""
    return import_module(f".{DATASETS[choose('data set', name, DATASETS)]}", __name__).load()


def where(name: str) -> tuple[bool, str]:
    """Whether a data set is at hand, and where it is or how to get it. Does not read the data."""
    return import_module(f".{DATASETS[choose('data set', name, DATASETS)]}", __name__).where()
