"""Label noise. Only training labels change, and they follow from the noise and its own seed alone: not from the method, not from
the seed of a training, not from the machine. All methods of a table thus learn from the same wrong labels.

``symmetric`` and ``pair`` are defined as by Han et al., NeurIPS 2018, arXiv:1804.06872 (Co-teaching); ``human`` labels are those
of CIFAR-100N: Wei et al., ICLR 2022, arXiv:2110.12088.
"""

from numbers import Integral, Real
from pathlib import Path
from typing import get_args
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from torch import Tensor

from .. import paths
from ..errors import FMError, UsageError, choose
from . import NOISES, DataSet, Kind

HUMAN = "CIFAR-100_human.pt"
GET_HUMAN = ("get data/CIFAR-100_human.pt from https://github.com/UCSC-REAL/cifar-10-100n (CC BY-NC 4.0) and put it into {root}, "
             "or point FM_DATA_DIR at a folder that holds it and CIFAR-100")

SUPERCLASSES = (    # of CIFAR-100's classes in the order of their labels; equal to the coarse labels of the published files
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7,
    6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10,
    16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16,
    12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
)


def superclasses() -> np.ndarray:
    """int64 (100,): the superclass, 0 to 19, of each of CIFAR-100's classes; five classes in each."""
    return np.array(SUPERCLASSES, np.int64)


def transition(kind: str, rate: float, classes: int, include_true: bool = False, coarse=None) -> np.ndarray:
    """float64 (K, K): row i holds the probabilities of the labels that an image of class i gets; rows sum to 1.

    ``symmetric``: another class, each as likely; with ``include_true`` a uniform draw from all K classes, the true one too, so
    that only ``rate`` (1 - 1 / K) of the labels become wrong (Zhang et al., 2017, arXiv:1611.03530). ``pair``: the next class
    in the order of the labels, after the last the first. ``pair_superclass``: the next class of the same superclass;
    ``coarse`` (K,) gives the superclass of each class.

    >>> transition("pair", 0.25, 3).tolist()
    [[0.75, 0.25, 0.0], [0.0, 0.75, 0.25], [0.25, 0.0, 0.75]]
    """
    choose("noise", kind, get_args(Kind))
    if not (isinstance(rate, Real) and 0 < rate < 1):
        raise UsageError(f"The rate of label noise lies between 0 and 1, for example 0.2, got {rate!r}.")
    if classes < 2:
        raise UsageError(f"Label noise needs two classes or more, got {classes}.")
    if include_true and kind != "symmetric":
        raise UsageError(f"include_true is a setting of symmetric noise; {kind} noise has no such choice.")
    keep = (1 - rate) * np.eye(classes)
    if kind == "symmetric":
        wrong = np.ones((classes, classes)) if include_true else 1 - np.eye(classes)
        return keep + rate / wrong.sum(1, keepdims=True) * wrong
    return keep + rate * np.eye(classes)[_next(np.zeros(classes) if kind == "pair" else _groups(coarse, classes))]


def _groups(coarse, classes: int) -> np.ndarray:
    if coarse is None or np.shape(coarse) != (classes,) or np.unique(coarse, return_counts=True)[1].min() < 2:
        raise UsageError(f"pair_superclass noise needs coarse: the superclass of each of the {classes} classes, with two or more "
                         "classes in each.")
    return np.asarray(coarse)


def _next(groups: np.ndarray) -> np.ndarray:
    """The next class of the same group, after the last the first: (K,) -> int64 (K,)."""
    following = np.empty(len(groups), np.int64)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        following[members] = np.roll(members, -1)
    return following


def uniforms(n: int, seed: int, what: str) -> np.ndarray:
    """float64 (n,) in [0, 1): equal on every machine, the first of them whatever n, and of its own for every purpose ``what``."""
    if not isinstance(seed, Integral) or seed < 0:
        raise UsageError(f"The seed of a {what} is a whole number, 0 or more, got {seed!r}.")
    return np.random.Generator(np.random.PCG64([int(seed), *what.encode()])).random(n)


def flip(labels: Tensor, matrix: np.ndarray, seed: int = 0) -> Tensor:
    """Labels int64 (N,), each drawn from its row of ``matrix`` (K, K), independently of all others.

    One uniform per image; so the first n labels are those of the first n images.
    """
    if matrix.min() < 0 or not np.allclose(matrix.sum(1), 1, rtol=0, atol=1e-9):
        raise UsageError("Every row of a transition matrix holds probabilities that sum to 1, as those of `transition` do.")
    true, u = labels.cpu().numpy(), uniforms(len(labels), seed, "noise")
    steps = matrix.cumsum(1)
    steps[steps >= steps[:, -1:]] = 1       # where a sum ends at 1 - 1e-16, no draw falls past the last class that may occur
    noisy = np.empty(len(true), np.int64)
    for k in np.unique(true):
        noisy[true == k] = steps[k].searchsorted(u[true == k], side="right")
    return torch.from_numpy(noisy)


def human(root: Path, clean: Tensor) -> Tensor:
    """CIFAR-100N's labels int64 (50000,): one person's answer for each training image, 40.2 % of them wrong.

    ``clean`` are the data set's own training labels: those within the file must equal them, or images and labels would not
    belong together.
    """
    path, get = Path(root) / HUMAN, GET_HUMAN.format(root=root)
    if not path.is_file():
        raise FMError(f"CIFAR-100N is not in {root}: {get}.")
    try:
        content = _read(path)
        theirs, noisy = (torch.from_numpy(content[name]) for name in ("clean_label", "noisy_label"))
        if theirs.shape != noisy.shape or noisy.min() < 0 or noisy.max() > 99:
            raise ValueError
    except Exception as error:      # torch.load and zipfile have a dozen of their own for damaged and for foreign files
        raise FMError(f"{path} is damaged or not the published file ({type(error).__name__}): delete it, {get}.") from None
    if not torch.equal(theirs, clean.cpu()):
        raise FMError(f"The true labels within {path} are not the training labels of this CIFAR-100, in this order: delete it, "
                      f"{get}.")
    return noisy


def _read(path: Path) -> dict:
    """The file's content, by an allow-list: a pickle that names anything but integer arrays is refused, not run."""
    with ZipFile(path) as archive:
        if archive.testzip():               # torch.load does not look at the checksums
            raise BadZipFile
    rebuild = np.empty(0).__reduce__()[0]   # what pickles of arrays call; NumPy 2 moved it, the file has the old name
    allowed = [(rebuild, "numpy.core.multiarray._reconstruct"), (rebuild, "numpy._core.multiarray._reconstruct"),
               np.ndarray, np.dtype, np.dtypes.Int64DType]
    with torch.serialization.safe_globals(allowed):
        return torch.load(path, map_location="cpu", weights_only=True)


def corrupted(data: DataSet, noise: str, rate: float | None = None, include_true: bool = False, noise_seed: int = 0) -> DataSet:
    """The data set with wrong training labels; the original ones are kept in ``true_y``. Images and test labels are the same.

    ``noise`` is one of `NOISES`. ``human`` labels are what they are: they have no rate, no choice and no seed.
    """
    choose("noise", noise, NOISES)
    if data.true_y is not None:
        raise UsageError("These training labels are noisy already: corrupt the original data set.")
    if noise in ("pair_superclass", "human") and data.name != "cifar100":
        raise UsageError(f"{noise} noise is known for cifar100 alone, not for {data.name}.")
    if noise == "human":
        noisy = _human(data, rate, include_true, noise_seed)
    else:
        coarse = superclasses() if noise == "pair_superclass" else None
        noisy = flip(data.train_y, transition(noise, rate, len(data.classes), include_true, coarse), noise_seed)
    return data._replace(train_y=noisy, true_y=data.train_y)


def _human(data: DataSet, rate, include_true, noise_seed) -> Tensor:
    if (rate, include_true, noise_seed) != (None, False, 0):
        raise UsageError("human noise is as people made it: leave out rate, include_true and noise_seed.")
    if len(data.train_y) != 50_000:
        raise UsageError(f"human noise is known for all 50,000 training images in their order, not for {len(data.train_y):,} of "
                         "them: leave out per_class.")
    return human(paths.raw(), data.train_y)
