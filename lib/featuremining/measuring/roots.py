"""How far the roots of covariances and their gradients are from the true ones, on spectra made for it: no data, no training.

P = U diag(l) U^T is made from its eigenvalues, so the true root U diag(sqrt(l)) U^T and the true gradient, the Lyapunov form,
need no eigendecomposition. Errors are relative, by the Frobenius norm. Song, Sebe, Wang, ICCV 2021, arXiv:2105.02498, argue with
both.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..layers.iterative_roots import newton_schulz
from ..layers.roots import matrix_sqrt
from ..layers.spectral import symmetric

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32, "float64": torch.float64}
CONDITIONS = (1e1, 1e2, 1e3, 1e4, 1e6, 1e8, 1e10)
GAPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12, 1e-14, 0.0)
REMEDIES = ("exact", "svd", "svd_trunc", "svd_taylor", "svd_pade", "svd_topn", "svd_newton", "svd_power", "newton_schulz", "mpa")
ITERATIONS = (1, 2, 3, 4, 5, 7, 10, 15, 20)


def spectrum(condition: float, d: int) -> Tensor:
    """d eigenvalues from 1 down to 1 / condition, evenly in their logarithm.

    >>> spectrum(100, 3).tolist()
    [1.0, 0.1, 0.01]
    """
    return torch.tensor([condition ** (-i / (d - 1)) for i in range(d)], dtype=torch.float64)


def basis(d: int, seed: int = 0) -> Tensor:
    """A rotation (d, d), drawn."""
    g = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(d, d, generator=g, dtype=torch.float64))[0]


def with_values(u: Tensor, values: Tensor) -> Tensor:
    return symmetric(u * values @ u.mT)


def relative(ours: Tensor, truth: Tensor) -> float:
    """|ours - truth| / |truth|; infinite where ours is not finite."""
    error = ((ours.double() - truth).norm() / truth.norm()).item()
    return error if error == error else float("inf")


def in_precision(matrix: Tensor, dtype: torch.dtype, root: str) -> Tensor:
    """A root of the matrix as it is after rounding to ``dtype``. Products of Newton-Schulz stay in that precision; an
    eigendecomposition exists in float32 at least, so of half precision it sees only the rounded matrix."""
    rounded = matrix.to(dtype)
    if root.startswith("newton_schulz"):
        return newton_schulz(rounded, int(root.rpartition("_")[2]), form="products")
    return matrix_sqrt(rounded.to(torch.promote_types(dtype, torch.float32)), root)


def forward_errors(d: int = 64) -> list[dict]:
    """Of the exact root and of Newton-Schulz, by precision and condition number."""
    u, rows = basis(d), []
    for condition in CONDITIONS:
        values = spectrum(condition, d)
        truth, matrix = with_values(u, values.sqrt()), with_values(u, values)
        rows += [{"root": root, "precision": name, "condition": condition,
                  "error": relative(in_precision(matrix, dtype, root), truth)}
                 for root in ("exact", "newton_schulz_5", "newton_schulz_15") for name, dtype in PRECISIONS.items()]
    return rows


def pair(gap: float, size: float, d: int = 16) -> Tensor:
    """Eigenvalues that lie apart by a factor of 1.5 and more, but for two of about ``size`` that are a relative ``gap`` apart."""
    others = [1.5 ** -i for i in range(1, d - 1)] if size >= 1 else [1.5 ** -i for i in range(d - 2)]
    return torch.tensor([*others, size, size * (1 - gap)], dtype=torch.float64)


def gradient(root: Callable[[Tensor], Tensor], matrix: Tensor, upstream: Tensor) -> Tensor:
    """dL/dP of L = <upstream, root(P)>, its symmetric part."""
    leaf = matrix.clone().requires_grad_()
    (root(leaf) * upstream.to(matrix.dtype)).sum().backward()
    assert leaf.grad is not None
    return symmetric(leaf.grad)


def gradient_errors(size: float, dtype: torch.dtype = torch.float32, d: int = 16) -> list[dict]:
    """Of each remedy, over the relative gap of a pair of eigenvalues of about ``size`` (the largest is 1): dL/dP between the two
    eigenvectors of the pair, a block of 2 x 2, its error and its norm over that of the true one. An approximate root's own
    gradient is held against the exact root's, too."""
    u, rows = basis(d), []
    both = u[:, -2:]
    upstream = symmetric(torch.randn(d, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    for gap in GAPS:
        values = pair(gap, size, d)
        roots = values[-2:].sqrt()
        truth = both.mT @ upstream @ both / (roots[:, None] + roots)
        matrix = with_values(u, values).to(dtype)
        for method in REMEDIES:
            found = both.mT @ gradient(lambda p, m=method: matrix_sqrt(p, m), matrix, upstream).double() @ both
            rows.append({"root": method, "gap": gap, "error": relative(found, truth),
                         "size": (found.norm() / truth.norm()).item()})
    return rows


def iteration_errors(matrix: Tensor) -> dict[int, float]:
    """Relative error of Newton-Schulz on matrices (..., d, d) by its number of steps, the mean over the matrices."""
    matrix = matrix.double()
    truth = matrix_sqrt(matrix)
    norm = torch.linalg.matrix_norm(truth)
    return {n: (torch.linalg.matrix_norm(matrix_sqrt(matrix, "newton_schulz", iterations=n) - truth) / norm).mean().item()
            for n in ITERATIONS}


def synthetic_iterations(d: int = 64) -> list[dict]:
    """`iteration_errors` of spectra of three condition numbers."""
    u = basis(d)
    return [{"matrix": f"condition {condition:.0e}", "steps": n, "error": error} for condition in (1e1, 1e3, 1e6)
            for n, error in iteration_errors(with_values(u, spectrum(condition, d))).items()]
