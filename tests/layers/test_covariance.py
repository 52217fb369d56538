"""Covariances, and symmetric matrices as vectors."""

import numpy as np
import pytest
import torch

from featuremining.errors import UsageError
from featuremining.layers.covariance import covariance, factor, triu, untriu


def features(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_covariance_is_numpy_s():
    x = features(2, 3, 5, 9)
    for index in np.ndindex(2, 3):
        assert np.allclose(covariance(x)[index], np.cov(x[index], bias=True), atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_count_columns(dtype):
    """Whole weights are repetitions, 0 leaves a column out, and a common factor changes nothing."""
    x, weights = features(4, 6, dtype=dtype), torch.tensor([1, 2, 0, 3, 0, 1], dtype=dtype)
    repeated = x[:, [0, 1, 1, 3, 3, 3, 5]]
    assert torch.allclose(covariance(x, weights), covariance(repeated), atol=1e-6)
    assert torch.allclose(covariance(x, 7 * weights), covariance(x, weights), atol=1e-6)
    assert not covariance(x, 0 * weights).any()
    second = factor(x, weights, centre=False)
    assert torch.allclose(second @ second.mT, repeated @ repeated.mT / 7, atol=1e-6)
    second = factor(x, centre=False)
    assert torch.allclose(second @ second.mT, x @ x.mT / 6, atol=1e-6)


def test_gradient_of_the_covariance():
    """(G + G^T) X I, section 3 of the paper, for a G that is not symmetric."""
    x, g = features(5, 7).requires_grad_(), features(5, 5, seed=1)
    (covariance(x) * g).sum().backward()
    centring = (torch.eye(7, dtype=torch.float64) - 1 / 7) / 7
    assert torch.allclose(x.grad, (g + g.mT) @ x.detach() @ centring, atol=1e-14)
    weights = torch.rand(7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: covariance(x, weights), x)


def test_triangles_invert():
    m = covariance(features(2, 3, 6, 9))
    assert triu(m).shape == (2, 3, 21) and torch.equal(untriu(triu(m)), m)
    assert torch.equal(triu(m)[0, 0], m[0, 0][np.triu_indices(6)])
    with pytest.raises(UsageError, match="5 is not of that form"):
        untriu(torch.zeros(5))
