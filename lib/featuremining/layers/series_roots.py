"""Square roots of covariances by a polynomial or a fraction, MTP and MPA.

Song, Sebe, Wang, ICLR 2022, arXiv:2201.08663: a series of sqrt(1 - x) at 1 - P / |P|_F, and as gradient the solution of the
Lyapunov equation by the matrix sign iteration. That is not the gradient of the value they give but of the root it stands for.
"""

from math import prod

import torch
from torch import Tensor
from torch.autograd import Function

from .iterative_roots import size
from .spectral import once, symmetric


def taylor(power: float, degree: int) -> list[float]:
    """Coefficients of (1 - x)^power up to x^degree.

    >>> taylor(0.5, 3)
    [1.0, -0.5, -0.125, -0.0625]
    """
    return [prod((k - power) / (k + 1) for k in range(n)) if n else 1.0 for n in range(degree + 1)]


def pade(power: float, degree: int) -> tuple[list[float], list[float]]:
    """Numerator and denominator of the diagonal Padé fraction of (1 - x)^power.

    >>> pade(0.5, 1)
    ([1.0, -0.75], [1.0, -0.25])
    """
    def side(sign: int) -> list[float]:
        n = degree
        steps = [-(n - k) * (n - k + sign * power) / ((2 * n - k) * (k + 1)) for k in range(n)]
        return [prod(steps[:k]) if k else 1.0 for k in range(n + 1)]
    return side(1), side(-1)


def polynomial(coefficients: list[float], e: Tensor) -> Tensor:
    """Of a matrix (..., d, d), by Horner's rule."""
    eye = torch.eye(e.shape[-1], dtype=e.dtype, device=e.device)
    value = coefficients[-1] * e + coefficients[-2] * eye
    for c in coefficients[-3::-1]:
        value = value @ e + c * eye
    return value


def sign_iteration(q: Tensor, g: Tensor, scale: Tensor, steps: int) -> Tensor:
    """The Z with Q Z + Z Q = G for positive definite Q / scale of norm 1 at most, after ``steps`` steps."""
    b, c = q / scale, g / scale
    eye = 3 * torch.eye(q.shape[-1], dtype=q.dtype, device=q.device)
    for _ in range(steps):
        square = b @ b
        rest = eye - square
        c = (c @ rest - (square @ c - b @ c @ b)) / 2
        b = b @ rest / 2
    return c / 2


class _Series(Function):
    """P -> sqrt(t) (1 - E)^(1/2) or its inverse, E = 1 - P / t, t = |P|_F, by a polynomial or a fraction."""

    @staticmethod
    def forward(ctx, matrix: Tensor, top: list[float], bottom: list[float] | None, steps: int, inverse: bool) -> Tensor:
        t = size(matrix, "frobenius")
        e = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device) - matrix / t
        series = polynomial(top, e)
        series = series if bottom is None else symmetric(torch.linalg.solve(polynomial(bottom, e), series))
        zero = (matrix == 0).all(-1, keepdim=True).all(-2, keepdim=True)           # its t is not 0, its root is
        root = series / t.sqrt() if inverse else series * t.sqrt().masked_fill(zero, 0)
        ctx.steps, ctx.inverse = steps, inverse
        ctx.save_for_backward(root, t)
        return root

    @staticmethod
    @once("The gradients of MTP and MPA can't be differentiated again: take the exact root of positive definite matrices.")
    def backward(ctx, gradient: Tensor):
        root, t = ctx.saved_tensors
        if not ctx.inverse:
            return sign_iteration(root, symmetric(gradient), t.sqrt(), ctx.steps), None, None, None, None
        square = root @ root                                            # dR R + R dR = -R^2 dP R^2
        z = sign_iteration(root, symmetric(gradient), size(root, "frobenius"), ctx.steps)
        return -square @ z @ square, None, None, None, None


def mtp(matrix: Tensor, degree: int = 10, steps: int = 8) -> Tensor:
    """MTP: the Taylor polynomial of ``degree``; ``steps`` of the sign iteration for the gradient."""
    return _Series.apply(matrix, taylor(0.5, degree), None, steps, False)


def mpa(matrix: Tensor, degree: int = 5, steps: int = 8) -> Tensor:
    """MPA: the diagonal Padé fraction of ``degree``; ``steps`` of the sign iteration for the gradient."""
    return _Series.apply(matrix, *pade(0.5, degree), steps, False)


def inverse_mtp(matrix: Tensor, degree: int = 10, steps: int = 8) -> Tensor:
    """`mtp` of the inverse root."""
    return _Series.apply(matrix, taylor(-0.5, degree), None, steps, True)


def inverse_mpa(matrix: Tensor, degree: int = 5, steps: int = 8) -> Tensor:
    """`mpa` of the inverse root: numerator and denominator change places."""
    return _Series.apply(matrix, *pade(0.5, degree)[::-1], steps, True)
