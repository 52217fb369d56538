"""Errors of roots on made spectra: what is measured agrees with an independent form, and with what is known of each root."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
import torch

from featuremining.measuring import roots


def test_the_truth_is_scipys():
    u, values = roots.basis(8), roots.spectrum(100, 8)
    p = roots.with_values(u, values)
    q = scipy.linalg.sqrtm(p.numpy())
    assert np.allclose(roots.with_values(u, values.sqrt()).numpy(), q, atol=1e-12)
    g = roots.symmetric(torch.randn(8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    truth = scipy.linalg.solve_sylvester(q, q, g.numpy())
    assert np.allclose(roots.gradient(lambda m: roots.matrix_sqrt(m), p, g).numpy(), truth, atol=1e-10)


@pytest.fixture(scope="module")
def forward():
    return {(r["root"], r["precision"], r["condition"]): r["error"] for r in roots.forward_errors(32)}


def test_precision_bounds_the_exact_root_and_not_five_steps(forward):
    for condition in roots.CONDITIONS:
        errors = [forward["exact", name, condition] for name in roots.PRECISIONS]
        assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-11 and errors[0] > 1e-4
        five = [forward["newton_schulz_5", name, condition] for name in roots.PRECISIONS]
        assert max(five) < 1.1 * min(five) and min(five) > 0.02


def test_more_steps_help_where_the_precision_allows(forward):
    assert forward["newton_schulz_15", "float64", 1e1] < 1e-12
    assert forward["newton_schulz_15", "bfloat16", 1e8] > 1           # Z grows as 1.5^n, and its rounding with it


@pytest.fixture(scope="module")
def by_gap():
    return {size: {(r["root"], r["gap"]): r for r in roots.gradient_errors(size, torch.float64)} for size in (1.0, 1e-3)}


@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_only_the_exact_gradient_does_not_see_the_gap(by_gap, size):
    found = by_gap[size]
    for gap in roots.GAPS:
        assert found["exact", gap]["error"] < 1e-9
    wide, close, tie = (found["svd", gap]["error"] for gap in (1e-1, 1e-8, 0.0))
    # On a tie the part through the vectors is lost; how much that is hangs on which of its vectors the processor's library gives
    assert wide < 1e-9 < close < 1e-4 < tie
    for same in ("svd_trunc", "svd_pade"):
        assert found[same, 1e-2]["error"] < 1e-9
    assert found["svd_taylor", 1e-4]["error"] > 0.01 and found["svd_newton", 1e-1]["error"] > 0.01


def test_iterations_only_come_closer():
    rows = roots.synthetic_iterations(16)
    for matrix in {r["matrix"] for r in rows}:
        errors = [r["error"] for r in rows if r["matrix"] == matrix]
        assert all(b < max(a, 1e-12) for a, b in pairwise(errors))
