"""Covariance pooling: what a classifier reads, its options, and the switch of the hybrid protocol."""

import pytest
import torch

from featuremining.errors import UsageError
from featuremining.layers.covariance import covariance, triu, untriu
from featuremining.layers.pooling import CovariancePooling, Hybrid, Root, eigenvalues, reduction
from featuremining.layers.roots import matrix_sqrt


def maps(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).relu().to(dtype)


def roots(x, **settings):
    return matrix_sqrt(covariance(x.flatten(2)), **settings)


@pytest.mark.parametrize("root", ["exact", "newton_schulz", "svd_pade", {"name": "newton_schulz", "iterations": 3}], ids=str)
def test_it_reads_the_triangle_of_the_root(root):
    x = maps(3, 6, 4, 4)
    pool = CovariancePooling(6, root)
    settings = {"method": root} if isinstance(root, str) else {"method": root["name"], "iterations": 3}
    assert pool(x).shape == (3, pool.width) == (3, 21)
    assert torch.allclose(pool(x), triu(roots(x, **settings)), atol=1e-12)
    assert torch.allclose(pool(x.contiguous(memory_format=torch.channels_last)), pool(x), atol=1e-12)
    assert not list(pool.parameters())


def test_normalisations():
    """M-l2 divides by the largest eigenvalue to the power, M-Fro by the Frobenius norm to the power."""
    x = maps(2, 5, 4, 4)
    p = covariance(x.flatten(2))
    for power in (0.5, 0.75):
        root = {"name": "exact", "power": power}
        q = untriu(CovariancePooling(5, root)(x))
        l2, frobenius = (untriu(CovariancePooling(5, root, normalise=n)(x)) for n in ("l2", "frobenius"))
        assert torch.allclose(l2, q / torch.linalg.matrix_norm(p, 2)[:, None, None] ** power)
        assert torch.allclose(frobenius, q / p.norm(dim=(1, 2))[:, None, None] ** power)
    assert torch.allclose(torch.linalg.matrix_norm(l2, 2), torch.ones(2, dtype=torch.float64))


def test_scaling_eigen_branch():
    """Q + Q |Q S^T|_F with S = U exp(-L) U^T, as the authors' program computes it."""
    x = maps(2, 5, 4, 4)
    p, q = covariance(x.flatten(2)), roots(x)
    norm = (q @ torch.linalg.matrix_exp(-p)).norm(dim=(1, 2))
    assert torch.allclose(CovariancePooling(5, "exact", seb=True)(x), triu(q * (1 + norm[:, None, None])))


def test_gaussian_embedding():
    """The root of [P + m m^T, m; m^T, 1]."""
    x = maps(2, 4, 5, 5)
    m = x.mean((2, 3))
    p = covariance(x.flatten(2)) + m[:, :, None] * m[:, None]
    whole = torch.cat([torch.cat([p, m[:, :, None]], 2), torch.cat([m[:, None], torch.ones(2, 1, 1, dtype=p.dtype)], 2)], 1)
    for root in ("exact", "newton_schulz"):
        pool = CovariancePooling(4, root, gaussian=True)
        assert pool.width == 15 and torch.allclose(pool(x), triu(matrix_sqrt(whole, root)))


def test_groups_have_their_own_covariances():
    x, pool = maps(2, 6, 4, 4), CovariancePooling(6, "exact", groups=3)
    assert pool.width == 9
    assert torch.allclose(pool(x), torch.cat([CovariancePooling(2, "exact")(part) for part in x.split(2, 1)], 1))
    weights = torch.rand(16, dtype=torch.float64)
    assert torch.allclose(pool.vector(x.flatten(2), weights), torch.cat(
        [CovariancePooling(2, "exact").vector(part.flatten(2), weights) for part in x.split(2, 1)], 1))
    with pytest.raises(UsageError, match="6 channels can't be divided into 4"):
        CovariancePooling(6, groups=4)


@pytest.mark.parametrize("settings", [{}, {"normalise": "l2"}, {"normalise": "frobenius"}, {"seb": True}, {"gaussian": True},
                                      {"groups": 2}, {"normalise": "l2", "seb": True, "gaussian": True}], ids=str)
@pytest.mark.parametrize("root", ["exact", "newton_schulz"])
def test_gradients(root, settings):
    """Right on singular covariances, finite on maps that are constant or zero."""
    pool = CovariancePooling(4, root, **settings)
    assert torch.autograd.gradcheck(pool, maps(2, 4, 2, 2).requires_grad_())
    for x in (torch.zeros(2, 4, 3, 3), torch.ones(2, 4, 3, 3), maps(2, 4, 3, 3, dtype=torch.float32) * 1e-8):
        x.requires_grad_()
        pool(x).sum().backward()
        assert pool(x).isfinite().all() and x.grad.isfinite().all()


def test_weights_choose_places():
    """Of 0 and 1, the covariance of the chosen places alone."""
    x, chosen = maps(2, 4, 3, 3).flatten(2), torch.tensor([1.0, 1, 0, 1, 0, 1, 0, 0, 1], dtype=torch.float64)
    pool = CovariancePooling(4, "exact")
    assert torch.allclose(pool.vector(x, chosen), pool.vector(x[..., chosen.bool()]))
    both = pool.vector(x[:, None], torch.stack([chosen, 1 - chosen])[None])
    assert both.shape == (2, 2, 10) and torch.allclose(both[:, 1], pool.vector(x[..., ~chosen.bool()]))


def test_precision_and_dropout():
    x = maps(2, 6, 2, 2, dtype=torch.float32)
    exact = CovariancePooling(6, "exact")(x.double())
    single, double = (CovariancePooling(6, "exact", precision=p)(x) for p in ("float32", "float64"))
    assert single.dtype == double.dtype == torch.float32
    assert (double - exact).abs().max() <= (exact.float() - exact).abs().max() < (single - exact).abs().max()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(CovariancePooling(6, "exact")(x), single)
        assert CovariancePooling(6, "exact")(x.bfloat16()).dtype == torch.float32
    pool = CovariancePooling(6, "exact", dropout=0.5)
    torch.manual_seed(0)
    read = pool(x)
    dropped = read == 0
    assert 0 < dropped.sum() < dropped.numel() and torch.allclose(read, torch.where(dropped, 0, 2 * single))
    assert torch.equal(pool.eval()(x), single)


def test_eigenvalues_have_their_gradient_at_ties():
    p = torch.eye(4, dtype=torch.float64).requires_grad_()
    values = eigenvalues(p)
    values.sum().backward()
    assert torch.allclose(values, torch.ones_like(values)) and torch.allclose(p.grad, torch.eye(4, dtype=torch.float64))


def test_reductions():
    torch.manual_seed(0)
    conv, bn, relu = reduction(8, [4])
    assert conv.weight.shape == (4, 8, 1, 1) and bn.num_features == 4 and isinstance(relu, torch.nn.ReLU)
    convs = [m.weight.shape[:2] for m in reduction(12, [8, 6, 4], 2) if isinstance(m, torch.nn.Conv2d)]
    assert convs == [(8, 12), (6, 8), (4, 3)]
    with pytest.raises(UsageError, match="from 8 to 4 channels can't have 3"):
        reduction(8, [4], 3)


def test_the_hybrid_switches_once_and_its_weights_say_so():
    x, pool = maps(2, 6, 4, 4), CovariancePooling(6, "newton_schulz", later="exact")
    first, second = (CovariancePooling(6, root)(x) for root in ("newton_schulz", "exact"))
    assert torch.equal(pool(x), first) and pool.root.power == 0.5
    assert pool.root.switch(True) and not pool.root.switch(True)
    assert torch.equal(pool(x), second)
    other = CovariancePooling(6, "newton_schulz", later="exact")
    other.load_state_dict(pool.state_dict(), strict=True)
    assert torch.equal(other(x), second) and other.root.switch(False) and torch.equal(other(x), first)
    assert not CovariancePooling(6).state_dict() and isinstance(pool.root, Hybrid)


def test_what_does_not_exist_is_one_sentence():
    assert Root({"name": "newton_schulz", "iterations": 3}).settings == {
        "name": "newton_schulz", "iterations": 3, "prenorm": "trace", "form": "auto"}
    for wrong, words in (({"root": "sqrtm"}, "no root 'sqrtm'"), ({"root": {"iterations": 3}}, "no root None"),
                         ({"root": {"name": "exact", "iterations": 3}}, "no setting of root 'exact' 'iterations'"),
                         ({"normalise": "max"}, "no covariance setting normalise"),
                         ({"precision": "float16"}, "no covariance setting precision"),
                         ({"root": 3}, "A root is one of exact"), ({"later": ["exact"]}, "A root is one of exact"),
                         ({"dropout": 1.5}, r"in \[0, 1\), got 1.5"), ({"groups": -1}, "into -1 equal groups"),
                         ({"gaussian": "yes"}, "covariance setting gaussian is bool, got 'yes'"), ({"d": 0}, "0 channels can't")):
        with pytest.raises(UsageError, match=words):
            CovariancePooling(**{"d": 4, **wrong})
