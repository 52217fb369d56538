"""The square roots of covariances by name: of a matrix, of a factor of it, and the inverse ones. float32 and float64, any leading
batch shape, singular and zero matrices.

Every method is a function of its own with its settings (`eigen_roots`, `iterative_roots`, `series_roots`).
"""

from collections.abc import Callable
from inspect import signature
from math import inf

import torch
from torch import Tensor

from ..errors import UsageError, check_effect, check_settings, choose
from . import eigen_roots, iterative_roots, series_roots
from .spectral import full_precision, symmetric

ROOTS: dict[str, Callable[..., Tensor]] = {
    "exact": eigen_roots.exact,
    "exact_factor": eigen_roots.exact,              # of a matrix the same; of features from their own singular values
    **{name: getattr(eigen_roots, name) for name in
       ("svd", "svd_trunc", "svd_topn", "svd_taylor", "svd_pade", "svd_newton", "svd_power")},
    "newton_schulz": iterative_roots.newton_schulz,
    "mtp": series_roots.mtp,
    "mpa": series_roots.mpa,
}
OF_FACTOR = {"exact": eigen_roots.exact_of_factor, "exact_factor": eigen_roots.exact_from_singular_values,
             "newton_schulz": iterative_roots.newton_schulz_of_factor}
INVERSE = {"exact": eigen_roots.inverse, "newton_schulz": iterative_roots.inverse_newton_schulz,
           "mtp": series_roots.inverse_mtp, "mpa": series_roots.inverse_mpa}


def settings_of(method: str, options: dict, roots: dict[str, Callable[..., Tensor]] = ROOTS, what: str = "root") -> dict:
    """All settings of a method with their values, defaults included; a `UsageError` where one does not exist, or has a value that
    it can't have."""
    function = roots[choose(what, method, roots)]
    known = {name: p.default for name, p in list(signature(function).parameters.items())[1:]}
    for name in options:
        choose(f"setting of {what} {method!r}", name, known)
    check_settings(f"{method} setting", function, options)
    for name, value in options.items():
        _in_range(method, name, value)
    check_effect(method, "delta", options.get("delta"), None, not options.get("table"), "table = False")
    return {**known, **options}


def _in_range(method: str, name: str, value) -> None:
    if name in ("iterations", "steps", "degree"):
        least = 1 if name != "degree" or method in ("mtp", "mpa") else 0
        fits, words = value >= least, f"{least} or more"
    elif name in ("power", "limit", "delta", "keep"):
        fits, words = value is None or 0 < value <= (1 if name == "keep" else inf), "in (0, 1]" if name == "keep" else "above 0"
    else:
        return
    if not fits:
        raise UsageError(f"{method}: {name} is {words}, got {value}.")


def _checked(matrix: Tensor, method: str, options: dict, roots=ROOTS, what: str = "root", square: bool = True) -> None:
    if not torch.compiler.is_compiling():       # which can't follow how hints are read; a layer has checked its settings before
        settings_of(method, options, roots, what)
    if matrix.dtype not in (torch.float32, torch.float64):
        raise UsageError(f"Matrix roots are computed in float32 or float64, got {matrix.dtype}: convert the matrix first.")
    if matrix.dim() < 2 or (square and matrix.shape[-1] != matrix.shape[-2]):
        raise UsageError(f"A root is of matrices (..., d, d){'' if square else ', given by factors (..., C, N)'}, got "
                         f"{tuple(matrix.shape)}.")


def matrix_sqrt(matrix: Tensor, method: str = "exact", **options) -> Tensor:
    """P (..., d, d), symmetric and positive semi-definite -> its square root by a method of ``ROOTS`` with its settings.

    >>> matrix_sqrt(torch.eye(2), "newton_schulz", iterations=10).round().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    _checked(matrix, method, options)
    with full_precision(matrix):
        return ROOTS[method](symmetric(matrix), **options)


def matrix_inverse_sqrt(matrix: Tensor, method: str = "exact", **options) -> Tensor:
    """P (..., d, d), symmetric and positive definite -> P^(-1/2), which whitens features of covariance P. ``exact`` gives null
    directions 0, as a pseudo-inverse does; the others need P + eps 1."""
    _checked(matrix, method, options, INVERSE, "inverse root")
    with full_precision(matrix):
        return INVERSE[method](symmetric(matrix), **options)


def covariance_sqrt(factor: Tensor, method: str = "exact", gram: bool | None = None, **options) -> Tensor:
    """F (..., C, N) -> the square root of P = F F^T (..., C, C). With ``gram`` it is computed from F^T F, which is smaller where
    N < C; None does so there, where the method has that form. ``exact_factor`` takes F itself, whatever its shape."""
    _checked(factor, method, options, square=False)
    if gram and method not in OF_FACTOR:
        raise UsageError(f"Root {method!r} has no form for the smaller Gram matrix; {' and '.join(OF_FACTOR)} have.")
    if gram is None:
        gram = method == "exact_factor" or (method in OF_FACTOR and factor.shape[-1] < factor.shape[-2])
    with full_precision(factor):
        return OF_FACTOR[method](factor, **options) if gram else ROOTS[method](factor @ factor.mT, **options)
