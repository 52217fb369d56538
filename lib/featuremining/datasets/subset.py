"""Smaller training sets: the same number of images of every class, each smaller set inside the larger ones."""

from numbers import Integral

import numpy as np
import torch

from ..errors import UsageError
from . import DataSet
from .corrupt import uniforms


def chosen(labels: np.ndarray, m: int, seed: int = 0) -> np.ndarray:
    """int64 (K m,), ascending: m images of each of the K classes in ``labels`` (N,), those with the m smallest of N uniforms.

    So a larger m with the same seed keeps all images and adds some.

    >>> labels = np.array([0, 1, 1, 0, 1])
    >>> np.bincount(labels[chosen(labels, 2)]).tolist()
    [2, 2]
    """
    order = np.lexsort((uniforms(len(labels), seed, "subset"), labels))     # class by class, each in random order
    starts = np.searchsorted(labels[order], np.unique(labels))
    return np.sort(order[np.add.outer(starts, np.arange(m)).ravel()])


def per_class(data: DataSet, m: int, subset_seed: int = 0) -> DataSet:
    """The data set with m training images of each class, in their original order; the test set is the same.

    ``mean`` and ``std`` stay those of all training images. Comes before label noise, because it goes by the true classes.
    """
    if not isinstance(m, Integral) or m < 1:
        raise UsageError(f"per_class is a whole number of images, 1 or more, got {m!r}.")
    if data.true_y is not None:
        raise UsageError("Take the subset before the label noise: these training labels are noisy already.")
    available = int(torch.bincount(data.train_y, minlength=len(data.classes)).min())
    if m > available:
        raise UsageError(f"The smallest class of {data.name} has {available} training images, so per_class can be at most "
                         f"{available}, got {m}.")
    index = chosen(data.train_y.cpu().numpy(), int(m), subset_seed)     # of pixels or, for `Photos`, of file names
    return data._replace(train_x=data.train_x[index], train_y=data.train_y[index])
