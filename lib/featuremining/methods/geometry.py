"""How the local features of a map lie to each other: the vectors across channels at its positions, N of them in an image.

Everything here compares distances between positions of one image, so that maps of different width can be compared with each
other, and nothing changes when a map's vectors are rotated or shifted together. Of equal distances the one to the lower
position counts as shorter: after ReLU, dead positions are equal.
"""

import torch
from torch import Tensor


def local_features(x: Tensor, size: tuple[int, int], places: Tensor | None = None) -> Tensor:
    """(B, C, H, W) -> (B, N, C): a map at the resolution ``size``, as its vectors at all positions or at the N ``places``.

    Resolutions fall by averaging, as `adaptive_avg_pool2d` does, but by two products, whose gradient is deterministic on a
    GPU.
    """
    if tuple(x.shape[2:]) != size:
        rows, columns = (averaging(n, m).to(x) for n, m in zip(x.shape[2:], size, strict=True))
        x = rows @ x @ columns.T
    vectors = x.flatten(2).transpose(1, 2)
    return vectors if places is None else vectors[:, places]


def averaging(n: int, m: int) -> Tensor:
    """(m, n): row i is the mean over the cells floor(i n / m) to ceil((i + 1) n / m), of which there are ``n``.

    >>> averaging(4, 2).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    cells, i = torch.arange(n), torch.arange(m)[:, None]
    inside = (cells >= i * n // m) & (cells < -(-(i + 1) * n // m))
    return inside / inside.sum(1, keepdim=True)


def distances(x: Tensor) -> Tensor:
    """Euclidean distances between the vectors of each image: (B, N, C) -> (B, N, N). From differences, not from products, so
    that none is lost to cancellation; the gradient between equal vectors is zero."""
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


@torch.no_grad()
def spanning_tree(d: Tensor) -> Tensor:
    """The neighbours in each image's minimum spanning tree: distances (B, N, N) -> symmetric booleans. Prim's algorithm from
    position 0, all images at once; distances between equal vectors, zero, are edges like any other.

    >>> spanning_tree(torch.tensor([[[0., 1., 5.], [1., 0., 2.], [5., 2., 0.]]])).int().tolist()
    [[[0, 1, 0], [1, 0, 1], [0, 1, 0]]]
    """
    batch, n, _ = d.shape
    done = torch.zeros(batch, n, dtype=torch.bool, device=d.device)
    done[:, 0] = True
    reach, parent = d[:, 0].clone(), torch.zeros(batch, n, dtype=torch.long, device=d.device)
    for _ in range(n - 1):
        new = reach.masked_fill(done, torch.inf).argmin(1, keepdim=True)
        done = done.scatter(1, new, True)
        row = d.gather(1, new[:, :, None].expand(-1, 1, n)).squeeze(1)
        closer = (row < reach) & ~done
        reach, parent = torch.where(closer, row, reach), torch.where(closer, new, parent)
    edges = torch.zeros_like(d, dtype=torch.bool).scatter(2, parent[:, :, None], True)
    edges[:, 0] = False
    return edges | edges.transpose(1, 2)


@torch.no_grad()
def nearest(d: Tensor, k: int) -> Tensor:
    """The k nearest others of each position: distances (B, N, N) -> indices (B, N, k), nearest first; all others where there are
    fewer.

    >>> nearest(torch.tensor([[[0., 1., 5.], [1., 0., 2.], [5., 2., 0.]]]), 1).tolist()
    [[[1], [0], [1]]]
    """
    others = d.masked_fill(torch.eye(d.shape[1], dtype=torch.bool, device=d.device), torch.inf)
    return others.argsort(dim=2, stable=True)[:, :, :min(k, d.shape[1] - 1)]


def joined(d: Tensor, k: int) -> Tensor:
    """Which positions are among the k nearest of each other, either way: (B, N, N) -> symmetric booleans."""
    edges = torch.zeros_like(d, dtype=torch.bool).scatter(2, nearest(d, k), True)
    return edges | edges.transpose(1, 2)


def affinity_contrast(d: Tensor, neighbours: Tensor) -> Tensor:
    """Squared distances to the neighbours over those to all: distances (B, N, N), booleans (B, N, N) -> (B, N) in [0, 1]. Zero
    where all vectors are equal.

    >>> d = torch.tensor([[[0., 1., 2.], [1., 0., 1.], [2., 1., 0.]]])
    >>> affinity_contrast(d, spanning_tree(d)).tolist()
    [[0.20000000298023224, 1.0, 0.20000000298023224]]
    """
    squares = d.square()
    part, whole = (squares * neighbours).sum(2), squares.sum(2)
    return torch.where(whole > 0, part / whole.clamp(min=torch.finfo(d.dtype).tiny), 0)


def in_means(d: Tensor) -> Tensor:
    """Distances (B, N, N) in units of their mean over all pairs of an image; zero where all vectors are equal."""
    n = d.shape[1]
    return d / (d.sum((1, 2), keepdim=True) / (n * (n - 1))).clamp(min=torch.finfo(d.dtype).tiny)


@torch.no_grad()
def reconstruction_weights(x: Tensor, k: int, ridge: float) -> Tensor:
    """Locally linear embedding (Roweis, Saul, Science 2000): the weights, of sum one, by which each vector is best rebuilt from
    its k nearest: (B, N, C) -> (B, N, N), zero for all others. ``ridge`` times its trace is added to the diagonal of each local
    Gram matrix, as scikit-learn does."""
    near = nearest(distances(x), k)
    batch, n, k = near.shape
    others = x.gather(1, near.reshape(batch, n * k, 1).expand(-1, -1, x.shape[2])).reshape(batch, n, k, -1)
    offsets = others - x[:, :, None]
    gram = offsets @ offsets.transpose(2, 3)
    trace = gram.diagonal(dim1=2, dim2=3).sum(2)
    extra = ridge * torch.where(trace > 0, trace, 1)
    gram = gram + extra[:, :, None, None] * torch.eye(k, dtype=x.dtype, device=x.device)
    w = torch.linalg.solve_ex(gram, torch.ones(batch, n, k, 1, dtype=x.dtype, device=x.device))[0].squeeze(3)
    return torch.zeros(batch, n, n, dtype=x.dtype, device=x.device).scatter(2, near, w / w.sum(2, keepdim=True))


def reconstruction_error(x: Tensor, weights: Tensor) -> Tensor:
    """Mean over positions of ||x_i - sum_j w_ij x_j||^2, over the variance of the x_i: (B, N, C), (B, N, N) -> (B,)."""
    error = (x - weights @ x).square().sum(2).mean(1)
    variance = (x - x.mean(1, keepdim=True)).square().sum(2).mean(1)
    return torch.where(variance > 0, error / variance.clamp(min=torch.finfo(x.dtype).tiny), 0)
