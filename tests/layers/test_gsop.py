"""GSoP blocks against loops over rows and places; what scaling promises; where they stand in networks; with every method."""

import math

import numpy as np
import pytest
import torch
from helpers import ALL, batch, settings_for, trains
from torch import nn

from featuremining import METHODS, UsageError, build, compose, make
from featuremining.layers.covariance import covariance
from featuremining.layers.gsop import GSoP, over, rows_of
from featuremining.models import options_of
from featuremining.models.inserts import gsop_net

F64 = torch.float64
SMALL = {"resnet20": {"depth": 14}, "resnet164": {"depth": 11}, "preresnet20": {"depth": 8},
         "wrn_16_4": {"depth": 10, "width": 1}, "pyramidnet_110_84": {"depth": 8, "alpha": 12}}
FUSIONS = ("average", "max", "concat")
MODES = ("channel", "spatial", *FUSIONS)
CHANNEL = {"layer": "gsop", "within": "stage3", "d": 8}


def maps(b=2, c=6, h=8, w=8, seed=0):
    return torch.randn(b, c, h, w, dtype=F64, generator=torch.Generator().manual_seed(seed))


def block(mode, c=6, seed=0, training=False, side=4, **settings):
    """With statistics and affine parameters as after some training."""
    torch.manual_seed(seed)
    settings = settings if mode == "channel" else {"side": side, **settings}
    layer = GSoP(c, mode, **{"d": 5, **settings}).double().train(training)
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                tensor.uniform_(0.5, 1.5)
    return layer


# ------------------------------------------------------------------------------------------------ by loops, in NumPy


def numbers(module):
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def normed(rows, n):
    """The normalisation of (B, d, ...) in evaluation, channel by channel."""
    out = np.empty_like(rows)
    for i in range(rows.shape[1]):
        out[:, i] = (rows[:, i] - n["running_mean"][i]) / math.sqrt(n["running_var"][i] + 1e-5) * n["weight"][i] + n["bias"][i]
    return out


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def reduced(x, reduce, stride):
    """ReLU, a 1x1 convolution as a sum over channels, normalisation: (C, H, W) -> (d, H', W')."""
    weight, bias = reduce[1].weight.detach().numpy()[:, :, 0, 0], reduce[1].bias.detach().numpy()
    x = np.maximum(x, 0)[:, ::stride, ::stride]
    found = np.array([[[weight[o] @ x[:, i, j] + bias[o] for j in range(x.shape[2])] for i in range(x.shape[1])]
                      for o in range(len(weight))])
    return normed(found[None], numbers(reduce[2]))[0]


def scaled(cov, scales, act):
    """One image's covariance (d, d) -> a number per output: each row by its own four vectors, then all of them together."""
    d, (norm, rows, _, mix, _) = len(cov), scales
    cov = normed(cov[None], numbers(norm))[0]
    four = np.array([rows.weight[4 * i + k, 0, :, 0].detach().numpy() @ cov[i] + rows.bias[4 * i + k].item()
                     for i in range(d) for k in range(4)])
    return sigmoid(mix.weight[:, :, 0, 0].detach().numpy() @ act(four) + mix.bias.detach().numpy())


@pytest.mark.parametrize(("act", "f"), [("none", lambda v: v), ("relu", lambda v: np.maximum(v, 0)),
                                        ("leaky", lambda v: np.where(v > 0, v, 0.01 * v))])
@pytest.mark.parametrize("stride", [1, 2])
def test_channels_written_out(act, f, stride):
    layer, x = block("channel", act=act, stride=stride), maps()
    for image, out in zip(x.numpy(), layer(x).detach().numpy(), strict=True):
        few = np.maximum(reduced(image, layer.channel.reduce, stride), 0)
        gate = scaled(np.cov(few.reshape(5, -1), bias=True), layer.channel.scales, f)
        for c in range(6):
            np.testing.assert_allclose(out[c], gate[c] * image[c], atol=1e-12)


@pytest.mark.parametrize("relu", [False, True])
def test_places_written_out(relu):
    layer, x = block("spatial", relu=relu), maps()
    for image, out in zip(x.numpy(), layer(x).detach().numpy(), strict=True):
        few = reduced(image, layer.spatial.reduce, 1)
        grid = np.array([[few[:, 2 * i:2 * i + 2, 2 * j:2 * j + 2].mean((1, 2)) for j in range(4)] for i in range(4)])
        gate = scaled(np.cov(grid.reshape(16, 5), bias=True), layer.spatial.scales, lambda v: np.maximum(v, 0))
        for i, j in np.ndindex(8, 8):
            place = gate[4 * (i // 2) + j // 2] * image[:, i, j]
            np.testing.assert_allclose(out[:, i, j], np.maximum(place, 0) if relu else place, atol=1e-12)


@pytest.mark.parametrize("mode", FUSIONS)
def test_fusions_are_of_the_two_scaled_maps(mode):
    layer, x = block(mode), maps()
    by_channel, by_place = x * layer.channel(x), x * layer.spatial(x)
    if mode == "concat":
        weight = layer.both[0].weight[:, :, 0, 0]
        z = torch.einsum("oc,bchw->bohw", weight[:, :6], by_channel) + torch.einsum("oc,bchw->bohw", weight[:, 6:], by_place)
        expected = torch.tensor(normed(z.detach().numpy(), numbers(layer.both[1])))
    else:
        expected = (by_channel + by_place) / 2 if mode == "average" else by_channel.maximum(by_place)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(("few", "size"), [(4, (8, 8)), (4, (4, 4)), (4, (6, 10)), (8, (4, 4)), (8, (2, 3))])
def test_a_grid_over_a_map_is_adaptive_pooling(few, size):
    grid = maps(c=1, h=few, w=few)
    torch.testing.assert_close(over(grid, size), nn.functional.adaptive_avg_pool2d(grid, size))


# ------------------------------------------------------------------------------------------------ what scaling promises


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_shape_stays_and_scales_lie_between_0_and_1(mode, training):
    layer = block(mode, training=training)
    for x in (maps(), maps(h=6, w=5), maps(h=3, w=3), maps(b=2, h=2, w=9)):
        out = layer(x)
        assert out.shape == x.shape and out.isfinite().all()
        if mode != "concat":
            assert (out.abs() < x.abs()).all() and (out * x > 0).all()


@pytest.mark.parametrize("mode", [m for m in MODES if m != "concat"])
def test_open_gates_are_the_identity(mode):
    """Where the sigmoid's bias is so large that it gives 1."""
    layer, x = block(mode), maps()
    for gate in (layer.channel, layer.spatial):
        if gate is not None:
            nn.init.constant_(gate.scales[3].bias, 1e6)
    assert torch.equal(layer(x), x)


@pytest.mark.parametrize("mode", ["channel", "spatial"])
def test_constant_maps_have_no_covariance(mode):
    """Whatever their values: those of each channel for channels, of each place for places. The scale is that of the biases."""
    layer = block(mode)
    if mode == "spatial":           # equal numbers at all channels, so that no place varies
        nn.init.zeros_(layer.spatial.reduce[1].weight)
        nn.init.zeros_(layer.spatial.reduce[1].bias)
        for tensor in (layer.spatial.reduce[2].running_mean, layer.spatial.reduce[2].bias.data):
            tensor.fill_(0.3)
        for tensor in (layer.spatial.reduce[2].running_var, layer.spatial.reduce[2].weight.data):
            tensor.fill_(1.0)
    gates = [(layer(x) / x)[0] for x in (torch.full((1, 6, 8, 8), v, dtype=F64) for v in (0.5, 3.0))]
    torch.testing.assert_close(*gates)
    assert (rows_of(torch.full((1, 3, 4), 7.0)) == 0).all()


def test_channels_do_not_see_where_places_are():
    layer, x = block("channel"), maps()
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    def shuffled(m):
        return m.flatten(2)[..., order].view_as(m)
    torch.testing.assert_close(layer(shuffled(x)), shuffled(layer(x)))
    assert not torch.allclose(block("spatial")(shuffled(x)), shuffled(block("spatial")(x)))


def test_it_reads_the_covariance_and_not_the_mean():
    """Two maps of one mean, with other covariances, are scaled otherwise; numbers added to the reduced map change nothing."""
    layer, x = block("channel"), maps().abs()
    y = x.clone()
    y[:, 1] = x[:, 1].flatten(1).flip(1).view_as(x[:, 1])
    torch.testing.assert_close(x.mean((2, 3)), y.mean((2, 3)))
    assert not torch.allclose(layer.channel(x), layer.channel(y))
    before = layer.channel(x)
    nn.init.constant_(layer.channel.reduce[2].bias, 100.0)              # so that no ReLU cuts, before and after
    moved = layer.channel(x)
    nn.init.constant_(layer.channel.reduce[2].bias, 200.0)
    torch.testing.assert_close(layer.channel(x), moved)
    assert not torch.allclose(before, moved)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_gradients(mode, training):
    layer = block(mode, c=3, d=3, side=2, training=training)
    assert torch.autograd.gradcheck(layer, maps(c=3, h=4, w=4).requires_grad_())
    layer(maps(c=3, h=4, w=4)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("mode", MODES)
def test_the_covariance_is_not_computed_in_half_precision(mode):
    layer, x = block(mode, training=True).float(), maps().float()
    with torch.autocast("cpu", torch.bfloat16):
        found = rows_of(layer.channel.reduce(x).flatten(2)) if layer.channel is not None else rows_of(x.bfloat16().flatten(2))
        out = layer(x)
        half = x.bfloat16().flatten(2)
        rounded = rows_of(half)[..., 0]
    assert torch.equal(rounded, covariance(half.float()))
    assert found.dtype == torch.float32 and out.isfinite().all()
    torch.testing.assert_close(out.float(), layer(x), atol=0.2, rtol=0.1)


# ------------------------------------------------------------------------------------------------ in networks


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("place", [{"within": "stage2"}, {"within": "stage3", "blocks": "all"}, {"after": "stage1"},
                                   {"after": "stem"}], ids=str)
def test_blocks_stand_where_they_are_put(name, place):
    """At the end of residual branches or between stages, as wide as the map there; all else is as without them, and what stands
    before gives the same maps."""
    torch.manual_seed(0)
    plain = build(name, 10, **SMALL[name]).eval()
    torch.manual_seed(0)
    net = build(name, 10, insert=[{"layer": "gsop", "d": 8, **place}], **SMALL[name]).eval()
    own = dict(plain.named_parameters())
    assert all(torch.equal(p, own[n]) for n, p in net.named_parameters() if n in own)
    where = place.get("within") or place["after"]
    index = -1 if where == "stem" else int(where[-1]) - 1
    inside = [m for m in (net.inserted if "after" in place else net.stages[index]).modules() if isinstance(m, GSoP)]
    ends = [m.residual[-1] for m in net.stages[index].modules() if hasattr(m, "residual")] if "within" in place else inside
    assert inside == ([b for b in ends if isinstance(b, GSoP)]) and len(inside) == (
        len(ends) if place.get("blocks") == "all" else 1) and isinstance(ends[-1], GSoP)
    with torch.no_grad():
        a, b = net.trace(batch(2).x).maps, plain.trace(batch(2).x).maps
        assert all(torch.equal(x, y) for x, y in zip(a[:max(index, 0)], b, strict=False)) and not torch.equal(a[-1], b[-1])
        for layer in inside:
            nn.init.constant_(layer.channel.scales[3].bias, 1e6)
        torch.testing.assert_close(net(batch(2).x), plain(batch(2).x))
    loss = net.train()(batch(4).x).square().sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(("mode", "relu"), [*((mode, False) for mode in MODES), *((mode, True) for mode in MODES[1:])])
def test_additions_in_place_do_not_disturb_it(mode, relu):
    net = build("resnet20", 10, depth=8, insert=[{**CHANNEL, "mode": mode, "relu": relu, "blocks": "all"}])
    net(batch(4).x).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("which", [1, 2])
def test_gsop_nets(which):
    """One block in each stage's last residual branch, the last stage at its resolution; then the mean, or three steps of
    Newton-Schulz on d channels."""
    net = build("preresnet164", 10, depth=11, **gsop_net(which, d=8)).eval()
    assert [sum(isinstance(m, GSoP) for m in stage.modules()) for stage in net.stages] == [1, 1, 1]
    assert all(m.d == 128 for m in net.modules() if isinstance(m, GSoP))
    trace = net.trace(batch(2).x)
    assert trace.maps[-1].shape == (2, 8 if which == 2 else 256, 16, 16) and trace.pooled.shape == (2, 36 if which == 2 else 256)
    found = options_of("preresnet164", **gsop_net(which))
    assert found["insert"][0] == {"layer": "gsop", "within": "stage1", "blocks": "last", "mode": "channel", "d": 128, "stride": 1,
                                  "act": "none", "side": 8, "relu": False} and found["last_stride"] == 1
    assert (found.get("head.root.iterations"), found.get("head.d")) == ((None, None) if which == 1 else (3, 256))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_a_network_with_gsop_blocks(name, tmp_path_factory):
    torch.manual_seed(0)
    net = build("resnet20", 10, insert=[CHANNEL, {"layer": "gsop", "after": "stage2", "mode": "max", "d": 8}])
    trains(name, net, 8, tmp_path_factory)


def test_all_methods_together_and_a_covariance_head(tmp_path_factory):
    torch.manual_seed(0)
    net = build("resnet20", 10, depth=8, insert=[CHANNEL], head="covariance")
    methods = [make(name, **settings_for(name, tmp_path_factory)).prepare(net) for name in ALL]
    out = compose(methods)(net, batch(8))
    assert all(loss.isfinite() for loss in out.losses.values())
    other = build("resnet20", 10, depth=8, insert=[CHANNEL], head="covariance").eval()
    other.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(other(batch(2).x), net.eval()(batch(2).x))


def test_one_graph():
    net = build("resnet20", 10, depth=8, insert=[{**CHANNEL, "mode": "average"}]).eval()
    compiled = torch.compile(net, fullgraph=True, dynamic=False, backend="eager")
    torch.testing.assert_close(compiled(batch(2).x), net(batch(2).x))


@pytest.mark.parametrize(("network", "insert", "says"), [
    ("resnet20", [{**CHANNEL, "mode": "row"}], "no gsop setting mode = 'row'"),
    ("resnet20", [{**CHANNEL, "act": "gelu"}], "no gsop setting act"), ("resnet20", [{**CHANNEL, "d": 0}], "are 1 or more"),
    ("resnet20", [{**CHANNEL, "channels": 8}], "no setting of gsop 'channels'"),
    ("resnet20", [{**CHANNEL, "within": "stem"}], "no place of gsop, within 'stem'"),
    ("resnet20", [{**CHANNEL, "blocks": "first"}], "no blocks of gsop 'first'"),
    ("resnet20", [{**CHANNEL, "after": "stage1"}], "lacks after or within, or has both"),
    ("resnet20", [{"within": "stage1"}], "lacks layer"),
    ("resnet20", [{"layer": "gsop", "after": "stage1", "blocks": "all"}], "no setting of gsop 'blocks'"),
    ("resnet20", [CHANNEL, {**CHANNEL, "blocks": "all"}], "only one layer can stand within stage3"),
    ("densenet_bc_100_12", [CHANNEL], "no residual branches"), ("timm/resnet18", [CHANNEL], "networks of this package")], ids=str)
def test_what_cannot_be_is_one_sentence(network, insert, says):
    with pytest.raises(UsageError, match=says):
        build(network, 10, insert=insert)
