"""Low-rank recovery against proximal gradient, a plain Lagrangian loop and NumPy's singular values; what the layer promises."""

import json

import numpy as np
import pytest
import torch
from helpers import ALL, batch, settings_for

from featuremining import UsageError, build, compose, make
from featuremining.layers import low_rank
from featuremining.layers.low_rank import LowRankRecovery, informative, low_rank_projection, robust_projection, scores
from featuremining.models import options_of

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def objective(p, a, tau):
    return torch.linalg.matrix_norm(p, "nuc") + tau / 2 * (a - p @ a).square().sum()


# ------------------------------------------------------------------------------------------------ the closed form


@pytest.mark.parametrize(("d", "n", "tau"), [(6, 20, 0.2), (6, 3, 1.0), (5, 5, 0.05)])
def test_the_projection_is_what_proximal_gradient_finds(d, n, tau):
    """And what no perturbation improves; its rank counts the singular values above 1 / sqrt(tau)."""
    a = normal(d, n)
    p = low_rank_projection(a, tau)
    gram, found = a @ a.T, torch.zeros(d, d, dtype=F64)
    step = 1 / (tau * torch.linalg.eigvalsh(gram)[-1])
    for _ in range(3000):
        u, s, v = torch.linalg.svd(found - step * tau * (found @ gram - gram))
        found = u @ torch.diag((s - step).clamp(min=0)) @ v
    torch.testing.assert_close(p, found, atol=1e-7, rtol=0)
    least = objective(p, a, tau)
    assert all(objective(p + e * normal(d, d, seed=s), a, tau) >= least for s in range(20) for e in (1e-1, 1e-3))
    singular = np.linalg.svd(a.numpy(), compute_uv=False)
    assert np.linalg.matrix_rank(p.numpy(), hermitian=True) == (singular > tau**-0.5).sum()


def test_symmetric_with_eigenvalues_below_one():
    p = low_rank_projection(normal(3, 6, 10), 10.0)
    torch.testing.assert_close(p, p.mT)
    values = torch.linalg.eigvalsh(p)
    assert values.min() > -1e-12 and values.max() < 1


def test_what_is_of_low_rank_stays_and_zero_gives_zero():
    a = normal(8, 2) @ normal(2, 30, seed=1)
    torch.testing.assert_close(low_rank_projection(a, 1e9) @ a, a, atol=1e-6, rtol=0)
    assert low_rank_projection(torch.zeros(4, 9), 1.0).eq(0).all()


def test_noise_is_taken_away():
    """A fifth of the signal's size: nearer to the signal than before."""
    signal = normal(32, 3) @ normal(3, 200, seed=1)
    a = signal + 0.2 * signal.std() * normal(32, 200, seed=2)
    p = low_rank_projection(a, 1 / (0.1 * torch.linalg.matrix_norm(a, 2)) ** 2)
    assert (p @ a - signal).norm() < 0.7 * (a - signal).norm()


# ------------------------------------------------------------------------------------------------ the robust form


@pytest.mark.parametrize("lam", [0.3, 1.0, 3.0])
def test_the_robust_projection_is_what_a_plain_loop_finds(lam):
    """In value, by exact Lagrangian steps of two blocks with a constant penalty, in NumPy."""
    d, n = 8, 30
    a = (normal(d, 2) @ normal(2, n, seed=1)).numpy()
    a[:, :3] += 5 * normal(d, 3, seed=2).numpy()
    a /= np.linalg.norm(a, 2)
    value = lambda p: np.linalg.norm(p, "nuc") + lam * np.linalg.norm(a - p @ a, axis=0).sum()  # noqa: E731
    p, e, y, z = np.zeros((d, d)), np.zeros((d, n)), np.zeros((d, n)), np.zeros((d, d))
    for _ in range(2000):
        u, s, v = np.linalg.svd(p + z)
        j = u @ np.diag(np.maximum(s - 1, 0)) @ v
        rest = a - p @ a + y
        size = np.linalg.norm(rest, axis=0)
        e = rest * np.maximum(size - lam, 0) / np.maximum(size, 1e-300)
        p = ((a - e + y) @ a.T + j - z) @ np.linalg.inv(np.eye(d) + a @ a.T)
        y, z = y + a - p @ a - e, z + p - j
    ours, wrong = robust_projection(torch.tensor(a), lam)
    assert value(p) <= value(ours.numpy()) * (1 + 1e-9) and value(ours.numpy()) < 1.005 * value(p)
    torch.testing.assert_close(torch.tensor(a) - ours @ torch.tensor(a), wrong, atol=1e-3, rtol=0)


def test_wrong_columns_are_found():
    a = normal(16, 2) @ normal(2, 60, seed=1)
    a[:, 7] += 10 * normal(16, seed=2)
    p, e = robust_projection(a, 0.5)
    torch.testing.assert_close(e, a - p @ a, atol=1e-2, rtol=0)         # in the size of A
    torch.testing.assert_close(robust_projection(3 * a, 0.5)[1], 3 * e)
    assert e.norm(dim=0).argmax() == 7 and e.shape == a.shape and robust_projection(torch.zeros(2, 3, 5), 1.0)[0].eq(0).all()


# ------------------------------------------------------------------------------------------------ selection and layout


def test_informative_maps():
    x = torch.zeros(1, 4, 2, 2)
    x[0, 1, 0, 0], x[0, 2] = 3, torch.tensor([[1.0, 0], [0, 1]])
    x[0, 3] = x[0, 2]
    expected = {"variance": [0, 27 / 16, 0.25, 0.25], "energy": [0, 3, 2, 2], "entropy": [0, 0, np.log(2), np.log(2)],
                "nuclear": [0, 3, 2, 2]}
    for by, values in expected.items():
        np.testing.assert_allclose(scores(x, by)[0].numpy(), values, atol=1e-6)
    assert torch.equal(informative(x, 0.5, "variance"), x[:, [1, 2]])
    assert informative(x, 0.5 + 1e-12, "variance").shape[1] == 2 and informative(x, 0.51, "variance").shape[1] == 3


@pytest.mark.parametrize("mode", ["batch", "image"])
def test_columns_are_whole_maps_or_columns_of_maps(mode):
    x, layer = normal(2, 3, 4, 5), LowRankRecovery(mode)
    columns = layer.columns(x)
    if mode == "batch":
        assert torch.equal(columns[0], torch.stack([m.flatten() for image in x for m in image], 1))
    else:
        assert torch.equal(columns, torch.stack([torch.cat(list(image), 1) for image in x]))
    assert torch.equal(layer.maps(columns, x.shape), x)


# ------------------------------------------------------------------------------------------------ the layer


@pytest.mark.parametrize("mode", ["batch", "image"])
@pytest.mark.parametrize(("centre", "solver"), [(True, "closed"), (False, "closed"), (True, "robust")])
def test_recovered_is_p_of_what_is_above_the_mean(mode, centre, solver):
    """By a loop over problems in NumPy."""
    x = normal(2, 4, 5, 5)
    layer = LowRankRecovery(mode, centre=centre, solver=solver, **({"rho": 0.3} if solver == "closed" else {}))
    y = layer(x)
    problems = [x] if mode == "batch" else x.split(1)
    for ours, part in zip([y] if mode == "batch" else y.split(1), problems, strict=True):
        chosen, whole = (layer.columns(m)[0].numpy() for m in (informative(part, 0.5, "variance"), part))
        m = chosen.mean(1, keepdims=True) * centre
        if solver == "closed":
            u, s, _ = np.linalg.svd(chosen - m, full_matrices=False)
            p = u @ np.diag(np.maximum(1 - (0.3 * s[0] / np.maximum(s, 1e-300)) ** 2, 0)) @ u.T
        else:
            p = robust_projection(torch.tensor(chosen - m), 0.5)[0].numpy()
        np.testing.assert_allclose(layer.columns(ours)[0].numpy(), m + p @ (whole - m), atol=1e-8)


def test_the_gradient_passes_p_transposed_and_stops_at_p():
    """Residual: (1 - g) G + g P^T G."""
    for gate in (1.0, 0.3):
        x, g = normal(2, 4, 3, 3).requires_grad_(), normal(2, 4, 3, 3, seed=1)
        layer = LowRankRecovery(gate=gate)
        (grad,) = torch.autograd.grad((layer(x) * g).sum(), x)
        p = layer.subspace
        expected = (1 - gate) * g + gate * layer.maps((p.T @ layer.columns(g)[0])[None], g.shape)
        torch.testing.assert_close(grad, expected)
        assert not p.requires_grad and not list(layer.parameters())


def test_evaluation_is_one_affine_map():
    layer = LowRankRecovery(centre=False)
    layer(normal(4, 6, 3, 3))
    x, y = normal(2, 6, 3, 3, seed=1), normal(2, 6, 3, 3, seed=2)
    layer.eval()
    torch.testing.assert_close(layer(2 * x - 3 * y), 2 * layer(x) - 3 * layer(y))
    torch.testing.assert_close(layer(x)[:1], layer(x[:1]))
    offset = LowRankRecovery()
    offset(normal(4, 6, 3, 3))
    offset.eval()
    torch.testing.assert_close(offset(2 * x - y), 2 * offset(x) - offset(y))         # 2 - 1 = 1: affine
    assert not torch.allclose(offset(2 * x), 2 * offset(x))


@pytest.mark.parametrize("mode", ["batch", "image"])
def test_the_generalised_subspace_is_the_average_of_all_learnt(mode):
    """Over batches of unequal size too; equal ones stay; the forgetting average starts at the first."""
    layer, learnt = LowRankRecovery(mode), []
    for n, seed in ((2, 0), (3, 1), (1, 2)):
        x = normal(n, 6, 4, 4, seed=seed)
        learnt += list(zip(*layer.learn(x), strict=True))
        layer(x)
    for name, i in (("subspace", 0), ("offset", 1)):
        torch.testing.assert_close(getattr(layer, name), torch.stack([one[i] for one in learnt]).mean(0))
    same = LowRankRecovery(mode)
    for _ in range(3):
        same(normal(1, 6, 4, 4))
    torch.testing.assert_close(same.subspace, same.learn(normal(1, 6, 4, 4))[0][0])
    ema, (a, b) = LowRankRecovery(average="ema", momentum=0.75), (normal(2, 6, 4, 4, seed=s) for s in (0, 1))
    ema(a)
    ema(b)
    torch.testing.assert_close(ema.subspace, 0.75 * ema.learn(a)[0][0] + 0.25 * ema.learn(b)[0][0])


def test_of_the_last_epoch_alone():
    """Its first batch is learnt of, even if that would not be due; other averages go on."""
    (a, b, c), layers = (normal(2, 6, 4, 4, seed=s) for s in (0, 1, 2)), {}
    for average in ("mean", "ema", "epoch"):
        layer = layers[average] = LowRankRecovery(average=average, update_every=2)
        layer(a)
        layer.begin_epoch()
        layer(b)
        layer(c)
    last = layers["epoch"]
    torch.testing.assert_close(last.subspace, last.learn(b)[0][0])
    assert (last.learnt, layers["mean"].learnt, layers["ema"].learnt) == (1, 2, 2)
    last.begin_epoch()
    assert last.eval()(a) is a


def test_updates_are_as_rare_as_asked():
    layer, xs = LowRankRecovery(update_every=2), [normal(2, 6, 4, 4, seed=s) for s in range(3)]
    first, second, third = (layer(x) for x in xs)
    p, offset = layer.learn(xs[0])
    torch.testing.assert_close(second, layer.maps(p @ layer.columns(xs[1]) + offset[..., None], xs[1].shape))
    torch.testing.assert_close(layer.subspace, (p[0] + layer.learn(xs[2])[0][0]) / 2)
    torch.testing.assert_close(third, LowRankRecovery()(xs[2]))
    assert first.shape == xs[0].shape


def test_nothing_learnt_nothing_changed_and_states_travel():
    layer, x = LowRankRecovery(update_every=2), normal(2, 6, 4, 4)
    assert layer.eval()(x) is x
    layer.train()(x)
    copy = LowRankRecovery(update_every=2)
    copy.load_state_dict(layer.state_dict())
    assert torch.equal(copy.eval()(x), layer.eval()(x)) and copy.learnt == 1
    assert torch.equal(copy.train()(x), layer.train()(x))          # neither is due
    with pytest.raises(UsageError, match="images keep the size"):
        copy.eval()(normal(1, 6, 5, 5))
    with pytest.raises(UsageError, match="images keep their size"):
        low_rank.LowRankRecovery.remember(copy, torch.zeros(1, 9, 9), torch.zeros(1, 9))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("settings", [{}, {"select": "nuclear"}, {"solver": "robust"}], ids=str)
def test_half_precision_learns_in_full(settings, dtype):
    layer, x = LowRankRecovery(relu=True, **settings), normal(2, 6, 4, 4).to(dtype)
    with torch.autocast("cpu", dtype):
        y = layer(x)
    assert y.dtype == dtype and layer.subspace.dtype == torch.float32 and y.min() >= 0


@pytest.mark.parametrize("settings", [{}, {"mode": "image"}, {"solver": "robust"}, {"mode": "image", "solver": "robust"},
                                      {"select": "nuclear"}, {"select": "entropy"}], ids=str)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_maps_that_are_not_finite_stay_so(settings, value):
    """The loop then says that the training diverged; nothing else is raised on the way. Of an image's own subspace the others
    see nothing."""
    x = normal(3, 6, 4, 4)
    x[0, 0, 0, 0] = value
    y = LowRankRecovery(**settings)(x)
    assert y[0].isnan().any()
    if settings.get("mode") == "image":
        torch.testing.assert_close(y[1:], LowRankRecovery(**settings)(x[1:]))


@pytest.mark.parametrize("settings", [{}, {"mode": "image"}, {"update_every": 2}], ids=str)
def test_of_no_image_nothing_is_learnt(settings):
    layer, x = LowRankRecovery(**settings), normal(2, 6, 4, 4)
    assert layer(x[:0]).shape == (0, 6, 4, 4) and layer.learnt == 0
    layer(x)
    learnt = layer.subspace.clone()
    assert layer(x[:0]).shape == (0, 6, 4, 4) and torch.equal(layer.subspace, learnt)


@pytest.mark.parametrize(("settings", "says"), [
    ({"mode": "all"}, "all"), ({"select": "size"}, "size"), ({"share": 0.0}, "share lies in"), ({"rho": 1.0}, "rho in"),
    ({"update_every": 0}, "update_every is 1"), ({"lam": 0.0}, "lam positive"), ({"average": "sum"}, "sum"),
    ({"solver": "x"}, "x"), ({"momentum": 0.9}, "momentum = 0.9 would change nothing here; it needs average 'ema'"),
    ({"lam": 0.2}, "lam = 0.2 would .* solver 'robust'"),
    ({"solver": "robust", "rho": 0.2}, "rho = 0.2 would .* solver 'closed'"),
    ({"share": 1.0, "select": "energy"}, "select = 'energy' would .* share below 1")])
def test_bad_settings_are_one_sentence(settings, says):
    with pytest.raises(UsageError, match=says):
        LowRankRecovery(**settings)


# ------------------------------------------------------------------------------------------------ in a network


INSERT = [{"layer": "low_rank", "after": "stage2", "update_every": 2}, {"layer": "low_rank", "after": "stage3", "gate": 0.5}]


def test_it_stands_behind_its_stage_and_nothing_else_changes():
    """Equal seeds, equal weights; the map that methods see is the recovered one; keys only grow."""
    nets = []
    for insert in ((), INSERT):
        torch.manual_seed(0)
        nets.append(build("resnet20", 10, insert=insert))
    plain, net = nets
    assert all(torch.equal(net.state_dict()[k], v) for k, v in plain.state_dict().items())
    assert {k.split(".")[0] for k in net.state_dict().keys() - plain.state_dict().keys()} == {"inserted"}
    torch.testing.assert_close(net.eval()(batch().x), plain.eval()(batch().x))                      # nothing learnt yet
    maps = net.train().maps(batch().x)
    before = plain.train().stages[1](maps[0])
    learner = LowRankRecovery()
    torch.testing.assert_close(maps[1], learner(before))
    after = net.stages[2](maps[1])
    torch.testing.assert_close(maps[2], LowRankRecovery(gate=0.5)(after), rtol=1e-3, atol=1e-4)     # batch statistics moved once


def test_options_are_recorded_with_their_defaults():
    found = options_of("resnet20", insert=INSERT)["insert"]
    assert json.loads(json.dumps(found)) == found
    assert found[0]["rho"] == 0.1 and found[0]["update_every"] == 2 and found[1]["update_every"] == 1
    assert "insert" not in options_of("resnet20")


@pytest.mark.parametrize("names", [["fm"], ["mixup"], ["ical"], ["fm", "mixup"], ALL], ids=lambda n: "+".join(n[:2]))
def test_it_goes_with_methods(names, tmp_path_factory):
    torch.manual_seed(0)
    net = build("resnet20", 10, insert=INSERT[:1])
    methods = [make(name, **settings_for(name, tmp_path_factory)).prepare(net) for name in names]
    out = compose(methods)(net, batch(8))
    sum(out.losses.values()).backward()
    assert all(v.isfinite() for v in out.losses.values()) and all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize(("network", "insert", "says"), [
    ("resnet20", [{"layer": "low_rank"}], "lacks after"), ("resnet20", [{"layer": "lowrank", "after": "stage1"}], "low_rank"),
    ("resnet20", [{"layer": "low_rank", "after": "stage4"}], "stage3"), ("resnet20", [INSERT[0]] * 2, "only one layer"),
    ("resnet20", [{"layer": "low_rank", "after": "stem", "rank": 3}], "setting of low_rank"),
    ("timm/resnet18", INSERT, "networks of this package")])
def test_what_does_not_fit_is_one_sentence(network, insert, says):
    with pytest.raises(UsageError, match=says):
        build(network, 10, insert=insert)
