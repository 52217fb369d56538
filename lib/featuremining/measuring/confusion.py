"""How classes are confused, and at which angle their vectors lie. Hui et al., AAAI 2019: "the larger the inter-class angle is,
the lower the confusion will be". Angles are those between the rows of the classifier.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..errors import UsageError
from ..methods.ical import cosines
from .insight import look


def confusion(true: Tensor, taken: Tensor, classes: int) -> Tensor:
    """(K, K) float64: of the images of class i, the part that is taken for class j; rows of classes without an image are zero.

    >>> confusion(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 2).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    counts = torch.zeros(classes, classes, dtype=torch.float64).index_put((true, taken), torch.ones(len(true)).double(), True)
    return counts / counts.sum(1, keepdim=True).clamp(min=1)


def of_pairs(square: Tensor) -> Tensor:
    """(K, K) -> (K (K - 1) / 2,): the mean of both ways for each pair i < j, row by row."""
    i, j = torch.triu_indices(len(square), len(square), 1)
    return (square[i, j] + square[j, i]) / 2


def numbers(angles: Tensor, confused: Tensor) -> dict:
    """Of pairs of classes: Spearman's correlation of angle and confusion (None where either is the same of all), and the mean
    confusion, in percent, of the half of pairs at the smaller angles and of the other half."""
    from scipy.stats import spearmanr

    varies = min(angles.unique().numel(), confused.unique().numel()) > 1
    half = angles.argsort(stable=True)
    near, far = half[:len(half) // 2], half[(len(half) + 1) // 2:]
    return {"rho": round(float(spearmanr(angles, confused).statistic), 4) if varies else None,
            "near": round(100 * confused[near].mean().item(), 4), "far": round(100 * confused[far].mean().item(), 4)}


def measure(model, batches: Iterable[tuple[Tensor, Tensor]], groups: Sequence[int] | None = None) -> dict:
    """`numbers` of a network's pairs of classes; the pairs' ``angles`` in degrees and ``confused`` in percent, as text. Of pairs
    within one of the ``groups`` (K,): ``similar``, the percent of images that are taken for another class of their group, and the
    mean ``similar_angle``; None without groups. Plain values."""
    weight = getattr(model.head, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2 or len(weight) < 3:
        raise UsageError("confusion is measured of a classifier with one weight vector for each of three classes or more.")
    true, taken = zip(*((y, look(model, x).logits.argmax(1)) for x, y in batches), strict=True)
    y, guess = torch.cat(true), torch.cat(taken)
    confused = of_pairs(confusion(y, guess, len(weight)))
    angles = of_pairs(cosines(weight.detach().double())).clamp(-1, 1).acos().rad2deg()
    values = {"n": len(y), "classes": len(weight), "wrong": round(100 * (y != guess).double().mean().item(), 4),
              "angle": round(angles.mean().item(), 4), "similar": None, "similar_angle": None, **numbers(angles, confused)}
    if groups is not None:
        of = torch.tensor(groups)
        i, j = torch.triu_indices(len(of), len(of), 1)
        values |= {"similar": round(100 * ((y != guess) & (of[y] == of[guess])).double().mean().item(), 4),
                   "similar_angle": round(angles[of[i] == of[j]].mean().item(), 4)}
    return values | {"angles": " ".join(f"{a:.1f}" for a in angles.tolist()),
                     "confused": " ".join(f"{100 * c:.4g}" for c in confused.tolist())}
