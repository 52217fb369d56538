"""Square roots of covariances by matrix products: Newton-Schulz, and the Taylor and Padé polynomials MTP and MPA.

iSQRT-COV: Li, Xie, Wang, Gao, CVPR 2018, arXiv:1712.01034. A = P / t with t the trace (or the Frobenius norm), Y_0 = A, Z_0 = 1,
T = (3 - Z Y) / 2, Y <- Y T, Z <- T Z; after n steps Q = sqrt(t) Y_n. Five steps are far from the root of an ill-conditioned P:
that is the method's property, and kept. Y_n and Z_n are polynomials of A, so the same value and the same gradient follow from its
eigenvalues (form ``"eigen"``, faster on a CPU) and, for P = F F^T with fewer columns than rows, from those of F^T F, since
Y_n = A Z_n.

MTP, MPA: Song, Sebe, Wang, ICLR 2022, arXiv:2201.08663: a series of sqrt(1 - x) at 1 - P / |P|_F, and as gradient the solution of
the Lyapunov equation by the matrix sign iteration. That is not the gradient of the value they give but of the root it stands for.
"""

from math import prod
from typing import Literal

import torch
from torch import Tensor
from torch.autograd import Function

from ..errors import UsageError, choose
from .spectral import Spectral, eigh, once, symmetric

Prenorm = Literal["trace", "frobenius"]
Form = Literal["auto", "eigen", "products"]


def size(matrix: Tensor, prenorm: str) -> Tensor:
    """Trace or Frobenius norm (..., 1, 1), not 0: the zero matrix stays the zero matrix."""
    choose("pre-normalisation", prenorm, ("trace", "frobenius"))
    if prenorm == "frobenius":
        square = matrix.square().sum((-2, -1), keepdim=True)
        return square.clamp(min=torch.finfo(matrix.dtype).tiny).sqrt()
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None].clamp(min=torch.finfo(matrix.dtype).tiny)


def by_products(a: Tensor, iterations: int, which: int) -> Tensor:
    """Y_n (``which`` 0) or Z_n (1) of A (..., d, d)."""
    shape, a = a.shape, a.reshape(-1, *a.shape[-2:])
    eye = torch.eye(shape[-1], dtype=a.dtype, device=a.device)
    t = 1.5 * eye - 0.5 * a
    y, z = a @ t if which == 0 or iterations > 1 else t, t
    for left in reversed(range(iterations - 1)):
        t = torch.baddbmm(eye, z, y, beta=1.5, alpha=-0.5)
        y, z = y @ t if left or which == 0 else y, t @ z if left or which == 1 else z       # the last step makes one of them
    return (y, z)[which].view(shape)


def of_eigenvalues(a: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """z_n (..., d) of eigenvalues a (..., d) of A, and the divided differences (..., d, d) of z_n as a function of a.

    z <- z h with h = (3 - a z^2) / 2, and for the differences the product rule [f g]_ij = f_i [g]_ij + [f]_ij g_j. It makes of
    [z] the differences [z] (h_i + h_j - 3/2 - a_i z_i z_j / 2) - z_i z_j^2 / 2, where the bracket has rank 3.
    """
    z = one = torch.ones_like(a)
    dz = torch.zeros(1, dtype=a.dtype, device=a.device)
    for _ in range(iterations):
        h = 1.5 - 0.5 * a * z * z
        bracket = torch.stack([h, one, a * z], -1) @ torch.stack([one, h - 1.5, -0.5 * z], -2)
        dz = torch.addcmul((-0.5 * z)[..., :, None] * (z * z)[..., None, :], dz, bracket)
        z = z * h
    return z, dz


def pick_form(form: str, matrix: Tensor) -> str:
    """Products where eigendecompositions of many small matrices are slow: on GPUs."""
    choose("form", form, ("auto", "eigen", "products"))
    return ("products" if matrix.is_cuda else "eigen") if form == "auto" else form


def checked(iterations: int) -> int:
    if iterations < 1:
        raise UsageError(f"Newton-Schulz takes one iteration or more, got {iterations}.")
    return iterations


def newton_schulz(matrix: Tensor, iterations: int = 5, prenorm: Prenorm = "trace", form: Form = "auto") -> Tensor:
    """iSQRT-COV: P (..., d, d) -> sqrt(t) Y_n, with its own exact gradient. ``form="products"`` can be differentiated again.

    >>> newton_schulz(torch.tensor([[4.0, 0.0], [0.0, 9.0]]), iterations=20).round().tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    t = size(matrix, prenorm)
    a = matrix / t
    if pick_form(form, a) == "products":
        return t.sqrt() * by_products(a, checked(iterations), 0)
    values, vectors = eigh(a)
    z, dz = of_eigenvalues(values, checked(iterations))
    differences = torch.addcmul(z[..., None, :].expand_as(dz), values[..., :, None], dz)        # of y = a z
    return t.sqrt() * Spectral.apply(a, vectors, values * z, differences)


def newton_schulz_of_factor(f: Tensor, iterations: int = 5, prenorm: Prenorm = "trace", form: Form = "auto") -> Tensor:
    """`newton_schulz` of F F^T for a factor (..., C, N): F Z_n(F^T F / t) F^T / sqrt(t), cheaper where N < C."""
    gram = f.mT @ f
    t = size(gram, prenorm)
    z = inverse_step(gram / t, iterations, form)
    return f @ (z @ f.mT) / t.sqrt()


def inverse_step(a: Tensor, iterations: int, form: str) -> Tensor:
    """Z_n of A."""
    if pick_form(form, a) == "products":
        return by_products(a, checked(iterations), 1)
    values, vectors = eigh(a)
    return Spectral.apply(a, vectors, *of_eigenvalues(values, checked(iterations)))


def inverse_newton_schulz(matrix: Tensor, iterations: int = 5, prenorm: Prenorm = "trace", form: Form = "auto") -> Tensor:
    """P -> Z_n / sqrt(t), which approaches P^(-1/2) from below; null directions get 1.5^n / sqrt(t)."""
    t = size(matrix, prenorm)
    return inverse_step(matrix / t, iterations, form) / t.sqrt()


# --- MTP and MPA ----------------------------------------------------------------------------------------------------

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
        root = series / t.sqrt() if inverse else series * torch.linalg.matrix_norm(matrix, keepdim=True).sqrt()
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
