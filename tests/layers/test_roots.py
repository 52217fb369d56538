"""Matrix roots: what their papers promise, and the same by other ways: SciPy, autograd of the textbook loop, torch's own eigh."""

from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch
from torch.autograd import gradcheck, gradgradcheck

from featuremining.errors import UsageError
from featuremining.layers import eigen_roots, iterative_roots, series_roots
from featuremining.layers.covariance import covariance, factor
from featuremining.layers.roots import INVERSE, OF_FACTOR, ROOTS, covariance_sqrt, matrix_inverse_sqrt, matrix_sqrt, settings_of

SVD = [name for name in ROOTS if name.startswith("svd")]
SAME_VALUE = ["exact", "exact_factor", *(name for name in SVD if name != "svd_topn")]
APART = [name for name in SVD if name not in ("svd_topn", "svd_newton")]        # K-matrices of the ordinary gradient


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


def features(c, n, *batch, seed=0):
    """Post-ReLU, correlated: (..., c, n)."""
    return (normal(*batch, c, c, seed=seed) / c**0.5 @ normal(*batch, c, n, seed=seed + 1)).relu()


def rotation(d, seed=0):
    return torch.linalg.qr(normal(d, d, seed=seed))[0]


def with_spectrum(values, seed=0):
    u = rotation(len(values), seed)
    return (u * torch.as_tensor(values, dtype=torch.float64)) @ u.mT


def log_spaced(d, condition):
    return torch.logspace(0, -np.log10(condition), d, dtype=torch.float64)


def error(a, b):
    return ((a - b).norm() / b.norm()).item()


def gradient(f, x, g):
    x = x.detach().clone().requires_grad_()
    (f(x) * g).sum().backward()
    return x.grad


def ways(method):
    """A method from the covariance, and from the Gram matrix where it has that form."""
    return (False, True) if method in OF_FACTOR else (False,)


WAYS = [(method, gram) for method in ROOTS for gram in ways(method)]


# --- other forms of the same, written here ----------------------------------------------------------------------------

def textbook(p, n):
    """Equations (2) to (7) of arXiv:1712.01034, one after another, for autograd."""
    trace = p.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    y, eye = p / trace, torch.eye(p.shape[-1], dtype=p.dtype)
    z = eye.expand_as(p)
    for _ in range(n):
        y, z = 0.5 * y @ (3 * eye - z @ y), 0.5 * (3 * eye - z @ y) @ z
    return trace.sqrt() * y


def by_torch(p):
    values, vectors = torch.linalg.eigh(p)
    return vectors @ torch.diag_embed(values.sqrt()) @ vectors.mT


def symmetric(p):
    return (p + p.mT) / 2


def test_exact_is_scipy_s_root_and_sylvester_gradient():
    p, g = covariance(features(12, 40, 2)), normal(12, 12)
    grad = gradient(matrix_sqrt, p, g)
    for i in range(2):
        root = scipy.linalg.sqrtm(p[i].numpy())
        assert np.allclose(matrix_sqrt(p)[i], root, atol=1e-10, rtol=0)
        z = scipy.linalg.solve_sylvester(root, root, symmetric(g).numpy())
        assert np.linalg.norm(grad[i] - z) / np.linalg.norm(z) < 1e-10


@pytest.mark.parametrize("method", ["exact", *APART])
def test_on_separated_spectra_all_gradients_are_torch_s_own(method):
    """Neighbouring eigenvalues at ratios below 0.8; the power iterations need lower ones."""
    ratio = 0.3 if method == "svd_power" else 0.75
    p, g = with_spectrum(ratio ** torch.arange(6.0)), normal(6, 6)
    ours, theirs = (gradient(f, p, g) for f in (lambda p: matrix_sqrt(p, method), lambda p: by_torch(symmetric(p))))
    assert error(matrix_sqrt(p, method), by_torch(p)) < 1e-12
    assert error(ours, theirs) < (1e-10 if method not in ("svd_taylor", "svd_power") else 1e-6)


@pytest.mark.parametrize("gram", [False, True])
@pytest.mark.parametrize("form", ["eigen", "products"])
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("shape", [(10, 30), (10, 6), (8, 8)], ids=str)
def test_newton_schulz_is_the_textbook_loop(shape, n, form, gram):
    x, g = features(*shape, 2), normal(shape[0], shape[0])
    def ours(x):
        return covariance_sqrt(factor(x), "newton_schulz", gram=gram, iterations=n, form=form)

    assert error(ours(x), textbook(covariance(x), n)) < 1e-10
    assert error(gradient(ours, x, g), gradient(lambda x: textbook(covariance(x), n), x, g)) < 1e-10


@pytest.mark.parametrize("form", ["eigen", "products"])
def test_inverse_newton_schulz_and_the_frobenius_norm(form):
    """By autograd through the loop, with P / |P|_F and its compensation."""
    def loop(p, n):
        norm = p.norm()
        y, z = p / norm, torch.eye(len(p), dtype=p.dtype)
        for _ in range(n):
            t = (3 * torch.eye(len(p), dtype=p.dtype) - z @ y) / 2
            y, z = y @ t, t @ z
        return y * norm.sqrt(), z / norm.sqrt()

    p, g = covariance(features(7, 30)), symmetric(normal(7, 7))
    settings = {"iterations": 6, "prenorm": "frobenius", "form": form}
    for f, which in ((matrix_sqrt, 0), (matrix_inverse_sqrt, 1)):
        def ours(p, f=f):
            return f(p, "newton_schulz", **settings)
        assert error(ours(p), loop(p, 6)[which]) < 1e-12
        assert error(gradient(ours, p, g), gradient(lambda p, w=which: loop(symmetric(p), 6)[w], p, g)) < 1e-12
    x = features(9, 5)
    assert error(covariance_sqrt(factor(x), "newton_schulz", gram=True, **settings), loop(covariance(x), 6)[0]) < 1e-12


def power_iterations(p, steps):
    """Wang et al. (2019): each eigenvector iterated from its exact value on what the larger ones leave, by autograd."""
    vectors = torch.linalg.eigh(p)[1].detach().flip(-1)
    root, rest = 0, p
    for i in range(len(p)):
        v = vectors[:, i]
        for _ in range(steps):
            v = rest @ v
            v = v / v.norm()
        value = v @ rest @ v
        root = root + value.sqrt() * torch.outer(v, v)
        rest = rest - value * torch.outer(v, v)
    return root


def test_svd_power_is_the_gradient_of_power_iterations():
    """Its K takes the deflation into account. The eigenvalues of the loop above carry the iterations' error, too, so that the
    gradients are compared through the eigenvectors: with a G that is 0 on the diagonal in their basis."""
    p = with_spectrum(0.8 ** torch.arange(5.0))
    vectors = torch.linalg.eigh(p)[1]
    g = vectors @ symmetric(normal(5, 5)).fill_diagonal_(0) @ vectors.mT
    for n in (1, 2, 6):
        ours = gradient(partial(matrix_sqrt, method="svd_power", degree=n - 1), p, g)
        assert error(ours, symmetric(gradient(partial(power_iterations, steps=n), p, g))) < 1e-10, n


# --- values ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("method", "gram"), [(m, g) for m in SAME_VALUE for g in ways(m)])
def test_the_exact_ones_square_to_the_covariance(method, gram, dtype):
    small = 1e-10 if dtype == torch.float64 else 1e-5
    for c, n in ((6, 30), (9, 5), (8, 8)):
        f = factor(features(c, n, 2, 3)).to(dtype)
        q = covariance_sqrt(f, method, gram=gram)
        assert q.dtype == dtype and q.shape == (2, 3, c, c)
        assert error(q @ q, f @ f.mT) < small and error(q, q.mT) < small
        assert torch.linalg.eigvalsh(q).min() > -small


@pytest.mark.parametrize(("method", "gram"), WAYS)
def test_batches_are_what_each_matrix_gives_alone(method, gram):
    """Batched products round otherwise than single ones on some processors. An eigenvalue that should be 0 then differs by the
    rounding, and its root by the square root of that, where the covariance is decomposed; the Gram matrix has none. The square
    of the root knows none of it."""
    small = 1e-7 if not gram and method in (*APART, "svd_topn") else 1e-10
    f, g = factor(features(7, 5, 2, 3)), normal(7, 7)
    whole = gradient(lambda f: covariance_sqrt(f, method, gram=gram), f, g)
    for i in np.ndindex(2, 3):
        assert error(whole[i], gradient(lambda f: covariance_sqrt(f, method, gram=gram), f[i], g)) < 1e-7
        q, alone = covariance_sqrt(f, method, gram=gram)[i], covariance_sqrt(f[i], method, gram=gram)
        assert error(q, alone) < small and error(q @ q, alone @ alone) < 1e-10


@pytest.mark.parametrize(("method", "gram"), WAYS)
@pytest.mark.parametrize("shape", [(6, 30), (9, 5)], ids=str)
def test_scale_and_rotation(method, gram, shape):
    """sqrt(c P) = sqrt(c) sqrt(P), for very small and large c as well, and sqrt(R P R^T) = R sqrt(P) R^T."""
    f, r = factor(features(*shape)), rotation(shape[0])
    q = covariance_sqrt(f, method, gram=gram)
    for c in (1e-12, 1e8):
        assert error(covariance_sqrt(c * f, method, gram=gram), c * q) < 1e-7
    assert error(covariance_sqrt(r @ f, method, gram=gram), r @ q @ r.mT) < 1e-7


FROBENIUS = [("newton_schulz", {"prenorm": "frobenius", "form": form}) for form in ("eigen", "products")]


@pytest.mark.parametrize(("method", "settings", "c"), [
    ("exact_factor", {}, 1e-30), ("exact_factor", {}, 1e15),
    *((method, settings, c) for method, settings in [("mtp", {}), ("mpa", {}), *FROBENIUS] for c in (1e-15, 1e15))])
def test_scale_in_float32(method, settings, c):
    """Where squares of the entries of P = F F^T over- or underflow, too; those of F where the root reads F. The gradient with
    respect to F does not depend on its scale."""
    f, g = factor(features(6, 30)).float(), normal(6, 6).float()
    root = partial(covariance_sqrt, method=method, **settings)
    assert error(root(c * f) / c, root(f)) < 1e-5
    assert error(gradient(root, c * f, g), gradient(root, f, g)) < 1e-5


@pytest.mark.parametrize("method", ["svd", "svd_trunc", "svd_topn", "svd_taylor", "svd_pade", "svd_power"])
@pytest.mark.parametrize("c", [2.0**-63, 2.0**60])
def test_scale_of_the_svd_family_in_float32(method, c):
    """Where K alone, a reciprocal of eigenvalues, over- or underflows. SVD-Trunc's limit is absolute and moves with the scale."""
    f, g = factor(features(6, 30)).float(), normal(6, 6).float()
    root = partial(covariance_sqrt, method=method, gram=False)
    moved = partial(root, limit=1e10 * c**-2 if c < 1 else 1e10) if method == "svd_trunc" else root
    assert error(moved(c * f) / c, root(f)) < 1e-5
    assert error(gradient(moved, c * f, g), gradient(root, f, g)) < 1e-4


def test_the_limit_of_svd_trunc_is_on_k_itself():
    p, g = torch.diag(torch.tensor([64.0, 65.0, 70.0], dtype=torch.float64)), torch.ones(3, 3, dtype=torch.float64)
    for limit in (0.1, 0.5, 2.0):
        k = min(limit, 1.0)                     # between 65 and 64, with scale 64 inside
        found = gradient(partial(matrix_sqrt, method="svd_trunc", limit=limit), p, g)[0, 1].item()
        assert found == pytest.approx(k * (65**0.5 - 64**0.5), rel=1e-9)


@pytest.mark.parametrize("method", ["mtp", "mpa", "newton_schulz"])
def test_scale_of_inverse_roots_in_float32(method):
    settings = {"prenorm": "frobenius"} if method == "newton_schulz" else {}
    p = with_spectrum([1.0, 0.7, 0.5]).float()
    for c in (2.0**-90, 2.0**90):
        assert error(matrix_inverse_sqrt(c * p, method, **settings) * c**0.5, matrix_inverse_sqrt(p, method, **settings)) < 1e-6


def test_topn_leaves_the_smallest_out():
    p = with_spectrum([8.0, 4.0, 2.0, 1.0])
    values = torch.linalg.eigvalsh(matrix_sqrt(p, "svd_topn", keep=0.5))
    assert torch.allclose(values[2:], torch.tensor([2.0, 2.0**1.5], dtype=torch.float64)) and values[:2].max() < 1e-6
    assert torch.linalg.eigvalsh(matrix_sqrt(with_spectrum(torch.arange(1.0, 257)), "svd_topn"))[[49, 50]].gt(1e-3).tolist() == [
        False, True]        # 206 of 256


@pytest.mark.parametrize(("condition", "at", "reached"), [(1e3, 15, 1e-6), (10, 10, 1e-5)])
def test_newton_schulz_converges(condition, at, reached):
    p = with_spectrum(log_spaced(64, condition))
    root, errors = matrix_sqrt(p), []
    for n in range(1, at + 1):
        errors.append(error(matrix_sqrt(p, "newton_schulz", iterations=n), root))
    assert all(b < a for a, b in pairwise(errors)) and errors[-1] < reached
    assert errors[4] > 0.1                  # five steps are far from the root
    assert errors[-1] < 20 * errors[-2] ** 2 or errors[-1] < 2e-9       # and each squares what is left in the end


@pytest.mark.parametrize("prenorm", ["trace", "frobenius"])
@pytest.mark.parametrize("shape", [(20, 8), (16, 16), (24, 60)], ids=str)
def test_many_steps_in_float32(shape, prenorm):
    """On singular covariances, too, where a rounding error below 0 would run away and the upper half of the differences does."""
    x, g = features(*shape, 2), normal(shape[0], shape[0])
    for n in (5, 10, 15, 20, 25):
        def root(x, n=n):
            return covariance_sqrt(factor(x), "newton_schulz", iterations=n, prenorm=prenorm)
        assert error(root(x.float()).double(), root(x)) < 1e-4
        assert error(gradient(root, x.float(), g.float()).double(), gradient(root, x, g)) < (1e-4 if n < 20 else 2e-2)


def test_many_steps_of_the_inverse_in_float32():
    """On a singular matrix: null directions grow by 1.5 a step, and nothing else does."""
    p = covariance(features(16, 7, 2))
    for n in (5, 15, 25):
        for form in ("eigen", "products") if n == 5 else ("eigen",):
            found = matrix_inverse_sqrt(p.float(), "newton_schulz", iterations=n, form=form)
            assert error(found.double(), matrix_inverse_sqrt(p, "newton_schulz", iterations=n, form=form)) < 1e-3


def test_the_design_s_table_of_five_steps():
    """Relative errors that were measured with the authors' program: trace, n = 3, 5, 7, and Frobenius."""
    p = with_spectrum(log_spaced(8, 10))
    for n, low, high in ((3, 0.1, 0.25), (5, 0.01, 0.04), (7, 1e-6, 2e-4)):
        assert low < error(matrix_sqrt(p, "newton_schulz", iterations=n), matrix_sqrt(p)) < high
    q = with_spectrum(log_spaced(64, 10))
    assert error(matrix_sqrt(q, "newton_schulz", prenorm="frobenius"), matrix_sqrt(q)) < 0.1


def test_taylor_and_pade_come_closer_with_their_degree():
    p = with_spectrum(log_spaced(12, 20))
    for method, degrees in (("mtp", (2, 5, 10, 20)), ("mpa", (1, 2, 5))):
        found = [error(matrix_sqrt(p, method, degree=d), matrix_sqrt(p)) for d in degrees]
        assert all(b < a for a, b in pairwise(found))
    assert error(matrix_sqrt(p, "mpa"), matrix_sqrt(p)) < error(matrix_sqrt(p, "mtp"), matrix_sqrt(p))


def test_series_have_the_published_coefficients():
    """The ten of MTP and the six and six of MPA, printed in the authors' program."""
    assert series_roots.taylor(0.5, 10)[1:] == pytest.approx(
        [-0.5, -0.125, -0.0625, -0.0390625, -0.02734375, -0.0205078125, -0.01611328125, -0.013092041015625, -0.0109100341796875,
         -0.009273529052734375], rel=1e-15)
    p, q = series_roots.pade(0.5, 5)
    assert p == pytest.approx([1, -2.75, 2.75, -1.203125, 0.21484375, -0.0107421875], rel=1e-15)
    assert q == pytest.approx([1, -2.25, 1.75, -0.546875, 0.05859375, -0.0009765625], rel=1e-15)


@pytest.mark.parametrize(("steps", "within"), [(4, 0.3), (8, 1e-3), (12, 1e-10)])
def test_the_sign_iteration_solves_the_lyapunov_equation(steps, within):
    """Of a root of condition sqrt(20), as the design's table has it."""
    q, g = with_spectrum(log_spaced(16, 20).sqrt()), symmetric(normal(16, 16))
    z = series_roots.sign_iteration(q, g, q.norm(), steps)
    assert error(z, torch.tensor(scipy.linalg.solve_sylvester(q.numpy(), q.numpy(), g.numpy()))) < within


def test_the_gradient_of_mtp_and_mpa_is_that_of_the_root_they_stand_for():
    p, g = with_spectrum(log_spaced(10, 3)), symmetric(normal(10, 10))
    for method in ("mtp", "mpa"):
        ours = gradient(lambda p, m=method: matrix_sqrt(p, m, steps=14), p, g)
        root = matrix_sqrt(p, method).numpy()
        assert error(ours, torch.tensor(scipy.linalg.solve_sylvester(root, root, g.numpy()))) < 1e-8


# --- gradients ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("gram", [False, True])
@pytest.mark.parametrize("method", ["exact", "exact_factor", "newton_schulz"])
@pytest.mark.parametrize("shape", [(8, 20), (10, 6), (8, 8)], ids=str)
def test_gradcheck_at_the_features(method, gram, shape):
    """8 x 8 with the mean taken off is singular, as covariances of 64 channels on 8 x 8 maps are."""
    x = features(*shape).requires_grad_()
    assert gradcheck(lambda x: covariance_sqrt(factor(x), method, gram=gram), x)


@pytest.mark.parametrize("power", [0.3, 0.5, 0.75, 1.0])
def test_gradcheck_of_other_powers(power):
    for c, n, gram in ((6, 15, False), (8, 5, True)):
        x = features(c, n).requires_grad_()
        f = factor(x)
        p = with_spectrum(torch.tensor([1.0, 1.0, 2.0, 3.0])).requires_grad_()         # a tie, too
        assert gradcheck(lambda p: matrix_sqrt(p, power=power), p)
        assert gradcheck(lambda x, gram=gram: covariance_sqrt(factor(x), gram=gram, power=power), x)
        again = covariance_sqrt(f, gram=gram, power=power / 2)
        assert error(again @ again, covariance_sqrt(f, gram=gram, power=power)) < 1e-7
    assert gradcheck(lambda x: matrix_sqrt(covariance(x), power=power), features(8, 5).requires_grad_()) or power < 0.5


@pytest.mark.parametrize("method", ["exact", *APART])
def test_at_the_features_remedies_agree_where_no_eigenvalues_meet(method):
    x, g = features(8, 8), normal(8, 8)
    exact = gradient(lambda x: covariance_sqrt(factor(x)), x, g)
    assert error(gradient(lambda x: covariance_sqrt(factor(x), method), x, g), exact) < 5e-2
    if method != "svd_power":
        assert error(gradient(lambda x: covariance_sqrt(factor(x), method), x, g), exact) < 1e-5


def test_singular_values_resolve_what_the_covariance_has_lost():
    """In float32 a direction of 1e-5 of the largest standard deviation, whose eigenvalue of 1e-10 is below the rounding."""
    x = torch.diag(torch.tensor([1.0, 1e-1, 1e-3, 1e-5], dtype=torch.float64)) @ rotation(8)[:4]
    g, f = normal(4, 4), rotation(4, seed=1) @ x
    true = gradient(lambda f: covariance_sqrt(f, "exact_factor"), f, g)
    assert error(true, gradient(lambda f: covariance_sqrt(f, "exact"), f, g)) < 1e-5
    for method, low, high in (("exact_factor", 0, 1e-4), ("exact", 0.02, 2)):
        assert low <= error(gradient(lambda f, m=method: covariance_sqrt(f, m), f.float(), g.float()).double(), true) < high


def test_svd_newton_has_the_exact_value_and_newton_schulz_s_gradient():
    p, g = covariance(features(9, 30)), normal(9, 9)
    assert error(matrix_sqrt(p, "svd_newton"), matrix_sqrt(p)) < 1e-14
    for n in (3, 5):
        assert error(gradient(lambda p, n=n: matrix_sqrt(p, "svd_newton", iterations=n), p, g),
                     gradient(lambda p, n=n: textbook(symmetric(p), n), p, g)) < 1e-10


@pytest.mark.parametrize("ratio", [0.9, 0.99, 0.999])
def test_taylor_is_off_by_the_terms_that_it_leaves_out(ratio):
    """Of 1 / (1 - r): r^101 / (1 - r)."""
    values = torch.tensor([ratio, 1.0], dtype=torch.float64)
    def kernel(i, j, _):
        return eigen_roots.odd(eigen_roots.geometric(j / i, 101) / i)
    k = eigen_roots.k_matrix(values, kernel, 1)
    assert k[1, 0].item() == pytest.approx((1 - ratio**101) / (1 - ratio), rel=1e-12) and k[0, 1] == -k[1, 0]
    p, g = torch.diag(values), torch.ones(2, 2, dtype=torch.float64)
    for degree in (0, 1, 100):              # of the true entry the share 1 - r^(degree + 1)
        grad = gradient(partial(matrix_sqrt, method="svd_taylor", degree=degree), p, g)
        assert (grad / gradient(matrix_sqrt, p, g))[0, 1].item() == pytest.approx(1 - ratio ** (degree + 1), rel=1e-8)


def test_pade_s_cap_and_what_clamped_eigenvalues_get():
    """K is at most 1 / (delta l_i); an eigenvalue that is clamped has no gradient of its own."""
    p, g = torch.diag(torch.tensor([1.0, 0.9, 0.0], dtype=torch.float64)), torch.ones(3, 3, dtype=torch.float64)
    for delta, share in ((0.5, 0.1 / 0.5), (0.01, 1.0)):
        grad, exact = gradient(lambda p, d=delta: matrix_sqrt(p, "svd_pade", delta=d), p, g), gradient(matrix_sqrt, p, g)
        assert grad[0, 1].item() == pytest.approx(share * exact[0, 1].item(), rel=1e-6)
        assert grad[2, 2] == 0 and grad[0, 0] == exact[0, 0]


def test_pade_s_published_table_is_the_capped_fraction():
    """To 13 digits below 1, and 2.5e15 at 1; the fraction that it approximates is 1 / (1 - r)."""
    r = torch.tensor([0.0, 0.5, 0.9, 0.99], dtype=torch.float64)
    assert torch.allclose(eigen_roots.published_pade(r), 1 / (1 - r), rtol=1e-11, atol=0)
    p, g = with_spectrum(0.6 ** torch.arange(6.0)), normal(6, 6)
    assert error(*(gradient(lambda p, t=t: matrix_sqrt(p, "svd_pade", table=t), p, g) for t in (True, False))) < 1e-9


TIES = {"all": [1.0] * 6, "two": [3.0, 2.0, 2.0, 1.0, 0.5, 0.1], "clamped": [1.0, 0.5, 0.2, 1e-18, 1e-18, 0.0]}


@pytest.mark.parametrize("spectrum", TIES.values(), ids=TIES)
def test_the_exact_gradient_does_not_mind_ties(spectrum):
    """At the tie of a diagonal matrix g_ij / (2 sqrt(l)), where the K-matrix has nothing."""
    p, g = torch.diag(torch.tensor(spectrum, dtype=torch.float64)), symmetric(normal(6, 6))
    roots = p.diagonal().sqrt().where(p.diagonal() > 1e-15, 0)
    sums = roots[:, None] + roots
    expected = torch.where(sums > 0, g / sums.masked_fill(sums == 0, 1), 0)
    assert error(gradient(matrix_sqrt, p, g), expected) < 1e-12
    if spectrum == TIES["all"]:
        for method in ("svd", "svd_trunc", "svd_taylor", "svd_pade"):
            assert 0.7 < error(gradient(lambda p, m=method: matrix_sqrt(p, m), p, g), expected) < 1


@pytest.mark.parametrize(("gap", "method", "at_least"), [(1e-8, "svd", 1e-9), (1e-12, "svd", 1e-6), (1e-12, "svd_trunc", 0.01)])
def test_nearly_equal_eigenvalues_spoil_the_k_matrix_and_not_the_exact_gradient(gap, method, at_least):
    p, g = with_spectrum([1.0, 1.0 + gap, 0.5, 0.25]), symmetric(normal(4, 4))
    root = matrix_sqrt(p).numpy()
    expected = torch.tensor(scipy.linalg.solve_sylvester(root, root, g.numpy()))
    assert error(gradient(matrix_sqrt, p, g), expected) < 1e-12
    assert error(gradient(lambda p: matrix_sqrt(p, method), p, g), expected) > at_least


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("method", "gram"), WAYS)
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_finite_at_low_rank(method, gram, dtype, rank):
    """Zero maps, maps of one direction, and channels that are dead."""
    x = (normal(2, 12, rank) @ normal(2, rank, 9, seed=1)).to(dtype)
    x[:, 5:8] = 0
    g = normal(12, 12).to(dtype)
    q = covariance_sqrt(factor(x), method, gram=gram)
    grad = gradient(lambda x: covariance_sqrt(factor(x), method, gram=gram), x, g)
    assert q.isfinite().all() and grad.isfinite().all()
    assert rank or (not q.any() and not grad.any())


@pytest.mark.parametrize(("method", "gram"), WAYS)
def test_maps_that_are_not_finite_stay_so(method, gram):
    """The loop then says that the training diverged; nothing else is raised on the way."""
    x = features(6, 5, 2)
    x[0, 0, 0] = torch.nan
    assert covariance_sqrt(factor(x), method, gram=gram)[0].isnan().any()
    assert error(covariance_sqrt(factor(x), method, gram=gram)[1], covariance_sqrt(factor(x[1]), method, gram=gram)) < 1e-12


def test_forms_of_newton_schulz_by_size(monkeypatch):
    """Products where they are few and small, eigenvalues else; the same to rounding."""
    taken = []
    for name in ("_OfMatrix", "_OfFactor", "_ByProducts"):
        function = getattr(iterative_roots, name)
        monkeypatch.setattr(iterative_roots, name, SimpleNamespace(
            apply=lambda *of, function=function, name=name: taken.append(name) or function.apply(*of)))
    for shape, gram, n in (((64, 64), False, 5), ((65, 65), False, 5), ((64, 64), False, 6), ((90, 64), True, 5),
                           ((90, 65), True, 5)):
        covariance_sqrt(factor(features(*shape)), "newton_schulz", gram=gram, iterations=n)
    assert taken == ["_ByProducts", "_OfMatrix", "_OfMatrix", "_ByProducts", "_OfFactor"]


def test_double_backward_where_it_exists():
    p = covariance(features(5, 20)).requires_grad_()
    assert gradgradcheck(matrix_sqrt, p)
    for gram in (False, True):
        products = partial(covariance_sqrt, method="newton_schulz", gram=gram, form="products", iterations=3)
        x = features(4, 3).requires_grad_()
        once, twice = (torch.autograd.grad(products(factor(x)).square().sum(), x, create_graph=graph)[0]
                       for graph in (False, True))
        assert error(twice, once) < 1e-12
        assert gradgradcheck(lambda x, root=products: root(factor(x)), x)


@pytest.mark.parametrize(("method", "gram"), [w for w in WAYS if w not in (
    ("exact", False), ("exact_factor", False), ("svd_newton", False))])          # these have it, the last by newton_schulz
def test_double_backward_is_refused_in_one_sentence(method, gram):
    x, options = features(5, 4).requires_grad_(), {"form": "eigen"} if method == "newton_schulz" else {}
    root = covariance_sqrt(factor(x), method, gram=gram, **options)
    (grad,) = torch.autograd.grad(root.square().sum(), x, create_graph=True)
    with pytest.raises(UsageError, match=r"can't be differentiated"):
        grad.sum().backward()


def test_a_singular_matrix_has_no_second_derivative():
    x = features(5, 4).requires_grad_()
    (grad,) = torch.autograd.grad(covariance_sqrt(factor(x), gram=False).square().sum(), x, create_graph=True)
    with pytest.raises(UsageError, match="no second derivative"):
        grad.sum().backward()


# --- inverse roots --------------------------------------------------------------------------------------------------

def test_whitening():
    """ZCA: features times the inverse root of their covariance have the identity for covariance."""
    x = features(8, 60, 3)
    white = matrix_inverse_sqrt(covariance(x)) @ x
    assert torch.allclose(covariance(white), torch.eye(8, dtype=torch.float64).expand(3, 8, 8), atol=1e-10)
    assert gradcheck(lambda x: matrix_inverse_sqrt(covariance(x)), features(4, 9).requires_grad_())
    singular = covariance(features(8, 5))
    inverse = matrix_inverse_sqrt(singular)
    assert error(inverse @ inverse, torch.linalg.pinv(singular, hermitian=True)) < 1e-8


@pytest.mark.parametrize(("method", "settings"), [("newton_schulz", {"iterations": 14}), ("mtp", {"degree": 200, "steps": 14}),
                                                  ("mpa", {"degree": 12, "steps": 14}), ("exact", {})])
def test_inverse_roots_and_their_gradients(method, settings):
    p, g = with_spectrum(log_spaced(8, 5)), symmetric(normal(8, 8))
    exact = torch.tensor(scipy.linalg.fractional_matrix_power(p.numpy(), -0.5))
    assert error(matrix_inverse_sqrt(p, method, **settings), exact) < 1e-6
    def by_torch_inverse(p):
        values, vectors = torch.linalg.eigh(symmetric(p))
        return vectors @ torch.diag_embed(values**-0.5) @ vectors.mT
    assert error(gradient(lambda p: matrix_inverse_sqrt(p, method, **settings), p, g), gradient(by_torch_inverse, p, g)) < 1e-5


def test_the_gradient_of_one_inverse_does_not_depend_on_the_batch():
    p, g = torch.stack([with_spectrum(log_spaced(6, 4)), 100 * with_spectrum(log_spaced(6, 3), seed=1)]), normal(6, 6)
    for method in INVERSE:
        both = gradient(lambda p, m=method: matrix_inverse_sqrt(p, m), p, g)
        assert error(both[0], gradient(lambda p, m=method: matrix_inverse_sqrt(p, m), p[0], g)) < 1e-12


# --- precision and words --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ROOTS)
def test_autocast_does_not_reach_a_root(method):
    f = factor(features(8, 6, 2)).float().requires_grad_()
    plain = covariance_sqrt(f, method)
    with torch.autocast("cpu", torch.bfloat16):
        inside = covariance_sqrt(f, method)
    assert inside.dtype == torch.float32 and torch.equal(inside, plain)
    assert torch.equal(*(torch.autograd.grad(q.sum(), f)[0] for q in (inside, plain)))


def test_names_and_settings():
    assert settings_of("newton_schulz", {"iterations": 3}) == {"iterations": 3, "prenorm": "trace", "form": "auto"}
    p = torch.eye(3)
    for call, words in ((lambda: matrix_sqrt(p, "isqrt"), "no root 'isqrt'"),
                        (lambda: matrix_sqrt(p, "svd", degree=3), "no setting"),
                        (lambda: matrix_sqrt(p.half()), "float32 or float64"),
                        (lambda: covariance_sqrt(p, "svd", gram=True), "no form"),
                        (lambda: matrix_inverse_sqrt(p, "svd"), "no inverse root"),
                        (lambda: iterative_roots.newton_schulz(p, 0), "one iteration or more"),
                        (lambda: matrix_sqrt(p, "newton_schulz", prenorm="max"), "no newton_schulz setting prenorm"),
                        (lambda: matrix_sqrt(p, "newton_schulz", form="gpu"), "no newton_schulz setting form"),
                        (lambda: iterative_roots.newton_schulz(p, prenorm="max"), "no pre-normalisation"),
                        (lambda: iterative_roots.newton_schulz(p, form="gpu"), "no form"),
                        (lambda: matrix_inverse_sqrt(p, "mpa", iterations=3), "no setting of inverse root 'mpa'"),
                        (lambda: matrix_sqrt(p, "svd_pade", table=True, delta=0.1), "delta = 0.1 would change nothing"),
                        (lambda: matrix_sqrt(p[:2]), r"matrices \(..., d, d\), got \(2, 3\)"),
                        (lambda: matrix_inverse_sqrt(p[:2]), r"got \(2, 3\)"),
                        (lambda: matrix_sqrt(p[0]), r"got \(3,\)"),
                        (lambda: covariance_sqrt(p[0]), r"factors \(..., C, N\), got \(3,\)")):
        with pytest.raises(UsageError, match=words):
            call()


WRONG = {"iterations": (0, -1, 2.5, "5", None, True), "steps": (0, 1.5, "8"), "degree": (-1, 2.5, "x", None),
         "keep": (0, 1.5, -1, "x"), "limit": (0, -1e10, "x", None), "delta": (0, -1, "x"), "table": ("yes", 1),
         "power": (0, -0.5, "x", None, float("nan"), float("inf")), "prenorm": ("max", None), "form": ("gpu", 1)}
SETTINGS = [(method, name, value) for method in ROOTS for name in settings_of(method, {}) for value in WRONG[name]]


@pytest.mark.parametrize(("method", "name", "value"), [*SETTINGS, ("mtp", "degree", 0), ("mpa", "degree", 0)], ids=str)
def test_a_wrong_value_of_a_setting_is_one_sentence(method, name, value):
    with pytest.raises(UsageError, match=rf"{method}.*{name}.*\.$"):
        matrix_sqrt(torch.eye(3), method, **{name: value})
