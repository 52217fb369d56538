"""BYOT: equality with the paper's loss written out, where its gradients end, what it predicts with, a whole training."""

import importlib
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
import torchvision
from helpers import batch
from torch import nn

from featuremining import Tapped, UsageError, build, compose, load, make, plain_step
from featuremining.methods.byot import BYOT, halvings
from featuremining.models.staged import StagedNet, map_sizes
from featuremining.recipes import recipe
from featuremining.studies import Run


def prepared(dtype=torch.float32, network="resnet20", **settings):
    torch.manual_seed(0)
    net = build(network, 10).to(dtype)
    return net, BYOT(**settings).prepare(net).to(dtype)


def written_out(byot, trace, labels, *, kd, hint, ce, deepest):
    """Section 3 term by term, with torch's own losses; weights as arguments."""
    total = deepest * F.cross_entropy(trace.logits, labels)
    soft = F.softmax(trace.logits.detach() / byot.temperature, 1)
    for i, adapt in enumerate(byot.adapt):
        feature = F.adaptive_avg_pool2d(adapt(trace.maps[i]), 1).flatten(1)
        logits = F.linear(feature, byot.heads.weight[i].T, byot.heads.bias[i, 0])
        total = total + ce * F.cross_entropy(logits, labels)
        total = total + kd * F.kl_div(F.log_softmax(logits / byot.temperature, 1), soft, reduction="batchmean")
        total = total + hint * F.mse_loss(feature, trace.pooled.detach())
    return total


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("settings", "weights"), [
    ({}, {"ce": 0.7, "kd": 0.3 * 9, "hint": 0.03, "deepest": 1}),
    ({"kd_scale": "none"}, {"ce": 0.7, "kd": 0.3, "hint": 0.03, "deepest": 1}),
    ({"deepest_ce": "scaled", "alpha": 0.1, "hint": 2.0}, {"ce": 0.9, "kd": 0.1 * 9, "hint": 2.0, "deepest": 0.9}),
    ({"temperature": 1.5, "alpha": 1.0}, {"ce": 0, "kd": 2.25, "hint": 0.03, "deepest": 1}),
    ({"alpha": 0.0, "hint": 0.0}, {"ce": 1, "kd": 0, "hint": 0, "deepest": 1})], ids=str)
def test_equals_the_loss_written_out(settings, weights, memory):
    """Values and gradients of network and heads, float64. The last case is the plain sum of cross-entropies."""
    net, byot = prepared(torch.float64, **settings)
    net, data = net.to(memory_format=memory), batch(dtype=torch.float64)
    out = byot.step(plain_step, net, data)
    loss, expected = sum(out.losses.values()), written_out(byot, net.trace(data.x), data.y.argmax(1), **weights)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
    parameters = [*net.parameters(), *byot.parameters()]
    ours, theirs = (torch.autograd.grad(value, parameters) for value in (loss, expected))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_losses_are_named_by_stage():
    net, byot = prepared()
    losses = byot.step(plain_step, net, batch()).losses
    assert list(losses) == ["ce", *(f"byot.stage{i}.{term}" for term in ("ce", "kd", "hint") for i in (1, 2))]


def test_no_gradient_reaches_the_teacher():
    """The deepest classifier and the last stage learn nothing from softened targets or hints; shallow stages and heads do."""
    net, byot = prepared()
    losses = byot.step(plain_step, net, batch()).losses
    for term in ("kd", "hint"):
        terms = sum(value for name, value in losses.items() if name.endswith(term))
        deepest = [*net.head.parameters(), *net.stages[2].parameters()]
        assert all(g is None for g in torch.autograd.grad(terms, deepest, retain_graph=True, allow_unused=True))
        for p in (next(net.stages[0].parameters()), next(net.stages[1].parameters()), next(byot.adapt.parameters())):
            assert torch.autograd.grad(terms, p, retain_graph=True)[0].any()


def test_equal_logits_and_features_cost_nothing():
    net, byot = prepared(torch.float64)
    out = plain_step(net, batch(dtype=torch.float64))
    pooled, logits = out.trace.pooled[:, None].expand(-1, 2, -1), out.trace.logits.expand(2, -1, -1)
    byot.shallow = lambda maps: (pooled, logits)
    losses = byot.step(lambda model, data: out, net, out.batch).losses
    assert all(abs(value.item()) < 1e-15 for name, value in losses.items() if name.endswith(("kd", "hint")))
    ensemble = byot.predictions(net, out.trace)["byot.ensemble"]
    torch.testing.assert_close(ensemble, out.trace.logits, rtol=0, atol=1e-15)


def test_predictions_are_every_head_and_their_mean():
    net, byot = prepared(torch.float64)
    net.eval()
    byot.eval()
    trace = net.trace(batch(dtype=torch.float64).x)
    found = byot.predictions(net, trace)
    assert list(found) == ["byot.ensemble", "byot.stage1", "byot.stage2"]
    expected = (found["byot.stage1"] + found["byot.stage2"] + trace.logits) / 3
    torch.testing.assert_close(found["byot.ensemble"], expected, rtol=0, atol=1e-12)
    first = byot.adapt[0](trace.maps[0]).mean((2, 3)) @ byot.heads.weight[0] + byot.heads.bias[0]
    torch.testing.assert_close(found["byot.stage1"], first, rtol=0, atol=1e-12)


def test_adaptations_end_at_the_deepest_maps_shape():
    """Also for networks whose stages do not halve, or quarter, and for anyone's network."""
    def conv(c_in, c_out, stride):
        return nn.Conv2d(c_in, c_out, 3, stride, 1)

    dilated = StagedNet(conv(3, 8, 1), [conv(8, 8, 1), conv(8, 12, 4), conv(12, 16, 1)], (8, 12, 16), 10)
    tapped = Tapped(torchvision.models.resnet18(num_classes=10), ["layer1", "layer3", "layer4"], image_size=64)
    for net, steps in ((build("resnet20", 10), [2, 1]), (dilated, [2, 0]), (tapped, [3, 1])):
        assert halvings(net) == steps
        byot = BYOT().prepare(net)
        maps = net.trace(batch(size=64).x).maps
        assert all(adapt(m).shape == maps[-1].shape for adapt, m in zip(byot.adapt, maps[:-1], strict=True))
        assert [sum(isinstance(m, nn.Conv2d) for m in adapt) for adapt in byot.adapt] == [3 * max(n, 1) for n in steps]


def test_a_bottleneck_is_a_quarter_as_wide():
    """1x1, 3x3, 1x1 between C_i, C_S / 4 and C_S, counted by hand for the middle stage of a ResNet-20."""
    _, byot = prepared()
    assert sum(p.numel() for p in byot.adapt[1].parameters()) == 32 * 16 + 16 * 16 * 9 + 16 * 64 + 2 * (16 + 16 + 64)


def test_looking_at_sizes_changes_nothing():
    net = build("resnet20", 10)
    net.stages[1].eval()
    before, drawn = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    assert map_sizes(net, 64, 64) == [(64, 64), (32, 32), (16, 16)]
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items()) and torch.equal(drawn, torch.get_rng_state())
    assert net.training and net.stages[0].training and not net.stages[1].training


def test_evaluation_is_that_of_the_plain_network():
    net, byot = prepared()
    optimizer = torch.optim.SGD([*net.parameters(), *byot.parameters()], 0.05)
    for seed in range(2):
        optimizer.zero_grad()
        byot.loss(net, batch(seed=seed).x, batch(seed=seed).y.argmax(1)).backward()
        optimizer.step()
    plain = build("resnet20", 10)
    plain.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(net.eval()(batch().x), plain.eval()(batch().x))


def test_fm_and_byot_add_up():
    """Each method's losses are what they are alone, in either order; the ensemble leaves FM's heads out (A15)."""
    torch.manual_seed(0)
    net, data = build("resnet20", 10).double(), batch(dtype=torch.float64)
    fm, byot = make("fm", box="inside", area=0.25).prepare(net).double(), BYOT().prepare(net).double()
    seen = []
    for methods in ([fm], [byot], [fm, byot], [byot, fm]):
        torch.manual_seed(1)
        seen.append(compose(methods)(net, data).losses)
    for both in seen[2:]:
        assert both.keys() == seen[0].keys() | seen[1].keys()
        for name, value in both.items():
            torch.testing.assert_close(value, (seen[0] | seen[1])[name], rtol=1e-10, atol=1e-10)


def test_mixed_targets_reach_every_head():
    net, byot = prepared(torch.float64, alpha=0.0, hint=0.0)
    out = byot.step(partial(make("mixup").step, plain_step), net, batch(dtype=torch.float64))
    _, logits = byot.shallow(out.trace.maps)
    expected = F.cross_entropy(logits[0], out.batch.y)
    assert ((out.batch.y > 0).sum(1) == 2).any()
    torch.testing.assert_close(out.losses["byot.stage1.ce"], expected, rtol=0, atol=1e-10)


def test_one_graph():
    net = build("resnet20", 10, depth=8)
    byot = BYOT().prepare(net)
    total = lambda data: sum(byot.step(plain_step, net, data).losses.values())  # noqa: E731
    torch.testing.assert_close(torch.compile(total, fullgraph=True, dynamic=False, backend="aot_eager")(batch()), total(batch()))


def test_losses_are_fp32_under_autocast():
    net, byot = prepared()
    with torch.autocast("cpu", torch.bfloat16):
        losses = byot.step(plain_step, net, batch()).losses
    assert all(value.dtype == torch.float32 and torch.isfinite(value) for value in losses.values())


@pytest.mark.parametrize(("settings", "says"), [
    ({"temperature": 0}, "positive"), ({"alpha": 1.5}, r"\[0, 1\]"), ({"hint": -1}, "0 or more"), ({"kd_scale": "T"}, "T2"),
    ({"squeeze": 0}, "positive"), ({"deepest_ce": "no"}, "whole")], ids=str)
def test_bad_settings_are_one_sentence(settings, says):
    with pytest.raises(UsageError, match=says):
        BYOT(**settings)


def test_one_stage_is_too_few():
    with pytest.raises(UsageError, match="one stage"):
        BYOT().prepare(StagedNet(nn.Identity(), [nn.Conv2d(3, 8, 3)], (8,), 10))


def test_a_record_holds_the_ensemble(scratch, monkeypatch):
    T = importlib.import_module("featuremining.training.loop")
    data = load("parts")._replace(name="few")
    few = data._replace(train_x=data.train_x[:96], train_y=data.train_y[:96], test_x=data.test_x[:45], test_y=data.test_y[:45])
    monkeypatch.setattr("featuremining.training.run.load", lambda name, **changes: few)
    small = replace(recipe("resnet20", "smoke"), epochs=2, batch=32)
    record = T.train(Run("parts", "resnet20", ({"name": "byot"}, {"name": "fm"}), small, "smoke", 0), "cpu")
    assert list(record.metrics["others"]) == ["byot.ensemble", "byot.stage1", "byot.stage2"]
    assert record.metrics["others"]["byot.ensemble"]["last"] == record.curves["test_acc.byot.ensemble"][-1]
    assert len(record.curves["byot.stage2.hint"]) == 2 and record.resolved["methods"][0]["temperature"] == 3.0
