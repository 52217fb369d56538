"""Covariance pooling: roots and their gradients beside the peers' formulations, written here from their papers, and whole
training steps of networks with each head. B = 32, one thread, forward and backward from the features to the triangle and back.

Times are CPU seconds of this process, which has one thread: other processes change them little.
Peers from PyPI are measured where they are installed (`pip install spd-learn torchspd POT`, in an environment of their own: they
are no dependency), and left out elsewhere with a word.
"""

from importlib import import_module
from time import process_time

import torch
from bench import Row, endless, main, random_data, training
from torch import Tensor
from torch.autograd import Function

from featuremining.layers.covariance import factor, triu
from featuremining.layers.eigen_roots import pade_table
from featuremining.layers.roots import ROOTS, covariance_sqrt, matrix_sqrt
from featuremining.measuring.cost import ratio, side_by_side
from featuremining.training.engine import deterministic, keep_freed_memory

BATCH, PLACES = 32, 64
CPU = torch.device("cpu")
NETWORKS = {"mean": {}, **{root: {"head": {"name": "covariance", "root": root}} for root in ROOTS},         # options of `build`
            "gsop": {"insert": [{"layer": "gsop", "within": f"stage{i}"} for i in (1, 2, 3)]}, "idccp": {"head": "idccp"}}


def features(c: int, n: int = PLACES, batch: int = BATCH) -> Tensor:
    """(B, C, N), correlated and behind a ReLU."""
    g = torch.Generator().manual_seed(0)
    mix = torch.randn(batch, c, c, generator=g) / c**0.5
    return (mix @ torch.randn(batch, c, n, generator=g)).relu()


# --- the peers' formulations ------------------------------------------------------------------------------------------

def centring(n: int, dtype: torch.dtype) -> Tensor:
    return (torch.eye(n, dtype=dtype) - 1 / n) / n


def textbook(x: Tensor, iterations: int = 5) -> Tensor:
    """iSQRT-COV as arXiv:1712.01034 writes it: P = X I X^T, its trace, the coupled iteration, the compensation."""
    p = x @ centring(x.shape[-1], x.dtype) @ x.mT
    trace, eye = p.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None], torch.eye(p.shape[-1], dtype=x.dtype)
    y, z = p / trace, eye.expand_as(p)
    for _ in range(iterations):
        t = 0.5 * (3 * eye - z @ y)
        y, z = y @ t, t @ z
    return triu(trace.sqrt() * y)


class PublishedPade(Function):
    """SVD-Padé as arXiv:2105.02498 writes it: an SVD, and the [50/50] fraction in its K-matrix."""

    @staticmethod
    def forward(ctx, p: Tensor) -> Tensor:
        u, values, _ = torch.linalg.svd(p)
        values = values.clamp(min=torch.finfo(p.dtype).eps)
        ctx.save_for_backward(u, values)
        return u @ torch.diag_embed(values.sqrt()) @ u.mT

    @staticmethod
    def backward(ctx, g: Tensor):
        u, values = ctx.saved_tensors
        by_vectors = u.mT @ (g + g.mT) @ u @ torch.diag_embed(values.sqrt())
        by_values = 0.5 * values**-0.5 * (u.mT @ g @ u).diagonal(dim1=-2, dim2=-1)
        large, small = torch.maximum(values[:, :, None], values[:, None]), torch.minimum(values[:, :, None], values[:, None])
        r, (p, q) = small / large, pade_table()
        top, bottom, powers = torch.full_like(r, p[0]), torch.full_like(r, q[0]), torch.ones_like(r)
        for a, b in zip(p[1:], q[1:], strict=True):
            powers = powers * r
            top, bottom = top + a * powers, bottom + b * powers
        sign = torch.sign(values[:, :, None] - values[:, None])
        k = torch.where(sign == 0, 0, sign * top / bottom / large)                  # ties: as the gradient check of the authors
        inner = u @ (k.mT * by_vectors + torch.diag_embed(by_values)) @ u.mT
        return (inner + inner.mT) / 2


def svd_pade(x: Tensor) -> Tensor:
    """The whole layer in float64, as the authors have it."""
    x = x.double()
    return triu(PublishedPade.apply(x @ centring(x.shape[-1], x.dtype) @ x.mT)).float()


# --- ours -------------------------------------------------------------------------------------------------------------

def ours(root: str, dtype: torch.dtype = torch.float32, **settings):
    return lambda x: triu(covariance_sqrt(factor(x.to(dtype)), root, **settings)).float()


# --- measuring --------------------------------------------------------------------------------------------------------

def there_and_back(layer, x: Tensor):
    """A forward and a backward pass, as a piece of work; its gradient comes back."""
    g = torch.randn(layer(x).shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)

    def work() -> Tensor:
        leaf = x.detach().requires_grad_()
        layer(leaf).backward(g)
        return leaf.grad
    return work


def reference(x: Tensor) -> Tensor:
    """The gradient of `there_and_back` in closed form, float64, from singular values of the factor itself."""
    f = factor(x.double())
    c = x.shape[1]
    g = torch.randn(len(x), c * (c + 1) // 2, generator=torch.Generator().manual_seed(1), dtype=x.dtype).double()
    full = torch.zeros(len(x), c, c, dtype=torch.float64)
    full[:, *torch.triu_indices(c, c)] = g
    return back_to_columns(gradient_of_root(f, (full + full.mT) / 2), x.shape[-1])


def gradient_of_root(f: Tensor, g: Tensor) -> Tensor:
    """dL/dF of L = <G, (F F^T)^(1/2)> for symmetric G: F = U S V^T, and 2 Z F with the Lyapunov solution Z."""
    u, s, vt = torch.linalg.svd(f, full_matrices=False)
    live = s > 1e-13 * s[..., :1]
    u, s = u * live[..., None, :], s * live
    gu = g @ u
    a = u.mT @ gu
    share = torch.where(live[..., None, :] & live[..., :, None],
                        s[..., None, :] / (s[..., :, None] + s[..., None, :]).clamp(min=1e-300), 0)
    return 2 * (u @ (a * share) + gu - u @ a) @ vt


def back_to_columns(df: Tensor, n: int) -> Tensor:
    return (df - df.mean(-1, keepdim=True)) / n**0.5


def error(ours: Tensor, truth: Tensor) -> float:
    return ((ours.double() - truth).norm() / truth.norm()).item()


def roots() -> list[Row]:
    rows = []
    for c, goal, pade_goal in ((64, ">= 1.4", ">= 2.5"), (128, ">= 4", ""), (256, ">= 12", ">= 10")):
        x = features(c)
        layers = {"textbook": textbook, "newton_schulz": ours("newton_schulz"), "svd_pade": svd_pade,
                  "by eigenvalues": ours("newton_schulz", form="eigen"), "exact64": ours("exact", torch.float64),
                  "exact": ours("exact"), "mpa": ours("mpa"), "mtp": ours("mtp")}
        works = {name: there_and_back(layer, x) for name, layer in layers.items()}
        took = side_by_side(works, CPU, rounds=12, warm=1, clock=process_time)
        true, at = reference(x), f"C = {c}, 8 × 8"
        off = {name: error(work(), true) for name, work in works.items()}
        same = error(works["newton_schulz"](), works["textbook"]().double())
        exact, pade = (f"gradient off by {off[name]:.1e}" for name in ("exact64", "svd_pade"))
        for name, other, wanted, note in (
                ("newton_schulz", "textbook", goal, f"gradients {same:.1e} apart"),
                ("by eigenvalues", "textbook", "", "Newton-Schulz in its other form"),
                ("exact64", "svd_pade", pade_goal, f"{exact}, SVD-Padé's {pade}"), ("exact", "svd_pade", "", "float32"),
                ("exact", "newton_schulz", "", ""), ("exact", "mpa", "", ""), ("exact", "mtp", "", "")):
            value, low, high = ratio(took, other, name)
            rows.append(Row("roots", f"{name} over {other}, {at}", value, low=low, high=high, goal=wanted, note=note))
        rows.append(Row("roots", f"exact64: error of the gradient over SVD-Padé's, {at}", off["exact64"] / off["svd_pade"],
                        goal="<= 1", note=f"{off['exact64']:.1e} / {off['svd_pade']:.1e}"))
    return rows


def steps() -> list[Row]:
    data, rows = random_data(2048, 64), []
    for network in ("resnet20", "resnet56"):
        cases = {name: training(data, network=network, batch=BATCH, options=options) for name, options in NETWORKS.items()}
        inputs = {name: endless(ready) for name, ready in cases.items()}
        works = {name: lambda r=ready, i=inputs[name]: r.advance(next(i)) for name, ready in cases.items()}
        took = side_by_side(works, CPU, rounds=7, warm=1, clock=process_time)
        for name in list(NETWORKS)[1:]:
            slower, low, high = ratio(took, name, "mean")
            rows.append(Row("roots", f"{network}: a step with {name} over the mean's", slower, low=low, high=high,
                            note=f"{1000 * min(took['mean']):.0f} ms with the mean"))
    return rows


# --- peers from PyPI --------------------------------------------------------------------------------------------------

PEERS = {"spd-learn": ("spd_learn.functional", lambda m: m.matrix_sqrt.apply),
         "torchspd": ("torchspd", lambda m: m.sqrtm),
         "POT": ("ot.backend", lambda m: m.TorchBackend().sqrtm)}
SPECTRA = {"repeated": [1.0] * 4 + [0.5] * 4 + [0.1] * 8,
           "nearly equal": [1 + 1e-12 * i for i in range(8)] + [0.5 + 1e-9 * i for i in range(8)],
           "near zero": [1.0, 0.5, 0.2, 0.1] + [1e-10] * 4 + [1e-14, 1e-15, 1e-16, 1e-18] * 2}


def spectra_factor(values: list[float]) -> Tensor:
    """F (d, d) with F F^T of these eigenvalues."""
    g = torch.Generator().manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(len(values), len(values), generator=g, dtype=torch.float64))[0] for _ in range(2))
    return u * torch.tensor(values, dtype=torch.float64).sqrt() @ v.mT


def through(root, f: Tensor, g: Tensor) -> Tensor:
    leaf = f.clone().requires_grad_()
    (root(leaf) * g).sum().backward()
    return leaf.grad


def peers() -> list[Row]:
    rows, found = [], {}
    for name, (module, get) in PEERS.items():
        try:
            found[name] = get(import_module(module))
        except ImportError:
            print(f"{name}: not measured, it is not installed")
    if not found:
        return rows
    for spectrum, values in SPECTRA.items():
        f = spectra_factor(values)
        g = torch.randn(len(f), len(f), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        g, true = (g + g.mT) / 2, gradient_of_root(f, (g + g.mT) / 2)
        ways = {"exact_factor": lambda f: covariance_sqrt(f, "exact_factor"), "exact": lambda f: matrix_sqrt(f @ f.mT)}
        ways |= {name: lambda f, root=root: root(f @ f.mT) for name, root in found.items()}
        off = {name: error(through(way, f, g), true) for name, way in ways.items()}
        best, note = min(off[name] for name in found), ", ".join(f"{name} {value:.1e}" for name, value in off.items())
        for mine, goal in (("exact_factor", "<= 1"), ("exact", "")):
            rows.append(Row("roots, peers", f"{mine}: error of the gradient over the best peer's, eigenvalues {spectrum}",
                            off[mine] / best, goal=goal, note=note))
    x = features(256).double()
    layers = {"exact": ours("exact", torch.float64), "exact_factor": ours("exact_factor", torch.float64)}
    layers |= {"exact, from P": ours("exact", torch.float64, gram=False)}
    layers |= {name: (lambda x, root=root: triu(root((f := factor(x)) @ f.mT)).float()) for name, root in found.items()}
    works = {name: there_and_back(layer, x) for name, layer in layers.items()}
    took = side_by_side(works, CPU, rounds=7, warm=1, clock=process_time)
    for mine, goal in (("exact", ">= 2"), ("exact_factor", ""), ("exact, from P", "")):
        for name in found:
            value, low, high = ratio(took, name, mine)
            rows.append(Row("roots, peers", f"{mine} over {name}, C = 256, 8 × 8, float64", value, low=low, high=high, goal=goal))
    return rows


def measure() -> list[Row]:
    torch.set_num_threads(1)
    deterministic()
    keep_freed_memory()
    return [*roots(), *steps(), *peers()]


if __name__ == "__main__":
    main(measure)
