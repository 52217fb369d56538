"""IDCCP: the group, exact invariance of whole networks, the method written out in NumPy, the orthogonal compression."""

import copy
import importlib
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch
from helpers import ALL, batch, settings_for, trains

from featuremining import METHODS, UsageError, build, compose, load, make
from featuremining.layers.covariance import untriu
from featuremining.layers.idccp import IDCCP, d4, signed_root
from featuremining.measuring.detail import around
from featuremining.measuring.insight import grad_cam
from featuremining.measuring.view import measure
from featuremining.models import options_of
from featuremining.protocol import plain_step
from featuremining.recipes import recipe
from featuremining.studies import Run

loop = importlib.import_module("featuremining.training.loop")

F64 = torch.float64
HEAD = {"name": "idccp", "root": "exact"}
SMALL = {"resnet20": {"depth": 8}, "preresnet20": {"depth": 8}, "wrn_16_4": {"depth": 10, "width": 1},
         "densenet_bc_100_12": {"depth": 16}, "pyramidnet_110_84": {"depth": 8, "alpha": 12}}
TRANSFORMS = [lambda x, k=k, m=m: torch.rot90(x.flip(-1) if m else x, k, (-2, -1)) for m in (False, True) for k in range(4)]


def images(n=3, size=5, c=2, seed=0):
    return torch.randn(n, c, size, size, dtype=F64, generator=torch.Generator().manual_seed(seed))


def copies(c=6, n=2, h=4, w=4, seed=0):
    return torch.randn(8 * n, c, h, w, dtype=F64, generator=torch.Generator().manual_seed(seed)).relu()


def pool(c=6, seed=0, **settings):
    torch.manual_seed(seed)
    return IDCCP(c, **{"share": 0.5, "root": "exact", **settings}).double()


# ------------------------------------------------------------------------------------------------ the group


def test_the_eight_copies_are_the_group_of_the_square():
    """All different, the image itself first, closed: a copy of a copy is one of them."""
    x = images(1)
    eight = d4(x)
    assert eight.shape == (8, 2, 5, 5) and torch.equal(eight[:1], x)
    assert all(not torch.equal(a, b) for i, a in enumerate(eight) for b in eight[:i])
    for one in eight:
        again = d4(one[None])
        assert all(any(torch.equal(a, b) for b in eight) for a in again)
    assert {tuple(t.flatten().tolist()) for t in eight} == {tuple(t(x).flatten().tolist()) for t in TRANSFORMS}


def test_copies_of_a_batch_stay_beside_each_other():
    x = images(3)
    for i in range(3):
        assert torch.equal(d4(x).unflatten(0, (8, 3))[:, i], d4(x[i:i + 1]))
    with pytest.raises(UsageError, match="have to be square, got 32 x 30"):
        d4(torch.zeros(1, 3, 32, 30))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_no_turning_and_no_mirroring_changes_a_network(name, training):
    """In training, too, since batch normalisation sees all copies. A plain covariance head, or the mean, is changed by most."""
    torch.manual_seed(0)
    net = build(name, 10, head=HEAD, **SMALL[name]).double().train(training)
    other = build(name, 10, head={"name": "covariance", "root": "exact", "d": 8}, **SMALL[name]).double().train(training)
    x = batch(3, size=16, dtype=F64).x
    with torch.no_grad():
        logits, plain = net(x), other(x)
        scale = logits.abs().max()
        for transform in TRANSFORMS:
            assert (net(transform(x)) - logits).abs().max() < 1e-9 * scale
        assert sum((other(t(x)) - plain).abs().max() > 1e-3 * plain.abs().max() for t in TRANSFORMS) == 7
        assert (logits[0] - logits[1]).abs().max() > 1e-3 * scale           # images are told apart


# ------------------------------------------------------------------------------------------------ the method written out


@pytest.mark.parametrize("roots", [1, 2])
@pytest.mark.parametrize("d", [None, 4])
@pytest.mark.parametrize("shape", [(4, 4), (2, 1)], ids=str)
def test_the_method_written_out(d, roots, shape):
    """Copy by copy, with NumPy's covariance and SciPy's root."""
    layer, x = pool(d=d, roots=roots), copies(h=shape[0], w=shape[1])
    w = layer.compress.weight.detach().numpy().T
    maps = x
    if d is not None:
        maps = torch.einsum("oc,bchw->bohw", layer.project.weight[:, :, 0, 0], x) + layer.project.bias[:, None, None]
    f = layer.average(maps).detach().numpy()
    for b in range(2):
        p = np.mean([np.cov(maps[2 * g + b].flatten(1).detach().numpy(), bias=True) for g in range(8)], axis=0)
        np.testing.assert_allclose(f[b] @ f[b].T, p, atol=1e-12)
        p = w.T @ (p / np.linalg.norm(p)) @ w
        for _ in range(roots):
            p = scipy.linalg.sqrtm(p).real
        v = p[np.triu_indices(len(p))]
        v = np.sign(v) * np.sqrt(np.abs(v) + 1e-12)
        np.testing.assert_allclose(layer(x)[b].detach().numpy(), v / np.linalg.norm(v), atol=2e-5 if shape == (2, 1) else 1e-9)


@pytest.mark.parametrize("root", ["newton_schulz", "svd_pade", {"name": "newton_schulz", "iterations": 3}], ids=str)
def test_other_roots_and_scale(root):
    """What is read has length one and does not depend on the scale of the maps, and its root is positive."""
    layer, x = pool(root=root), copies()
    out = layer(x)
    assert torch.allclose(out.norm(dim=1), torch.ones(2, dtype=F64)) and out.shape == (2, 6)
    assert torch.allclose(layer(100 * x), out, atol=1e-6)
    read = untriu(out.sign() * out.square())
    assert torch.linalg.eigvalsh(read).min() > -1e-9


def test_constant_and_zero_maps_have_finite_gradients():
    for root in ("exact", "newton_schulz"):
        layer = pool(root=root).float()
        for x in (torch.zeros(16, 6, 3, 3), torch.ones(16, 6, 3, 3), copies().float() * 1e-8):
            x.requires_grad_()
            out = layer(x)
            out.sum().backward()
            assert out.isfinite().all() and x.grad.isfinite().all()


@pytest.mark.parametrize("settings", [{}, {"d": 4}, {"roots": 2}, {"root": "newton_schulz"}], ids=str)
def test_gradients(settings):
    layer, x = pool(**settings), copies(n=1, h=3, w=3).requires_grad_()
    assert torch.autograd.gradcheck(layer, x)
    layer(x).square().sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    assert signed_root(torch.zeros(2)).tolist() == [0, 0]


# ------------------------------------------------------------------------------------------------ the compression


def test_98_percent_of_the_numbers_go():
    """As the abstract has it: 512 channels and a share of an eighth."""
    layer = IDCCP(512)
    assert layer.kept == 64 and layer.width == 2080 and 0.98 < 1 - layer.width / (512 * 513 // 2) < 0.985
    assert options_of("resnet20", head="idccp")["head.share"] == 0.125
    assert IDCCP(1024, d=512).width == 2080 and IDCCP(8, share=0.01).width == 1 and IDCCP(8, share=1.0).width == 36


@pytest.mark.parametrize("orthogonal", ["parametrised", "initial"])
def test_the_compression_is_orthogonal_through_the_training_or_at_its_start(orthogonal):
    torch.manual_seed(0)
    net = build("resnet20", 10, depth=8, head={**HEAD, "orthogonal": orthogonal})
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9, weight_decay=5e-4)
    def off():
        w = net.pool.compress.weight.detach().double()
        return (w @ w.T - torch.eye(8, dtype=F64)).norm().item()
    first = net.pool.compress.weight.detach().clone()
    assert off() < 1e-5
    for _ in range(4):
        optimizer.zero_grad()
        plain_step(net, batch(4)).losses["ce"].backward()
        optimizer.step()
    assert not torch.allclose(net.pool.compress.weight, first, atol=1e-4)
    assert (off() < 1e-5) is (orthogonal == "parametrised")


# ------------------------------------------------------------------------------------------------ in networks


def test_methods_see_the_image_itself_and_the_classifier_all_copies():
    torch.manual_seed(0)
    net, x = build("resnet20", 10, depth=8, head=HEAD).eval(), batch(3).x
    with torch.no_grad():
        trace = net.trace(x)
        assert [tuple(m.shape) for m in trace.maps] == [(3, 16, 32, 32), (3, 32, 16, 16), (3, 64, 8, 8)]
        assert torch.equal(trace.maps[-1], net.stages[2](net.stages[1](net.stages[0](net.stem(d4(x)))))[:3])
        assert torch.equal(trace.logits, net(x)) and trace.logits.shape == (3, 10) and trace.pooled.shape == (3, 36)
        doubled = net.trace(x, edits={2: lambda m: m * torch.linspace(1, 2, 64)[:, None, None]})
        assert not torch.allclose(doubled.logits, trace.logits, atol=1e-4)
    other = copy.deepcopy(net)
    other.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(other(x), net(x))


def test_all_before_the_head_is_drawn_as_without_it():
    torch.manual_seed(0)
    plain = build("resnet20", 10)
    torch.manual_seed(0)
    net = build("resnet20", 10, head=HEAD)
    assert all(torch.equal(p, q) for p, q in zip(plain.stages.parameters(), net.stages.parameters(), strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_it(name, tmp_path_factory):
    torch.manual_seed(0)
    net = build("resnet20", 10, head="idccp")
    trains(name, net, 4, tmp_path_factory)


def test_all_methods_together(tmp_path_factory):
    torch.manual_seed(0)
    net = build("resnet20", 10, head="idccp", insert=[{"layer": "gsop", "within": "stage3", "d": 8}])
    methods = [make(name, **settings_for(name, tmp_path_factory)).prepare(net) for name in ALL]
    assert all(loss.isfinite() for loss in compose(methods)(net, batch(4)).losses.values())


def test_a_training_with_it_and_gsop_is_on_record(scratch, monkeypatch):
    data = load("parts")
    few = data._replace(name="few", train_x=data.train_x[:64], train_y=data.train_y[:64], test_x=data.test_x[:45],
                        test_y=data.test_y[:45])
    monkeypatch.setattr("featuremining.training.run.load", lambda name, **changes: few)
    small = replace(recipe("resnet20", "smoke"), epochs=1, batch=32)
    options = {"depth": 8, "head": "idccp", "insert": [{"layer": "gsop", "within": "stage2", "d": 8}]}
    record = loop.train(Run("parts", "resnet20", (), small, "smoke", 0, options), "cpu")
    found = record.resolved["network"]
    assert found["head.share"] == 0.125 and found["head.root.iterations"] == 5
    assert found["insert"][0]["within"] == "stage2" and found["insert"][0]["d"] == 8 and not loop.outdated(record)


def test_half_precision_does_not_reach_the_root():
    torch.manual_seed(0)
    net, x = build("resnet20", 10, depth=8, head=HEAD).eval(), batch(2).x
    with torch.autocast("cpu", torch.bfloat16):
        trace = net.trace(x)
    assert trace.pooled.dtype == torch.float32 and torch.allclose(trace.pooled, net.trace(x).pooled, atol=0.1)
    torch.testing.assert_close(pool(precision="float64").float()(copies().float()).double(), pool()(copies()), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("network", "head", "says"), [
    ("resnet20", {"orthogonal": "qr"}, "no idccp setting orthogonal"), ("resnet20", {"roots": 3}, "no idccp setting roots"),
    ("resnet20", {"share": 0.0}, r"in \(0, 1\]"), ("resnet20", {"root": "sqrtm"}, "no root 'sqrtm'"),
    ("resnet20", {"channels": 3}, "no setting of head 'idccp' 'channels'"),
    ("resnet20", {"precision": "half"}, "no idccp setting precision"),
    ("timm/resnet18", {}, "this package")], ids=str)
def test_what_cannot_be_is_one_sentence(network, head, says):
    with pytest.raises(UsageError, match=says):
        build(network, 10, head={"name": "idccp", **head})
    with pytest.raises(UsageError, match="needs a network with head='covariance'"):
        make("fm", covariance=True).prepare(build("resnet20", 10, depth=8, head="idccp"))


def test_where_it_looks_is_of_the_images_alone():
    """Not of their turned copies: as the slope of the logit at the first of the eight."""
    torch.manual_seed(0)
    net = build("resnet20", 9, head="idccp", insert=[{"layer": "low_rank", "after": "stage2"}]).eval()
    x, y = torch.randn(2, 3, 32, 32), torch.tensor([1, 4])
    maps = grad_cam(net, x, y)
    assert maps.shape == (2, 8, 8)
    leaf = []

    def cut(a):
        leaf.append(a.detach().requires_grad_())
        return leaf[0].clone()

    net.trace(x, edits={2: cut}).logits.gather(1, y[:, None]).sum().backward()
    a, slope = leaf[0].detach()[:2], leaf[0].grad[:2]
    assert torch.allclose(maps, (slope.mean((2, 3))[:, :, None, None] * a).sum(1).relu(), atol=1e-7)
    assert all(len(part) == 2 for part in around(net, "stage2", x))
    assert measure(net, [(x, y)])["n"] == 2
