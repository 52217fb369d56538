"""Square roots and other powers of covariances by eigendecomposition: the exact one, and the SVD family that differs in how it
keeps the gradient finite.

MPN-COV: Li, Xie, Wang, Zuo, ICCV 2017, arXiv:1703.08050. Its gradient goes through eigenvectors and eigenvalues apart, with
K_ij = 1 / (l_i - l_j), which grows without bound as eigenvalues meet. Song, Sebe, Wang, ICCV 2021, arXiv:2105.02498, replace K:
truncated (SVD-Trunc), without the smallest eigenvalues (SVD-TopN), by its Taylor or Padé series in r = l_j / l_i, by the
backward pass of Newton-Schulz (SVD-Newton), or by that of power iterations (SVD-PI; Wang et al., NeurIPS 2019, arXiv:1906.09023).
The exact root has the same value and the Lyapunov form as gradient (`spectral`), in which no difference of eigenvalues occurs.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.autograd import Function

from .iterative_roots import newton_schulz
from .spectral import (
    Spectral,
    SquareRoot,
    alive,
    between,
    differences_of_power,
    eigh,
    of_values,
    once,
    rotate,
    scale_of,
    svd_of,
    symmetric,
)

Kernel = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]     # l_i > l_j of P / s, and s -> K_ij and -K_ji of P / s


def exact(matrix: Tensor, power: float = 0.5) -> Tensor:
    """P (..., d, d) -> P^power, with the exact gradient. For singular P the block between null directions counts as 0: the
    gradient with respect to P is unbounded there, that with respect to features is exact. The root of positive definite matrices
    can be differentiated any number of times, other powers once.

    >>> exact(torch.tensor([[4.0, 0.0], [0.0, 9.0]])).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    if power == 0.5:
        return SquareRoot.apply(matrix)
    values, vectors = eigh(matrix)
    some = alive(values)
    f = torch.where(some, values, 1) ** power * some
    return Spectral.apply(matrix, vectors, f, differences_of_power(values, power, some))


class _OfFactor(Function):
    """F (..., C, N) -> (F F^T)^power from F^T F = V diag(l) V^T, N x N: U = F V / sqrt(l) are eigenvectors of F F^T. With
    ``singular`` U, sqrt(l) and V are the singular vectors and values of F itself.

    dL/dF = 2 Z F with Z = U (A * L) U^T and, between null space and range, (1 - U U^T) G U diag(l^(power - 1)) U^T, A = U^T G U.
    All of it is computed of F / s with a scale s, whose squares neither over- nor underflow.
    """

    @staticmethod
    def forward(ctx, f: Tensor, power: float, singular: bool) -> Tensor:
        scale = scale_of(f)
        f = f / scale
        if singular:
            u, roots, v = svd_of(f)
            some = ~(roots <= 4 * torch.finfo(f.dtype).eps * roots[..., :1])
            safe = torch.where(some, roots, 1) ** 2
            u = u * some[..., None, :]
        else:
            values, v = eigh(f.mT @ f)
            some = alive(values)
            safe = torch.where(some, values, 1)
            u = f @ (v * (some * safe**-0.5)[..., None, :])
        ctx.power = power
        ctx.save_for_backward(u, v, safe, some, scale ** (2 * power - 1))
        return of_values(u, safe**power * (scale ** (2 * power))[..., 0])

    @staticmethod
    @once("The exact root from the smaller Gram matrix can't be differentiated twice: take gram=False.")
    def backward(ctx, gradient: Tensor):
        u, v, values, some, unit = ctx.saved_tensors
        gu = symmetric(gradient) @ u
        a = u.mT @ gu
        inside = a * differences_of_power(values, ctx.power, some) * (unit * values.sqrt()[..., None, :])
        scale = unit * (values ** (ctx.power - 0.5))[..., None, :]
        return 2 * (u @ (inside - a * scale) + gu * scale) @ v.mT, None, None


def exact_of_factor(f: Tensor, power: float = 0.5) -> Tensor:
    """`exact` of F F^T for a factor (..., C, N), cheaper where N < C."""
    return _OfFactor.apply(f, power, False)


def exact_from_singular_values(f: Tensor, power: float = 0.5) -> Tensor:
    """The same from the singular values of F. It takes longer, and resolves directions whose eigenvalue drowns in the rounding of
    F F^T: in float32 those below 1e-7 of the largest."""
    return _OfFactor.apply(f, power, True)


def inverse(matrix: Tensor) -> Tensor:
    """P (..., d, d) -> P^(-1/2), 0 in null directions, whose gradient counts as 0. Can be differentiated once."""
    return exact(matrix, -0.5)


# --- the SVD family -------------------------------------------------------------------------------------------------

class _KMatrix(Function):
    """P -> U diag(l^power) U^T with the gradient of MPN-COV, through eigenvectors and eigenvalues apart (its section 3.3). All of
    it is computed of P / s with a scale s, since K of a tiny P overflows where the gradient does not."""

    @staticmethod
    def forward(ctx, matrix: Tensor, kernel: Kernel, power: float, dropped: int = 0) -> Tensor:
        scale = scale_of(matrix)
        values, vectors = eigh(matrix / scale)
        floor = torch.finfo(values.dtype).eps * values[..., -1:].clamp(min=0)
        kept = values > floor
        kept[..., :dropped] = False
        values = torch.where(kept, values, floor)
        ctx.kernel, ctx.power = kernel, power
        ctx.save_for_backward(vectors, values, kept, scale)
        return of_values(vectors, values**power) * scale**power

    @staticmethod
    @once("The gradients of the SVD family can't be differentiated again: take the exact root of positive definite matrices.")
    def backward(ctx, gradient: Tensor):
        vectors, values, kept, scale = ctx.saved_tensors
        inner = rotate(vectors, symmetric(gradient))                    # U^T G U
        by_vectors = 2 * inner * (values**ctx.power)[..., None, :]      # U^T dL/dU
        by_values = torch.where(kept, ctx.power * torch.where(kept, values, 1) ** (ctx.power - 1), 0)
        by_values = by_values * inner.diagonal(dim1=-2, dim2=-1)
        k = k_matrix(values, ctx.kernel, scale)
        found = symmetric(between(vectors, k.mT * by_vectors + torch.diag_embed(by_values)))
        return found * scale ** (ctx.power - 1), None, None, None


def k_matrix(values: Tensor, kernel: Kernel, scale: Tensor) -> Tensor:
    """K (..., d, d) of eigenvalues (..., d) of P / s: ``kernel`` gives K_ij and -K_ji where l_i > l_j; equal eigenvalues have
    0."""
    i, j = values[..., :, None], values[..., None, :]
    equal = i == j
    down, up = kernel(torch.maximum(i, j).masked_fill(equal, 1), torch.minimum(i, j).masked_fill(equal, 0), scale)
    return torch.where(i > j, down, -up).masked_fill(equal, 0)


def odd(k: Tensor) -> tuple[Tensor, Tensor]:
    return k, k


def svd(matrix: Tensor, power: float = 0.5) -> Tensor:
    """MPN-COV: K_ij = 1 / (l_i - l_j). As in all of the family, eigenvalues are clamped from below at the rounding error of the
    largest, clamped ones get no gradient, and equal ones contribute nothing to K."""
    return _KMatrix.apply(matrix, lambda i, j, _: odd(1 / (i - j)), power)


def svd_trunc(matrix: Tensor, limit: float = 1e10, power: float = 0.5) -> Tensor:
    """SVD-Trunc: K of `svd`, not larger than ``limit``."""
    return _KMatrix.apply(matrix, lambda i, j, scale: odd(torch.minimum(1 / (i - j), limit * scale)), power)


def svd_topn(matrix: Tensor, keep: float = 206 / 256, power: float = 0.5) -> Tensor:
    """SVD-TopN: only a fraction ``keep`` of the eigenvalues, the largest; the authors keep 206 of 256."""
    d = matrix.shape[-1]
    return _KMatrix.apply(matrix, lambda i, j, _: odd(1 / (i - j)), power, d - round(keep * d))


def svd_taylor(matrix: Tensor, degree: int = 100, power: float = 0.5) -> Tensor:
    """SVD-Taylor: K_ij = (1 + r + ... + r^degree) / l_i, r = l_j / l_i; at most (degree + 1) / l_i."""
    return _KMatrix.apply(matrix, lambda i, j, _: odd(geometric(j / i, degree + 1) / i), power)


def svd_pade(matrix: Tensor, delta: float | None = None, table: bool = False, power: float = 0.5) -> Tensor:
    """SVD-Padé: K_ij = 1 / (l_i max(1 - r, delta)), r = l_j / l_i; ``delta`` is twice the rounding error unless given.

    The authors' [50/50] Padé fraction of 1 / (1 - r) equals that function to 13 digits below r = 1, where it is 2.5e15. It has no
    coefficients but those that rounding gives, since 1 / (1 - r) is itself a fraction of degree [0/1]. ``table`` takes theirs.
    """
    floor = 2 * torch.finfo(matrix.dtype).eps if delta is None else delta
    if table:
        return _KMatrix.apply(matrix, lambda i, j, _: odd(published_pade(j / i) / i), power)
    return _KMatrix.apply(matrix, lambda i, j, _: odd(1 / torch.maximum(i - j, floor * i)), power)


def svd_newton(matrix: Tensor, iterations: int = 5) -> Tensor:
    """SVD-Newton: the exact root with the gradient of ``iterations`` Newton-Schulz steps."""
    approximate = newton_schulz(matrix, iterations)
    return approximate + (SquareRoot.apply(matrix.detach()) - approximate).detach()


def svd_power(matrix: Tensor, degree: int = 20, power: float = 0.5) -> Tensor:
    """SVD-PI: the gradient of ``degree + 1`` power iterations from the exact eigenvectors, written in the basis of those.

    Eigenvector i is iterated on P without the larger ones. For l_i > l_j that gives K_ij = (1 + ... + r^degree) / l_i; through
    the larger ones that were taken off, K_ji = -(1 + ... + r^(degree - 1)) / l_i, one term fewer. The authors' program for
    covariance pooling iterates all at once on 1 - U U^T, which is 0 up to rounding; this is the method as published.
    """
    def kernel(i: Tensor, j: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        return geometric(j / i, degree + 1) / i, geometric(j / i, degree) / i
    return _KMatrix.apply(matrix, kernel, power)


def geometric(r: Tensor, terms: int) -> Tensor:
    """1 + r + ... + r^(terms - 1) for 0 <= r < 1.

    >>> geometric(torch.tensor([0.0, 0.5]), 3).tolist()
    [1.0, 1.75]
    """
    logs = torch.log1p(r - 1)
    return torch.where(r > 0, torch.expm1(terms * logs) / torch.expm1(logs), 1)


@cache
def pade_table() -> tuple[list[float], list[float]]:
    """Numerator and denominator of the authors' [50/50] fraction, as mpmath computes them with 20 digits."""
    import mpmath

    with mpmath.workdps(20):
        p, q = mpmath.pade(mpmath.taylor(lambda x: 1 / (1 - x), 0, 100), 50, 50)
        return [float(c) for c in p], [float(c) for c in q]


def published_pade(r: Tensor) -> Tensor:
    """The authors' fraction for 1 / (1 - r)."""
    p, q = pade_table()
    top = bottom = torch.zeros_like(r)
    for a, b in zip(p[::-1], q[::-1], strict=True):
        top, bottom = top * r + a, bottom * r + b
    return top / bottom
