"""Other heads than the mean, on every network and with every method."""

import copy
import json

import pytest
import torch
from helpers import ALL, batch, settings_for

from featuremining import METHODS, UsageError, build, make
from featuremining.layers.convmix import ConvMix
from featuremining.layers.covariance import covariance, triu
from featuremining.layers.gsop import GSoP
from featuremining.layers.idccp import IDCCP
from featuremining.layers.low_rank import LowRankRecovery
from featuremining.layers.pooling import CovariancePooling
from featuremining.layers.roots import matrix_sqrt
from featuremining.models import options_of
from featuremining.protocol import plain_step
from featuremining.training.loop import outdated

SMALL = {"resnet20": {}, "preresnet20": {}, "wrn_16_4": {"width": 1}, "densenet_bc_100_12": {"depth": 22},
         "pyramidnet_110_84": {"depth": 20, "alpha": 24}, "timm/resnet10t": {}, "timm/efficientnet_lite0": {}}
HEAD = {"name": "covariance", "d": 8, "root": "exact"}


def pixels(name):
    return 64 if name.startswith("timm/") else 32


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("d", [None, 8])
def test_every_network_can_end_in_a_covariance(name, d):
    """The classifier reads the triangle of the root of the last map's covariance; before the reduction all is as it was."""
    torch.manual_seed(0)
    plain = build(name, 10, **SMALL[name]).eval()
    torch.manual_seed(0)
    net, x = build(name, 10, head={**HEAD, "d": d, "precision": "float64"}, **SMALL[name]).eval(), batch(2, size=pixels(name)).x
    if d is None and net.channels[-1] > 200:
        return                                              # a triangle of a million numbers
    with torch.no_grad():
        trace, before = net.trace(x), plain.trace(x)
        assert torch.equal(trace.logits, net(x)) and trace.logits.shape == (2, 10)
        assert all(torch.equal(a, b) for a, b in zip(trace.maps[:-1], before.maps[:-1], strict=True))
        assert d is not None or torch.equal(trace.maps[-1], before.maps[-1])
        assert tuple(m.shape[1] for m in trace.maps) == net.channels and net.channels[-1] == (d or plain.channels[-1])
        expected = triu(matrix_sqrt(covariance(trace.maps[-1].double().flatten(2))))
        assert torch.allclose(trace.pooled.double(), expected, atol=1e-6 * expected.abs().max())
        assert torch.allclose(net.head(trace.pooled), trace.logits, atol=1e-5)
    other = copy.deepcopy(net)
    other.load_state_dict(net.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(other(x), net(x)) and torch.equal(other.trace(x).logits, net(x))


@pytest.mark.parametrize(("settings", "width"), [
    ({"gaussian": True}, 45), ({"seb": True}, 36), ({"normalise": "l2"}, 36), ({"normalise": "frobenius"}, 36),
    ({"dropout": 0.5}, 36), ({"groups": 2}, 20), ({"steps": [32, 16]}, 36),
    ({"steps": [16], "groups": 4, "gaussian": True, "seb": True}, 24),
    ({"root": {"name": "exact", "power": 0.75}}, 36), ({"root": "newton_schulz", "later": "svd_taylor"}, 36)], ids=str)
@pytest.mark.parametrize("name", ["resnet20", "timm/resnet10t"])
def test_every_option_of_the_head_trains_and_is_on_record(name, settings, width):
    torch.manual_seed(0)
    net = build(name, 10, head={**HEAD, **settings}, **SMALL[name])
    out = plain_step(net, batch(4, size=pixels(name)))
    out.losses["ce"].backward()
    assert out.trace.pooled.shape == (4, net.pool.width) == (4, width)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    found, plain = options_of(name, head={**HEAD, **settings}), options_of(name, head=HEAD)
    assert found != plain and json.dumps(found)


@pytest.mark.parametrize("name", ["resnet20", "timm/resnet10t"])
def test_edits_reach_a_reduced_map_once(name):
    net, x = build(name, 10, head=HEAD).eval(), batch(2, size=pixels(name)).x
    last = len(net.channels) - 1
    with torch.no_grad():
        plain, edited = net.trace(x), net.trace(x, edits={last: lambda m: m + 1})
        assert torch.equal(edited.maps[last], plain.maps[last] + 1)
        assert torch.allclose(edited.logits, plain.logits, atol=1e-4)           # a covariance is centred
        doubled = net.trace(x, edits={last: lambda m: 2 * m})
        assert torch.allclose(doubled.pooled, 2 * plain.pooled, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_a_network_with_a_covariance_head(name, tmp_path_factory):
    torch.manual_seed(0)
    net = build("resnet20", 10, head={"name": "covariance", "root": "newton_schulz"})
    method = make(name, **settings_for(name, tmp_path_factory)).prepare(net)
    out = method.step(plain_step, net, batch(8))
    sum(out.losses.values()).backward()
    assert all(loss.isfinite() for loss in out.losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for m in (net, method) for p in m.parameters())


@pytest.mark.parametrize("name", ["resnet20", "timm/resnet10t"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("own", [False, True])
def test_feature_mining_on_a_covariance_head(name, layers, own):
    """Parts are pooled by their mean, or by the covariance about their own; the whole is the network's own."""
    net = build(name, 10, head=HEAD)
    torch.manual_seed(3)
    fm = make("fm", layers=layers, covariance=own, min_box=1).prepare(net)
    width = net.pool.width if own else 8
    assert fm.mines[-1].heads.weight.shape == (2, width, 10) and len(fm.names) == 2 * layers
    x = batch(2, size=pixels(name))
    drawn = {k: v[0] for k, v in fm.draw(1, 2, [m.shape[2:] for m in net.eval().trace(x.x).maps]).items()}
    out = fm.step(plain_step, net, x._replace(drawn=drawn))
    parts, last = out.trace.parts[len(net.channels) - 1], out.trace.maps[-1].flatten(2)
    inside = drawn[f"{fm.mines[-1].name}.rows"][0] > 0
    for i, chosen in enumerate((inside, ~inside)):
        expected = triu(matrix_sqrt(covariance(last[..., chosen]))) if own else last[..., chosen].sum(-1) / inside.numel()
        assert torch.allclose(parts[:, i], expected, atol=1e-4 * max(1.0, expected.abs().max().item()))
    assert torch.equal(out.trace.logits, net(x.x))


def test_feature_mining_without_what_it_needs_is_refused():
    for settings, head, words in (({"covariance": True}, "mean", "needs a network with head='covariance'"),
                                  ({"share_fc": "main"}, HEAD, "pooled as the parts are"),
                                  ({"share_fc": "main", "covariance": True}, "mean", "needs a network with")):
        with pytest.raises(UsageError, match=words):
            make("fm", **settings).prepare(build("resnet20", 10, head=head))
    for settings in ({"segmentation": "channel"}, {"segmentation": "dropout"}):
        with pytest.raises(UsageError, match="divided by places"):
            make("fm", covariance=True, **settings)
    fm = make("fm", share_fc="main", covariance=True, segmentation="dropout", dropout_shape="position", per_sample=True)
    net = build("resnet20", 10, head=HEAD)
    losses = fm.prepare(net).step(plain_step, net, batch(3)).losses         # the network's own classifier reads the parts
    assert fm.mines[-1].heads is None and all(loss.isfinite() for loss in losses.values())


def test_nothing_of_a_network_with_a_mean_has_changed():
    assert "head" not in options_of("resnet20") and options_of("resnet20", head="mean") == options_of("resnet20")
    torch.manual_seed(0)
    a = build("resnet20", 10)
    torch.manual_seed(0)
    b = build("resnet20", 10, head="mean", last_stride=2)
    assert list(a.state_dict()) == list(b.state_dict()) and all(map(torch.equal, a.parameters(), b.parameters()))


@pytest.mark.parametrize("name", [n for n in SMALL if n != "timm/efficientnet_lite0"])
def test_the_last_stage_can_keep_its_resolution(name):
    """And is else the same: equal parameters, equal maps before it."""
    torch.manual_seed(0)
    plain = build(name, 10, **SMALL[name]).eval()
    torch.manual_seed(0)
    net, x = build(name, 10, last_stride=1, **SMALL[name]).eval(), batch(2, size=pixels(name)).x
    with torch.no_grad():
        maps, before = net.trace(x).maps, plain.trace(x).maps
    assert maps[-1].shape[2:] == maps[-2].shape[2:] == tuple(2 * s for s in before[-1].shape[2:])
    assert all(torch.equal(a, b) for a, b in zip(maps[:-1], before[:-1], strict=True))
    assert all(map(torch.equal, net.parameters(), plain.parameters()))


def test_option_a_shortcuts_keep_it_too():
    assert build("resnet20", 10, shortcut="A", last_stride=1).trace(batch(2).x).maps[-1].shape[2:] == (16, 16)


@pytest.mark.parametrize(("name", "options", "words"), [
    ("resnet20", {"head": "covarance"}, "no head 'covarance'"), ("resnet20", {"head": {"d": 8}}, "no head None"),
    ("resnet20", {"head": {"name": "mean", "d": 8}}, "'mean' has no settings"),
    ("resnet20", {"head": {"name": "covariance", "width": 8}}, "no setting of head 'covariance' 'width'"),
    ("resnet20", {"head": {"name": "covariance", "root": {"name": "svd", "n": 8}}}, "no setting of root 'svd'"),
    ("resnet20", {"head": {"name": "covariance", "steps": [32]}}, "steps needs d"),
    *(("resnet20", {"last_stride": stride}, "no resnet20 option last_stride") for stride in (3, 0, "1", True, 1.0, None)),
    ("resnet20", {"depth": 20.5}, "resnet20 option depth is int, got 20.5"), ("resnet20", {"head": 3}, "A head is one of mean"),
    ("resnet20", {"depth": "20"}, "resnet20 option depth is int, got '20'"), ("resnet20", {"head": ["mean"]}, "A head is one of"),
    *(("resnet20", {"head": {"name": "covariance", **head}}, words) for head, words in (
        ({"d": 0}, "can't have 1 equal groups"), ({"d": -4}, "can't have 1"), ({"d": 2.5}, "covariance setting d is int"),
        ({"d": True}, "setting d is int"), ({"d": "8"}, "setting d is int"),
        ({"d": 8, "steps": 32}, "setting steps is a list of int"),
        ({"d": 8, "steps": [0]}, "to 0 channels can't"), ({"d": 8, "steps": ["a"]}, r"a list of int, got \['a'\]"),
        ({"d": 8, "steps": None}, "a list of int, got None"), ({"d": 8, "groups": 0}, "can't have 0 equal groups"),
        ({"d": 8, "groups": "2"}, "setting groups is int"), ({"dropout": "x"}, "setting dropout is float"))),
    *(("resnet20", {"head": {"name": name, **head}}, words) for name, head, words in (
        ("unit", {"renormalise": 1}, "unit setting renormalise is bool, got 1"), ("idccp", {"d": 0}, "d 1 or more"),
        ("idccp", {"share": "x"}, "idccp setting share is float"), ("idccp", {"roots": True}, "no idccp setting roots"),
        ("idccp", {"d": 2.5}, "idccp setting d is int"), ("idccp", {"root": 3}, "A root is one of"),
        ("convmix", {"mode": 3}, "no convmix setting mode"))),
    *(("resnet20", {"insert": insert}, words) for insert, words in (
        (3, "insert is a list"), ("low_rank", "insert is a list"),
        ({"layer": "low_rank"}, "insert is a list"), ([3], "3 lacks layer"),
        ([{"layer": "low_rank", "after": "stage2", "share": "x"}], "low_rank setting share is float, got 'x'"),
        ([{"layer": "low_rank", "after": "stage2", "rho": None}], "setting rho is float, got None"),
        ([{"layer": "low_rank", "after": "stage2", "update_every": 1.5}], "setting update_every is int"),
        ([{"layer": "low_rank", "after": "stage2", "centre": "no"}], "setting centre is bool, got 'no'"),
        ([{"layer": "gsop", "within": "stage2", "stride": 1.5}], "gsop setting stride is int, got 1.5"),
        ([{"layer": "gsop", "within": "stage2", "side": 4}], "side = 4 would change nothing here; it needs a mode other than"),
        ([{"layer": "gsop", "within": "stage2", "mode": "spatial", "act": "relu"}], "act = 'relu' would change nothing here"))),
    ("timm/efficientnet_lite0", {"last_stride": 1}, "can't be had of this network"),
    ("timm/mobilenetv3_small_050", {"head": HEAD}, "layers between")])
def test_what_cannot_be_is_one_sentence(name, options, words):
    with pytest.raises(UsageError, match=words):
        build(name, 10, **options)


@pytest.mark.parametrize("options", [
    {"head": {"name": "covariance", "d": 8}}, {"head": {"name": "covariance", "root": "exact"}},
    {"head": {"name": "idccp", "orthogonal": "initial"}}, {"head": {"name": "convmix"}}, {"head": {"name": "unit"}},
    {"insert": [{"layer": "gsop", "within": "stage2", "d": 8, "mode": "concat"}]},
    {"insert": [{"layer": "low_rank", "after": "stage2"}]}], ids=str)
def test_a_network_cast_to_half_precision_as_a_whole(options):
    """Without autocast: what a layer computes in float32 goes on as the next one takes it, and the gradients come back."""
    torch.manual_seed(0)
    net, x = build("resnet20", 10, depth=8, **options), batch(4).x
    torch.manual_seed(0)
    half = build("resnet20", 10, depth=8, **options).bfloat16()
    logits = half(x.bfloat16())
    assert logits.dtype == torch.bfloat16 and (logits - net(x)).abs().max() < 0.1 * net(x).abs().max()
    logits.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in half.parameters())


def test_orthogonal_weights_in_half_precision_are_refused():
    with pytest.raises(UsageError, match=r"idccp: orthogonal weights can't be computed in half precision: .* autocast"):
        build("resnet20", 10, depth=8, head="idccp").bfloat16()(batch(2).x.bfloat16())


@pytest.mark.parametrize(("layer", "of", "words"), [
    (CovariancePooling(4), [(2, 4)], r"covariance: takes feature maps \(B, 4, H, W\), got \(2, 4\)"),
    (CovariancePooling(4), [(2, 5, 3, 3)], r"covariance: .* got \(2, 5, 3, 3\)"),
    (IDCCP(8), [(8, 4, 3, 3)], r"idccp: takes feature maps \(B, 8, H, W\)"),
    (IDCCP(8), [(2, 8, 3, 3)], "maps of eight copies of each image, got 2"),
    (ConvMix([2, 4]), [(2, 2, 4, 4)], "convmix: takes the maps of 2 stages, got 1"),
    (ConvMix([2, 4]), [(2, 2, 4, 4), (2, 2, 2, 2)], r"convmix: takes feature maps \(B, 4, H, W\)"),
    (GSoP(4, d=2), [(2, 4, 9)], r"gsop: takes feature maps \(B, 4, H, W\)"),
    (LowRankRecovery(), [(4, 5, 5)], r"low_rank: takes feature maps \(B, C, H, W\), got \(4, 5, 5\)")], ids=str)
def test_what_is_no_feature_map_is_one_sentence(layer, of, words):
    maps = [torch.ones(shape) for shape in of]
    with pytest.raises(UsageError, match=words):
        layer(maps if isinstance(layer, ConvMix) else maps[0])


def test_the_record_has_every_setting_and_notices_a_changed_default():
    head = {"name": "covariance", "root": {"name": "newton_schulz", "iterations": 3}, "later": "svd_pade"}
    found = options_of("resnet20", head=head)
    assert found["depth"] == 20 and found["head.name"] == "covariance" and found["head.root.iterations"] == 3
    assert found["head.root.prenorm"] == "trace" and found["head.later.name"] == "svd_pade" and found["head.d"] is None

    class Record:
        spec = {"network": "resnet20", "options": {"head": head}, "methods": []}
        resolved = {"network": json.loads(json.dumps(found)), "methods": []}
    assert not outdated(Record)
    Record.resolved["network"]["head.root.prenorm"] = "frobenius"
    assert "head.root.prenorm was 'frobenius'" in outdated(Record)


def test_torch_compile_takes_the_step_as_one_graph():
    net = build("resnet20", 10, head={"name": "covariance", "root": "newton_schulz"})
    x = batch(2).x
    compiled = torch.compile(lambda x: net.trace(x).logits.sum(), backend="eager", fullgraph=True, dynamic=False)
    assert torch.allclose(compiled(x), net.trace(x).logits.sum(), atol=1e-4)
    assert ALL
