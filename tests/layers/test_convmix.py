"""ConvMix and the unit classifier: written-out mixtures, the identity start, what is on record, every network and method."""

import importlib
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import ALL, batch, settings_for, trains

from featuremining import METHODS, UsageError, build, compose, load, make, paths, plain_step
from featuremining.layers.convmix import ConvMix, mix_vectors, pooled, spread
from featuremining.layers.unit_classifier import UnitClassifier, unit_logits
from featuremining.methods.ical import mean_cosine
from featuremining.models import options_of
from featuremining.recipes import recipe
from featuremining.studies import Run

T = importlib.import_module("featuremining.training.loop")
F64 = torch.float64
NEIGHBOURS = (paths.ROOT / "book/neighbours.md").read_text(encoding="utf-8")
PAGES = [(paths.ROOT / f"book/methods/{name}.md").read_text(encoding="utf-8") for name in ("low_rank", "convmix")]
MODES = [{"mode": "map"}, {"mode": "map", "pool": "max"}, {"mode": "map", "pool": "both"}, {"mode": "vector"}]


def some_maps(channels=(2, 3, 6), sizes=(8, 4, 4), b=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(b, c, n, n, dtype=F64, generator=g) for c, n in zip(channels, sizes, strict=True)]


@pytest.mark.parametrize("settings", MODES, ids=str)
def test_the_mixture_written_out(settings):
    """With weights of their own, in loops."""
    torch.manual_seed(0)
    maps, layer = some_maps(), ConvMix((2, 3, 6), **settings).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.normal_()
    if settings["mode"] == "vector":
        expected = sum(w * x.mean((2, 3)) @ a.T for w, a, x in zip(layer.weights, layer.projections, maps, strict=True))
        torch.testing.assert_close(layer(maps), expected)
        return
    parts = []
    for x in maps:
        n = x.shape[2] // 4
        windows = x.reshape(2, -1, 4, n, 4, n)
        parts += [windows.mean((3, 5))] if settings.get("pool", "avg") != "max" else []
        parts += [windows.amax((3, 5))] if settings.get("pool", "avg") != "avg" else []
    whole = torch.cat(parts, 1)
    z = torch.einsum("oc,bchw->bohw", layer.weight[:, :, 0, 0], whole)
    norm = layer.after[0]
    z = (z - z.mean((0, 2, 3), keepdim=True)) / (z.var((0, 2, 3), correction=0, keepdim=True) + norm.eps).sqrt()
    z = (z * norm.weight[:, None, None] + norm.bias[:, None, None]).relu()
    torch.testing.assert_close(layer.mixed(maps), z)
    torch.testing.assert_close(layer(maps), z.mean((2, 3)))


def test_mixing_does_not_depend_on_the_order_of_stages():
    vectors, weights = [torch.randn(2, 4, dtype=F64) for _ in range(3)], torch.randn(3, dtype=F64)
    order = [2, 0, 1]
    torch.testing.assert_close(mix_vectors([vectors[i] for i in order], weights[order]), mix_vectors(vectors, weights))


@pytest.mark.parametrize(("c_in", "c_out"), [(2, 6), (6, 6), (6, 2), (4, 6)])
def test_spread_channels_keep_the_mean_and_are_the_identity_where_equal(c_in, c_out):
    a = spread(c_in, c_out)
    np.testing.assert_allclose(a.sum(1), 1, rtol=1e-6)
    assert a.shape == (c_out, c_in) and (c_in != c_out or torch.equal(a, torch.eye(c_in)))


@pytest.mark.parametrize("size", [(4, 4), (3, 5)])
def test_pooling_is_adaptive_pooling(size):
    x = torch.randn(1, 2, 8, 8)
    for pool in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
        torch.testing.assert_close(pooled(x, size, pool), pool(x, size))
        assert pooled(x, x.shape[2:], pool) is x            # no copy


@pytest.mark.parametrize("network", ["resnet20", "preresnet20"])
@pytest.mark.parametrize("settings", [m for m in MODES if m.get("pool", "avg") != "max"], ids=str)
def test_the_identity_start_is_the_plain_network(network, settings):
    """To the last digits that a sum may differ in, and the earlier weights can still learn."""
    torch.manual_seed(0)
    plain = build(network, 10)
    torch.manual_seed(0)
    net = build(network, 10, head={"name": "convmix", "init": "identity", **settings})
    out = plain_step(net, batch())
    torch.testing.assert_close(out.trace.logits, plain(batch().x), rtol=1e-4, atol=1e-4)
    out.losses["ce"].backward()
    learns = net.pool.weights if settings["mode"] == "vector" else net.pool.weight
    assert learns.grad.abs().flatten(1).sum(1).all() if learns.dim() > 1 else learns.grad.all()


@pytest.mark.parametrize("settings", MODES, ids=str)
def test_gradient_reaches_every_stage_through_the_mixture(settings):
    """From the uniform start, one step from each stage's map to the loss; parameters as many as said."""
    torch.manual_seed(0)
    net = build("resnet20", 10, head={"name": "convmix", **settings})
    maps = [m.detach().requires_grad_() for m in net.maps(batch().x)]
    net.head(net.pool(maps)).square().sum().backward()
    assert all(m.grad.any() for m in maps)
    extra = sum(p.numel() for p in net.pool.parameters())
    assert extra == {"map": (2 if settings.get("pool") == "both" else 1) * 112 * 64 + 128, "vector": 112 * 64 + 3}[
        settings["mode"]]


@pytest.mark.parametrize("settings", MODES, ids=str)
def test_any_resolution_and_one_graph(settings):
    torch.manual_seed(0)
    net = build("resnet20", 10, depth=8, head={"name": "convmix", **settings}).eval()
    assert net(batch(size=48).x).shape == (6, 10)
    compiled = torch.compile(net, fullgraph=True, dynamic=False, backend="eager")
    torch.testing.assert_close(compiled(batch().x), net(batch().x))


def test_shares_are_those_of_the_weights():
    uniform = ConvMix((4, 4), mode="vector")
    torch.testing.assert_close(uniform.shares(), torch.tensor([0.5, 0.5]))
    for mode in ("map", "vector"):
        assert ConvMix((2, 3, 6), mode, init="identity").shares().tolist() == [0, 0, 1]


def test_the_shares_are_on_record(scratch, monkeypatch):
    data = load("parts")._replace(name="few")
    few = data._replace(train_x=data.train_x[:64], train_y=data.train_y[:64], test_x=data.test_x[:45], test_y=data.test_y[:45])
    monkeypatch.setattr("featuremining.training.run.load", lambda name, **changes: few)
    small = replace(recipe("resnet20", "smoke"), epochs=1, batch=32)
    record = T.train(Run("parts", "resnet20", (), small, "smoke", 0, {"depth": 8, "head": {"name": "convmix"}}), "cpu")
    shares = [record.curves[f"convmix.stage{i}"][0] for i in (1, 2, 3)]
    assert math.isclose(sum(shares), 1, abs_tol=1e-4) and record.resolved["network"]["head.mode"] == "map"


# ------------------------------------------------------------------------------------------------ the unit classifier


def test_class_vectors_have_length_one():
    x, v = torch.randn(4, 7, dtype=F64), torch.randn(3, 7, dtype=F64)
    expected = [[float(a @ b / b.norm()) for b in v] for a in x]
    torch.testing.assert_close(unit_logits(x, v), torch.tensor(expected, dtype=F64))
    torch.testing.assert_close(unit_logits(x, v * torch.tensor([[2.0], [0.1], [9.0]])), unit_logits(x, v))


@pytest.mark.parametrize("renormalise", [False, True])
def test_lengths_are_free_or_brought_back(renormalise):
    layer = UnitClassifier(5, 3, renormalise)
    torch.testing.assert_close(layer.weight.norm(dim=1), torch.ones(3))
    with torch.no_grad():
        layer.weight.mul_(2)
    layer.eval()(torch.ones(2, 5))
    assert torch.allclose(layer.weight.norm(dim=1), torch.tensor(2.0))          # evaluation writes nothing
    layer.train()(torch.ones(2, 5)).sum().backward()
    length = layer.weight.detach().norm(dim=1)
    torch.testing.assert_close(length, torch.ones(3) * (1 if renormalise else 2))
    assert (layer.weight.grad * layer.weight).sum(1).abs().max() < 1e-5 and not hasattr(layer, "bias")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("renormalise", [False, True])
def test_every_method_trains_it(name, renormalise, tmp_path_factory):
    """Also those that pass twice through the network before the gradient is taken."""
    torch.manual_seed(0)
    trains(name, build("resnet20", 10, depth=8, head={"name": "unit", "renormalise": renormalise}), 8, tmp_path_factory)


def test_the_penalty_s_gradient_outlives_another_pass(tmp_path_factory):
    """External images pass through the network after the penalty has read the class vectors."""
    net = build("resnet20", 10, depth=8, head={"name": "unit", "renormalise": True})
    settings = settings_for("geometric", tmp_path_factory)
    step = compose([make("geometric", **settings, external="parts", external_batch=4).prepare(net), make("ical").prepare(net)])
    sum(step(net, batch(8)).losses.values()).backward()
    assert net.head.weight.grad.isfinite().all()


def test_the_penalty_reads_its_vectors():
    torch.manual_seed(0)
    net = build("resnet20", 10, head="unit")
    out = make("ical", weight=2.0).prepare(net).step(plain_step, net, batch())
    torch.testing.assert_close(out.losses["ical"], 2 * mean_cosine(net.head.weight))
    assert options_of("resnet20", head="unit") == {**options_of("resnet20"), "head.name": "unit", "head.renormalise": False}


# ------------------------------------------------------------------------------------------------ with all others


@pytest.mark.parametrize("head", [*({"name": "convmix", **m} for m in MODES[::3]), {"name": "unit"}], ids=str)
@pytest.mark.parametrize("names", [("fm",), ("mixup",), ("fm", "mixup"), tuple(ALL)], ids=lambda n: "+".join(n[:2]))
def test_heads_go_with_methods_and_with_recovery(head, names, tmp_path_factory):
    torch.manual_seed(0)
    net = build("resnet20", 10, head=head, insert=[{"layer": "low_rank", "after": "stage3"}])
    methods = [make(name, **settings_for(name, tmp_path_factory)).prepare(net) for name in names]
    out = compose(methods)(net, batch(8))
    sum(out.losses.values()).backward()
    assert all(v.isfinite() for v in out.losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for m in (net, *methods) for p in m.parameters())


@pytest.mark.parametrize(("network", "head", "says"), [
    ("resnet20", {"name": "convmix", "mode": "sum"}, "sum"), ("resnet20", {"name": "convmix", "pool": "min"}, "min"),
    ("resnet20", {"name": "convmix", "mode": "vector", "pool": "max"}, "needs mode 'map'"),
    ("resnet20", {"name": "convmix", "width": 3}, "setting of head 'convmix'"),
    ("timm/resnet18", {"name": "convmix"}, "this package"),
    ("timm/resnet18", {"name": "unit"}, "this package")])
def test_what_does_not_fit_is_one_sentence(network, head, says):
    with pytest.raises(UsageError, match=says):
        build(network, 10, head=head)
    with pytest.raises(UsageError, match="two stages or more"):
        ConvMix((4,))


def test_the_page_of_neighbours_states_their_parameters():
    def count(**options):
        return sum(p.numel() for p in build("resnet20", 100, **options).parameters())

    plain = count()
    more = [count(head=head) - plain for head in ("convmix", {"name": "convmix", "mode": "vector"}, "covariance")]
    assert [f"{n:,}" in NEIGHBOURS for n in more] == [True] * 3 and count(head="unit") == plain - 100
    assert [f"{n:,}" in PAGES[1] for n in more[:2]] == [True] * 2
    assert count(insert=[{"layer": "low_rank", "after": "stage2"}]) == plain
    mined = sum(p.numel() for p in make("fm", layers=2).prepare(build("resnet20", 100)).parameters())
    assert f"{mined:,} in training" in NEIGHBOURS


@pytest.mark.parametrize("page", PAGES, ids=["low_rank", "convmix"])
def test_the_code_of_a_layers_page_runs(page):
    (code,), scope = re.findall(r"```python\n(.+?)```", page, re.S), {}
    exec(code, scope)
    assert scope["logits"].shape == (8, 100)
