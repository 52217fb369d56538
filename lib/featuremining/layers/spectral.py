"""Functions of symmetric matrices P = U diag(l) U^T and their gradients; what the roots are made of.

A function f of P has the gradient U [(U^T G U) * L] U^T for a symmetric gradient G of f(P), with the divided differences L_ij =
(f(l_i) - f(l_j)) / (l_i - l_j), f'(l) where l_i = l_j (Daleckii and Krein). Written so that nothing is divided by l_i - l_j it is
exact for equal eigenvalues, too: for the square root L_ij = 1 / (sqrt(l_i) + sqrt(l_j)), the Lyapunov form.
"""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor
from torch.autograd import Function

from ..errors import UsageError


def symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.mT) / 2


def full_precision(tensor: Tensor) -> torch.autocast:
    """A context without autocast: products stay in the precision of their factors."""
    return torch.autocast(tensor.device.type, enabled=False)


def for_next_layer(found: Tensor, x: Tensor) -> Tensor:
    """What was found of ``x`` in higher precision, as layers after it take it: under autocast float32 at least, of which they
    make what they need, else in the precision of ``x``, which a network cast as a whole has everywhere."""
    auto = torch.is_autocast_enabled(x.device.type)
    return found.to(torch.promote_types(x.dtype, torch.float32) if auto else x.dtype)


def scale_of(matrix: Tensor) -> Tensor:
    """A power of four about the largest entry of matrices (..., m, n), (..., 1, 1), without gradient; 1 where that is 0 or not
    finite. To divide by it, or by its root, rounds nothing, and then squares neither over- nor underflow."""
    largest = matrix.detach().abs().amax((-2, -1), keepdim=True)
    exponent = (torch.frexp(largest).exponent // 2 * 2).clamp(max=126)
    return torch.where((largest > 0) & largest.isfinite(), torch.ldexp(torch.ones_like(largest), exponent), 1)


def without_bad(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices (..., m, n) without gradient, 0 where they have infinities or NaN, of which no decomposition can be had; and which
    those are, (...)."""
    matrix = matrix.detach()
    bad = (0 * matrix).sum((-2, -1)) != 0           # 0 times infinity is NaN
    return torch.where(bad[..., None, None], 0, matrix), bad


def eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (..., d), ascending, and eigenvectors (..., d, d) of symmetric matrices, without gradient. Of matrices with
    infinities or NaN they are NaN, so that a training that diverged is told from its loss."""
    matrix, bad = without_bad(matrix)
    values, vectors = torch.linalg.eigh(matrix)
    return torch.where(bad[..., None], torch.nan, values), vectors


def svd_of(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, singular values, descending, and V of matrices (..., C, N); where those of a matrix can't be had, as in `eigh`."""
    matrix, bad = without_bad(matrix)
    u, values, vt = torch.linalg.svd(matrix, full_matrices=False)
    return u, torch.where(bad[..., None], torch.nan, values), vt.mT


def alive(values: Tensor) -> Tensor:
    """Which eigenvalues (..., d) stand out of the rounding errors of the largest. Those of singular covariances were seen to be
    below 1 unit in the last place of the largest for d up to 64, and 2.2 for 256. NaN is alive."""
    units = max(4.0, values.shape[-1] ** 0.5 / 2)
    return ~(values <= units * torch.finfo(values.dtype).eps * values[..., -1:].clamp(min=0))


def rotate(vectors: Tensor, matrix: Tensor) -> Tensor:
    """U^T M U."""
    return vectors.mT @ matrix @ vectors


def between(vectors: Tensor, inner: Tensor) -> Tensor:
    """U M U^T."""
    return vectors @ inner @ vectors.mT


def of_values(vectors: Tensor, values: Tensor) -> Tensor:
    """U diag(v) U^T."""
    return (vectors * values[..., None, :]) @ vectors.mT


class _Refuse(Function):
    @staticmethod
    def forward(ctx, gradient: Tensor, words: str) -> Tensor:
        ctx.words = words
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx, *_):
        raise UsageError(ctx.words)


def once(words: str) -> Callable:
    """A backward pass of one gradient that can't be differentiated again; whoever tries is told ``words``."""
    def decorate(backward: Callable) -> Callable:
        @wraps(backward)
        def run(ctx, gradient: Tensor):
            with torch.no_grad(), full_precision(gradient):
                first, *rest = backward(ctx, gradient)
            if torch.is_grad_enabled():
                first = _Refuse.apply(first.requires_grad_(), words)
            return first, *rest
        return run
    return decorate


class Spectral(Function):
    """P (..., d, d) -> U diag(f) U^T with the divided differences ``L`` as its derivative, of eigenvectors U of P."""

    @staticmethod
    def forward(ctx, matrix: Tensor, vectors: Tensor, f: Tensor, differences: Tensor) -> Tensor:
        ctx.save_for_backward(vectors, differences)
        return of_values(vectors, f)

    @staticmethod
    @once("This root's gradient can't be differentiated again: take the exact root of positive definite matrices, or "
          "newton_schulz with form='products'.")
    def backward(ctx, gradient: Tensor):
        vectors, differences = ctx.saved_tensors
        return between(vectors, rotate(vectors, symmetric(gradient)) * differences), None, None, None


def differences_of_power(values: Tensor, power: float, some: Tensor) -> Tensor:
    """Divided differences of l^power (..., d, d) for eigenvalues l (..., d) of which ``some`` are alive and the others 0. Between
    two dead ones there is no derivative, and it counts as 0.

    For l_i, l_j > 0 and t = log(l_i / l_j) they are (l_i l_j)^((power - 1) / 2) sinh(power t / 2) / sinh(t / 2), which has no
    cancellation; 1 / (sqrt(l_i) + sqrt(l_j)) for the square root.
    """
    both, either = some[..., :, None] & some[..., None, :], some[..., :, None] | some[..., None, :]
    if power == 0.5:
        roots = torch.where(some, values, 0).sqrt()
        return torch.where(either, 1 / (roots[..., :, None] + roots[..., None, :]).masked_fill(~either, 1), 0)
    logs = torch.where(some, values, 1).log()
    half = (logs[..., :, None] - logs[..., None, :]) / 2
    near = half.abs() < 1e-4                                                # the ratio of sines is even: power (1 + O(half^2))
    ratio = torch.where(near, power * (1 + (power**2 - 1) * half**2 / 6),
                        (power * half).sinh() / half.masked_fill(near, 1).sinh())
    inside = ((power - 1) / 2 * (logs[..., :, None] + logs[..., None, :])).exp() * ratio
    edge = ((power - 1) * (logs[..., :, None] + logs[..., None, :])).exp()         # the dead one's is 0
    return torch.where(both, inside, torch.where(either & (power > 0), edge, 0))


class Lyapunov(Function):
    """The Z with Q Z + Z Q = G, for Q = U diag(s) U^T with s >= 0, all (..., d, d); symmetric where G is. Where s_i + s_j = 0
    nothing determines Z and it is 0."""

    @staticmethod
    def forward(ctx, q: Tensor, g: Tensor, vectors: Tensor, differences: Tensor) -> Tensor:
        z = between(vectors, rotate(vectors, g) * differences)
        ctx.save_for_backward(q, z, vectors, differences)
        return z

    @staticmethod
    def backward(ctx, gradient: Tensor):
        """Of Q dZ + dZ Q = dG - dQ Z - Z dQ."""
        q, z, vectors, differences = ctx.saved_tensors
        if not differences.all():
            raise UsageError("The exact root of a singular matrix has no second derivative: add a multiple of the identity.")
        with full_precision(gradient):
            w = Lyapunov.apply(q, symmetric(gradient), vectors, differences)
            return -(w @ z + z @ w), w, None, None


class SquareRoot(Function):
    """P (..., d, d), symmetric and positive semi-definite -> its root Q; dL/dP is the Lyapunov solution of dL/dQ."""

    @staticmethod
    def forward(ctx, matrix: Tensor) -> Tensor:
        values, vectors = eigh(matrix)
        some = alive(values)
        q = of_values(vectors, torch.where(some, values, 0).sqrt())
        ctx.save_for_backward(q, vectors, differences_of_power(values, 0.5, some))
        return q

    @staticmethod
    def backward(ctx, gradient: Tensor):
        q, vectors, differences = ctx.saved_tensors
        with full_precision(gradient):
            return Lyapunov.apply(q, gradient, vectors, differences)
