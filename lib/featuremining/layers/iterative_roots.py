"""Square roots of covariances by matrix products: Newton-Schulz.

iSQRT-COV: Li, Xie, Wang, Gao, CVPR 2018, arXiv:1712.01034. A = P / t with t the trace (or the Frobenius norm), Y_0 = A, Z_0 = 1,
T = (3 - Z Y) / 2, Y <- Y T, Z <- T Z; after n steps Q = sqrt(t) Y_n. Five steps are far from the root of an ill-conditioned P:
that is the method's property, and kept. Y_n and Z_n are polynomials of A, so the same value and the same gradient follow from its
eigenvalues (form ``"eigen"``, for large matrices and many steps on a CPU) and, for P = F F^T with fewer columns than rows,
from F^T F, since Y_n = A Z_n.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.autograd import Function

from ..errors import UsageError, choose
from .spectral import Spectral, alive, between, eigh, full_precision, of_values, once, rotate, scale_of, symmetric

Prenorm = Literal["trace", "frobenius"]
Form = Literal["auto", "eigen", "products"]
EXACT = 7               # steps up to which products in float32 were nearer to float64 than eigenvalues, also where singular
FEW = 320               # steps times size up to which products take no longer on a CPU: five steps of 64 x 64


def size(matrix: Tensor, prenorm: str) -> Tensor:
    """Trace or Frobenius norm (..., 1, 1), not 0: the zero matrix stays the zero matrix."""
    choose("pre-normalisation", prenorm, ("trace", "frobenius"))
    if prenorm == "frobenius":
        scale = scale_of(matrix)
        square = (matrix / scale).square().sum((-2, -1), keepdim=True)
        return scale * square.clamp(min=torch.finfo(matrix.dtype).tiny).sqrt()
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None].clamp(min=torch.finfo(matrix.dtype).tiny)


def steps(a: Tensor, iterations: int, which: int) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
    """Y_n (``which`` 0) or Z_n (1) of A (B, d, d), and Y, Z and T of every step; the first has Z = 1."""
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    t = 1.5 * eye - 0.5 * a
    taken = [(a, eye, t)]
    y, z = a @ t if which == 0 or iterations > 1 else t, t
    for left in reversed(range(iterations - 1)):
        t = torch.baddbmm(eye, z, y, beta=1.5, alpha=-0.5)
        taken.append((y, z, t))
        y, z = y @ t if left or which == 0 else y, t @ z if left or which == 1 else z       # the last step makes one of them
    return (y, z)[which], taken


class _ByProducts(Function):
    """`steps`, and its gradient by the same steps backwards, in half of automatic differentiation's time. A gradient that is to
    be differentiated again is left to that."""

    @staticmethod
    def forward(ctx, a: Tensor, iterations: int, which: int) -> Tensor:
        found, taken = steps(a, iterations, which)
        ctx.of = iterations, which
        ctx.save_for_backward(*(matrix for step in taken for matrix in step))
        return found

    @staticmethod
    def backward(ctx, gradient: Tensor):
        a, _, first, *rest = ctx.saved_tensors
        with full_precision(gradient):
            if torch.is_grad_enabled():
                return *torch.autograd.grad(steps(a, *ctx.of)[0], a, gradient, create_graph=True), None, None
            none = torch.zeros_like(gradient)
            gy, gz = (none, gradient) if ctx.of[1] else (gradient, none)
            for y, z, t in reversed(list(zip(rest[::3], rest[1::3], rest[2::3], strict=True))):
                gt = torch.baddbmm(y @ gy, gz, z)
                gy = (gy @ t).baddbmm_(z, gt, alpha=-0.5)
                gz = (t @ gz).baddbmm_(gt, y, alpha=-0.5)
            gt = torch.baddbmm(gz, a, gy)
            return torch.baddbmm(gt, gy, first, beta=-0.5), None, None


def by_products(a: Tensor, iterations: int, which: int) -> Tensor:
    """Y_n (``which`` 0) or Z_n (1) of symmetric A (..., d, d)."""
    return _ByProducts.apply(a.reshape(-1, *a.shape[-2:]), iterations, which).view(a.shape)


class _Around(Function):
    """F (..., C, N) and symmetric M (..., N, N) -> F M F^T, whose gradients share a product."""

    @staticmethod
    def forward(ctx, f: Tensor, inner: Tensor) -> Tensor:
        ctx.save_for_backward(f, inner)
        return f @ (inner @ f.mT)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        f, inner = ctx.saved_tensors
        with full_precision(gradient):
            e = symmetric(gradient) @ f
            return 2 * e @ inner, f.mT @ e


def of_eigenvalues(a: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """z_n (..., d) of ascending eigenvalues a (..., d) of A, and the divided differences (..., d, d) of z_n as a function of a.

    z <- z h with h = (3 - a z^2) / 2, and for the differences the product rule [f g]_ij = f_i [g]_ij + [f]_ij g_j. It makes of
    [z] the differences [z] (h_i + h_j - 3/2 - a_i z_i z_j / 2) - z_i z_j^2 / 2, where the bracket has rank 3. In the end it is
    (1 - sqrt(a_i / a_j)) / 2: rounding errors grow where a_i > a_j, so those differences are taken from their equals, (j, i).
    """
    z = one = torch.ones_like(a)
    dz = torch.zeros(1, dtype=a.dtype, device=a.device)
    for _ in range(iterations):
        h = 1.5 - 0.5 * a * z * z
        bracket = torch.stack([h, one, a * z], -1) @ torch.stack([one, h - 1.5, -0.5 * z], -2)
        dz = torch.addcmul((-0.5 * z)[..., :, None] * (z * z)[..., None, :], dz, bracket)
        z = z * h
    return z, dz.triu() + dz.triu(1).mT


def shares(values: Tensor, prenorm: str) -> tuple[Tensor, Tensor, Tensor]:
    """Of eigenvalues l (..., d): their norm t (..., 1), a = l / t, and dt/dl. Those within rounding of 0 are 0, since many steps
    would make much of a rounding error."""
    values = torch.where(alive(values), values, 0)
    t = (values.sum(-1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny) if prenorm == "trace"
         else size(values[..., None], prenorm)[..., 0])
    a = values / t
    return t, a, torch.ones_like(a) if prenorm == "trace" else a


def pulled(g: Tensor, differences: Tensor, by_norm: Tensor, norm_by: Tensor) -> Tensor:
    """A gradient (..., d, d) in the basis of eigenvectors, brought through a function with these divided differences at a fixed
    norm t; it depends on t by ``by_norm`` (..., d), and t on the eigenvalues by ``norm_by``."""
    diagonal = g.diagonal(dim1=-2, dim2=-1)
    through = (diagonal * by_norm).sum(-1, keepdim=True) * norm_by
    g = g * differences
    g.diagonal(dim1=-2, dim2=-1).add_(through)
    return g


TWICE = "A gradient of newton_schulz in form 'eigen' can't be differentiated again: take form='products'."


class _OfMatrix(Function):
    """P (..., d, d) -> sqrt(t) Y_n by the eigenvalues of P: U diag(sqrt(t) y) U^T with y = a z."""

    @staticmethod
    def forward(ctx, matrix: Tensor, iterations: int, prenorm: str) -> Tensor:
        values, vectors = eigh(matrix)
        t, a, norm_by = shares(values, prenorm)
        z, dz = of_eigenvalues(a, iterations)
        y, dy = a * z, torch.addcmul(z[..., None, :].expand_as(dz), a[..., :, None], dz)
        ctx.save_for_backward(vectors, dy, y / 2 - a * dy.diagonal(dim1=-2, dim2=-1), norm_by, t.sqrt()[..., None])
        return of_values(vectors, t.sqrt() * y)

    @staticmethod
    @once(TWICE)
    def backward(ctx, gradient: Tensor):
        vectors, dy, by_norm, norm_by, root = ctx.saved_tensors
        return between(vectors, pulled(rotate(vectors, symmetric(gradient)), dy, by_norm, norm_by) / root), None, None


class _OfFactor(Function):
    """F (..., C, N) -> sqrt(t) Y_n of P = F F^T by the eigenvalues of F^T F = V diag(l) V^T: with B = F V / sqrt(t) it is
    sqrt(t) B diag(z) B^T, and nothing in its gradient is divided by t."""

    @staticmethod
    def forward(ctx, f: Tensor, iterations: int, prenorm: str) -> Tensor:
        values, vectors = eigh(f.mT @ f)
        t, a, norm_by = shares(values, prenorm)
        z, dz = of_eigenvalues(a, iterations)
        b = f @ (vectors / t.sqrt()[..., None])
        ctx.save_for_backward(vectors, b, z, dz, -z / 2 - a * dz.diagonal(dim1=-2, dim2=-1), norm_by)
        return of_values(b, t.sqrt() * z)

    @staticmethod
    @once(TWICE)
    def backward(ctx, gradient: Tensor):
        vectors, b, z, dz, by_norm, norm_by = ctx.saved_tensors
        e = symmetric(gradient) @ b
        inner = pulled(b.mT @ e, dz, by_norm, norm_by)
        return (torch.addcmul(b @ inner, e, z[..., None, :]) * 2) @ vectors.mT, None, None


def pick_form(form: str, matrix: Tensor, iterations: int) -> str:
    """Products where eigendecompositions of many small matrices are slow, on GPUs, and where they are as fast and round less."""
    choose("form", form, ("auto", "eigen", "products"))
    few = matrix.is_cuda or (iterations <= EXACT and iterations * matrix.shape[-1] <= FEW)
    return ("products" if few else "eigen") if form == "auto" else form


def checked(iterations: int) -> int:
    if iterations < 1:
        raise UsageError(f"Newton-Schulz takes one iteration or more, got {iterations}.")
    return iterations


def newton_schulz(matrix: Tensor, iterations: int = 5, prenorm: Prenorm = "trace", form: Form = "auto") -> Tensor:
    """iSQRT-COV: P (..., d, d) -> sqrt(t) Y_n, with its own exact gradient. ``form="products"`` can be differentiated again.

    >>> newton_schulz(torch.tensor([[4.0, 0.0], [0.0, 9.0]]), iterations=20).round().tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    if pick_form(form, matrix, iterations) == "eigen":
        return _OfMatrix.apply(matrix, checked(iterations), prenorm)
    t = size(matrix, prenorm)
    return t.sqrt() * by_products(matrix / t, checked(iterations), 0)


def newton_schulz_of_factor(f: Tensor, iterations: int = 5, prenorm: Prenorm = "trace", form: Form = "auto") -> Tensor:
    """`newton_schulz` of F F^T for a factor (..., C, N): F Z_n(F^T F / t) F^T / sqrt(t), cheaper where N < C."""
    if pick_form(form, f, iterations) == "eigen":
        return _OfFactor.apply(f, checked(iterations), prenorm)
    gram = f.mT @ f
    t = size(gram, prenorm)
    return _Around.apply(f, by_products(gram / t, checked(iterations), 1) / t.sqrt())


def inverse_newton_schulz(matrix: Tensor, iterations: int = 5, prenorm: Prenorm = "trace", form: Form = "auto") -> Tensor:
    """P -> Z_n / sqrt(t), which approaches P^(-1/2) from below; null directions get 1.5^n / sqrt(t)."""
    t = size(matrix, prenorm)
    a = matrix / t
    if pick_form(form, a, iterations) == "products":
        return by_products(a, checked(iterations), 1) / t.sqrt()
    values, vectors = eigh(a)
    values = torch.where(alive(values), values, 0)          # as in `shares`
    return Spectral.apply(a, vectors, *of_eigenvalues(values, checked(iterations))) / t.sqrt()
