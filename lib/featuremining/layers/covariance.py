"""Covariances of feature maps, and symmetric matrices as vectors. Li, Xie, Wang, Zuo, ICCV 2017, arXiv:1703.08050, section 3.

A map with its places in a row is X (..., C, N), N = HW. Its covariance is P = X I X^T with I = (1/N)(1 - 11^T / N), biased and
centred: `torch.cov(x, correction=0)`. Its rank is at most min(C, N - 1), so on 8 x 8 maps with 64 channels it is singular.
"""

from math import isqrt

import torch
from torch import Tensor

from ..errors import UsageError


def factor(x: Tensor, weights: Tensor | None = None, centre: bool = True) -> Tensor:
    """(..., C, N) -> F of the same shape with F F^T the covariance of the columns of ``x``, or without ``centre`` their second
    moment. ``weights`` (..., N), not negative, say how much each column counts; where all are 0, F is 0."""
    if weights is None:
        x = x - x.mean(-1, keepdim=True) if centre else x
        return x * x.shape[-1] ** -0.5
    share = weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    share = share[..., None, :]
    x = x - (x * share).sum(-1, keepdim=True) if centre else x
    return x * share.sqrt()


def covariance(x: Tensor, weights: Tensor | None = None) -> Tensor:
    """Columns (..., C, N) -> their biased covariance (..., C, C), of those with ``weights`` as in `factor`.

    >>> x = torch.tensor([[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 4.0, 4.0]])
    >>> covariance(x).tolist()
    [[1.0, 2.0], [2.0, 4.0]]
    """
    f = factor(x, weights)
    return f @ f.mT


def triu(matrix: Tensor) -> Tensor:
    """Symmetric (..., d, d) -> its upper triangle with the diagonal, row by row: (..., d (d + 1) / 2).

    >>> triu(torch.tensor([[1, 2], [2, 3]])).tolist()
    [1, 2, 3]
    """
    d = matrix.shape[-1]
    row, column = torch.triu_indices(d, d, device=matrix.device)
    return matrix.flatten(-2).index_select(-1, row * d + column)


def untriu(vector: Tensor) -> Tensor:
    """The inverse of `triu`: (..., d (d + 1) / 2) -> the symmetric (..., d, d).

    >>> untriu(torch.tensor([1, 2, 3])).tolist()
    [[1, 2], [2, 3]]
    """
    d = (isqrt(8 * vector.shape[-1] + 1) - 1) // 2
    if d * (d + 1) // 2 != vector.shape[-1]:
        raise UsageError(f"An upper triangle has d (d + 1) / 2 numbers, {vector.shape[-1]} is not of that form.")
    row, column = torch.triu_indices(d, d, device=vector.device)
    place = torch.empty(d, d, dtype=torch.long, device=vector.device)
    place[row, column] = place[column, row] = torch.arange(len(row), device=vector.device)
    return vector[..., place]
