"""Networks beside the post-activation ResNets: exact sizes, independent references, taps, and a step of Feature Mining."""

import copy
import re

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from helpers import batch
from torch import nn

from featuremining import MODELS, UsageError, build, make
from featuremining.models import known, options_of
from featuremining.protocol import plain_step
from featuremining.recipes import recipe
from featuremining.studies import Run

SIZES = {       # channels of the stages; trainable parameters at 10, 100, 200 classes; multiply-adds at 100 classes, 32 x 32
    "preresnet20": ((16, 32, 64), (None, 278_132, None), 40_818_944),
    "preresnet56": ((16, 32, 64), (855_578, 861_428, 867_928), 125_753_600),
    "preresnet110": ((16, 32, 64), (1_730_522, 1_736_372, 1_742_872), 253_155_584),
    "preresnet164": ((64, 128, 256), (1_703_258, 1_726_388, 1_752_088), 247_669_760),
    "densenet_bc_100_12": ((216, 300, 342), (769_162, 800_032, 834_332), 287_960_472),
    "densenet_100_12": ((400, 784, 1168), (6_979_642, 7_084_852, None), 1_769_621_568),
    "wrn_28_10": ((160, 320, 640), (36_479_194, 36_536_884, 36_600_984), 5_243_386_368),
    "wrn_40_2": ((32, 64, 128), (2_243_546, 2_255_156, None), 327_610_880),
    "wrn_16_4": ((64, 128, 256), (2_748_890, 2_772_020, None), 392_635_392),
    "pyramidnet_110_270": ((106, 196, 286), (28_485_477, 28_511_307, 28_540_007), 4_718_009_464),
    "pyramidnet_110_84": ((44, 72, 100), (3_904_446, 3_913_536, None), 772_177_168),
}
SMALL = {"preresnet20": 32, "wrn_16_4": 32, "densenet_bc_100_12": 32, "pyramidnet_110_84": 32,         # name -> pixels
         "resnet50": 64, "timm/resnet10t": 64, "timm/mobilenetv3_small_050": 64, "timm/efficientnet_lite0": 64}
LIBRARY = [name for name in SMALL if SMALL[name] == 64]


def count(net):
    return sum(p.numel() for p in net.parameters())


def multiply_adds(net, size):
    """Of convolutions and linear layers, for a network on the meta device."""
    sums = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda m, _i, out: sums.append(m.weight[0].numel() * out[0].numel()))
    net.eval()(torch.zeros(1, 3, size, size, device="meta"))
    return sum(sums)


@pytest.fixture(scope="module")
def small():
    """Each network built once; tests leave it as it was."""
    built = {}

    def get(name):
        if name not in built:
            torch.manual_seed(0)
            built[name] = build(name, 10)
        return built[name].train()
    return get


# --------------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name):
    channels, parameters, macs = SIZES[name]
    with torch.device("meta"):
        nets = {classes: build(name, classes) for classes in (10, 100, 200)}
    assert all(expected in (None, count(nets[k])) for k, expected in zip(nets, parameters, strict=True))
    assert nets[100].channels == channels and nets[100].classes == 100
    assert multiply_adds(nets[100], 32) == macs


def test_other_pyramids_and_preactivation_depths():
    with torch.device("meta"):
        pyramid = build("pyramidnet_110_84", 100, alpha=48)
        assert count(pyramid) == 1_778_556 and multiply_adds(pyramid, 32) == 403_819_264
        for depth in (32, 44):      # two BN parameters each of 32 and 64 channels fewer than the post-activation network
            assert count(build(f"preresnet{depth}", 100)) == count(build(f"resnet{depth}", 100)) - 192


@pytest.mark.parametrize(("classes", "parameters", "macs"), [(200, 23_917_832, 4_087_545_856), (1000, 25_557_032, 4_089_184_256)])
def test_resnet50_sizes(classes, parameters, macs):
    with torch.device("meta"):
        net = build("resnet50", classes)
    assert count(net) == parameters and multiply_adds(net, 224) == macs
    assert net.channels == (256, 512, 1024, 2048) and net.classes == classes
    if classes == 200:
        assert [m.shape[2] for m in net.maps(torch.zeros(1, 3, 224, 224, device="meta"))] == [56, 28, 14, 7]


# ------------------------------------------------------------------------------------------- independent references


def lively(net):
    """Every BN with parameters and statistics that are not those it starts with."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(tensor, 0.3, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.eval()


def weights_in_order(net):
    """Functions that take the next BN or convolution in the order of the definition."""
    norms = iter([m for m in net.modules() if isinstance(m, nn.BatchNorm2d)])
    convs = iter([m.weight for m in net.modules() if isinstance(m, nn.Conv2d)])

    def bn(x):
        m = next(norms)
        return F.batch_norm(x, m.running_mean, m.running_var, m.weight, m.bias)

    def conv(x, stride=1):
        w = next(convs)
        return F.conv2d(x, w, stride=stride, padding=w.shape[-1] // 2)
    return bn, conv


def preact_reference(net, x, n, widens_at_once):
    """Figure 4(e) and the appendix of arXiv:1603.05027."""
    bn, conv = weights_in_order(net)
    x, maps = conv(x), []
    for stage in range(3):
        for i in range(n):
            stride = 2 if stage and not i else 1
            active = bn(x).relu()
            new = conv(bn(conv(active, stride)).relu())
            if i == 0:
                x = conv(active, stride) if stage or widens_at_once else active
            x = new + x
        maps.append(x)
    maps[-1] = bn(maps[-1]).relu()
    return maps


def densenet_reference(net, x, n, bc):
    bn, conv = weights_in_order(net)
    x, maps = conv(x), []
    for stage in range(3):
        if stage:
            x = F.avg_pool2d(conv(bn(x).relu()), 2)
        found = [x]
        for _ in range(n):
            new = torch.cat(found, 1)
            new = conv(bn(new).relu()) if bc else new
            found.append(conv(bn(new).relu()))
        x = torch.cat(found, 1)
        maps.append(x)
    maps[-1] = bn(maps[-1]).relu()
    return maps


def pyramid_reference(net, x, n):
    bn, conv = weights_in_order(net)
    x, maps = bn(conv(x)), []
    for stage in range(3):
        for i in range(n):
            stride = 2 if stage and not i else 1
            new = bn(conv(bn(conv(bn(x), stride)).relu()))
            x = F.avg_pool2d(x, 2) if stride == 2 else x
            zeros = torch.zeros(len(x), new.shape[1] - x.shape[1], *x.shape[2:], dtype=x.dtype)
            x = new + torch.cat([x, zeros], 1)
        maps.append(x)
    maps[-1] = bn(maps[-1]).relu()
    return maps


@pytest.mark.parametrize(("name", "options", "reference"), [
    ("preresnet20", {}, lambda net, x: preact_reference(net, x, 3, False)),
    ("wrn_16_4", {"width": 2}, lambda net, x: preact_reference(net, x, 2, True)),
    ("densenet_bc_100_12", {"depth": 22}, lambda net, x: densenet_reference(net, x, 3, True)),
    ("densenet_100_12", {"depth": 13}, lambda net, x: densenet_reference(net, x, 3, False)),
    ("pyramidnet_110_84", {"depth": 20, "alpha": 25}, lambda net, x: pyramid_reference(net, x, 3))],
    ids=["preresnet", "wrn", "densenet_bc", "densenet", "pyramidnet"])
def test_networks_are_their_papers_formulas(name, options, reference):
    net = lively(build(name, 10, **options).double())
    x = batch(2, size=16, dtype=torch.float64).x
    with torch.no_grad():
        maps, expected = net.maps(x), reference(net, x)
        assert torch.allclose(net(x), net.head(expected[-1].mean((2, 3))))
    assert all(torch.allclose(got, m) for got, m in zip(maps, expected, strict=True))
    assert maps[-1].min() >= 0 and all(m.min() < 0 for m in maps[:-1])


def test_preresnet_bottleneck_keeps_stride_and_order():
    net = lively(build("preresnet164", 10, depth=11).double())
    bn, conv = weights_in_order(net)
    x = batch(2, size=16, dtype=torch.float64).x
    with torch.no_grad():
        maps, h = net.maps(x), conv(x)
        for stage in range(3):
            active = bn(h).relu()
            new = conv(bn(conv(bn(conv(active)).relu(), 2 if stage else 1)).relu())
            h = new + conv(active, 2 if stage else 1)
            assert torch.allclose(maps[stage], h if stage < 2 else bn(h).relu())


@pytest.mark.parametrize(("name", "create"), [
    ("resnet50", lambda: torchvision.models.resnet50(num_classes=10)),
    ("timm/resnet10t", lambda: timm.create_model("resnet10t", num_classes=10)),
    ("timm/mobilenetv3_small_050", lambda: timm.create_model("mobilenetv3_small_050", num_classes=10))])
def test_weights_fit_the_plain_network_and_back(name, create, small):
    net, plain, x = small(name).eval(), create().eval(), batch(2, size=64).x
    assert list(net.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(net.state_dict(), strict=True)
    other = copy.deepcopy(net)
    other.load_state_dict(plain.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(plain(x), net(x)) and torch.equal(net.trace(x).logits, other.trace(x).logits)
    assert other.head is not net.head and other._found is None


def test_library_initialisation_is_the_library_s():
    """Probing draws no random numbers."""
    torch.manual_seed(1)
    ours = build("timm/resnet10t", 10).state_dict()
    torch.manual_seed(1)
    theirs = timm.create_model("resnet10t", num_classes=10).state_dict()
    assert all(torch.equal(ours[k], v) for k, v in theirs.items())


# ---------------------------------------------------------------------------------------------------------- traces


@pytest.mark.parametrize("name", SMALL)
def test_trace_is_the_forward_pass(name, small):
    net, x = small(name).eval(), batch(2, size=SMALL[name]).x
    with torch.no_grad():
        trace = net.trace(x)
        assert torch.equal(trace.logits, net(x))
        assert all(torch.equal(a, b) for a, b in zip(trace.maps, net.maps(x), strict=True))
        assert tuple(m.shape[1] for m in trace.maps) == net.channels and len(net.stages) == len(net.channels)
        assert trace.pooled.shape == (2, net.head.in_features) and trace.logits.shape == (2, net.classes)
        if name != "timm/mobilenetv3_small_050":        # a layer stands between its pooling and its classifier
            assert torch.allclose(trace.pooled, trace.maps[-1].mean((2, 3)), atol=1e-5)
        if SMALL[name] == 32:
            assert [m.shape[2:] for m in net.maps(batch(1, size=48).x)] == [(48, 48), (24, 24), (12, 12)]


@pytest.mark.parametrize("name", SMALL)
def test_nothing_writes_over_a_map(name, small):
    """What `trace` returns is what the stages gave at that moment."""
    net, seen = copy.deepcopy(small(name)), []
    hooks = [stage.register_forward_hook(lambda _m, _i, out: seen.append(out.clone())) for stage in net.stages]
    trace = net.trace(batch(2, size=SMALL[name]).x)
    assert len(seen) == len(hooks) and all(torch.equal(a, b) for a, b in zip(seen, trace.maps, strict=True))


@pytest.mark.parametrize("name", SMALL)
def test_a_step_of_feature_mining(name, small):
    net = copy.deepcopy(small(name))
    fm = make("fm", layers=2, min_box=1).prepare(net)
    out = fm.step(plain_step, net, batch(2, size=SMALL[name]))
    losses, parameters = out.losses, [*net.parameters(), *fm.parameters()]
    before = [p.detach().clone() for p in parameters]
    sum(losses.values()).backward()
    torch.optim.SGD(parameters, lr=0.1).step()
    assert len(losses) == 5 and all(v.isfinite() for v in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in parameters)
    moved = [bool((p != b).any()) for p, b in zip(parameters, before, strict=True)]
    assert all(moved[-len(list(fm.parameters())):])
    net.eval()
    with torch.no_grad():
        assert torch.equal(net.trace(out.batch.x).logits, net(out.batch.x))


@pytest.mark.parametrize("name", ["wrn_16_4", *LIBRARY])
def test_edits_reach_the_rest_of_the_network(name, small):
    net, x = small(name).eval(), batch(2, size=SMALL[name]).x
    last = len(net.channels) - 1
    with torch.no_grad():
        plain, edited = net.trace(x), net.trace(x, edits={last - 1: lambda m: 2 * m, last: lambda m: m + 1})
        assert torch.equal(edited.maps[last - 1], 2 * plain.maps[last - 1])
        assert not torch.allclose(edited.maps[last], plain.maps[last] + 1)
        shifted = net.trace(x, edits={last: lambda m: m + 1})
        assert torch.equal(shifted.maps[last], plain.maps[last] + 1) and not torch.equal(shifted.logits, plain.logits)
        assert torch.equal(net(x), plain.logits)


def test_parts_are_what_the_batch_asks_for(small):
    net, x = small("timm/resnet10t").eval(), batch(2, size=64).x
    pools = {i: lambda m: torch.stack([m.mean((2, 3)), m.amax((2, 3))], 1) for i in (2, 3)}
    with torch.no_grad():
        trace = net.trace(x, pools)
    assert torch.equal(trace.parts[3][:, 0], trace.maps[3].amax((2, 3))) and trace.parts[2].shape == (2, 2, 256)


@pytest.mark.parametrize("name", ["preresnet20", "timm/resnet10t"])
def test_torch_compile_takes_the_step_as_one_graph(name, small):
    net, size = copy.deepcopy(small(name)).eval(), SMALL[name]
    pools = {len(net.channels) - 1: lambda m: torch.stack([m.mean((2, 3)), m.amax((2, 3))], 1)}
    x, edits = batch(2, size=size).x, {1: lambda m: 0.5 * m}
    compiled = torch.compile(lambda x: net.trace(x, pools, edits), backend="eager", fullgraph=True, dynamic=False)
    with torch.no_grad():
        ours, theirs = net.trace(x, pools, edits), compiled(x)
    ours, theirs = ((*t.maps, t.pooled, t.logits, *t.parts.values()) for t in (ours, theirs))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


# ---------------------------------------------------------------------------------------------------------- names


def test_names_and_options():
    assert known("wrn_28_10") and known("timm/resnet10t") and not known("wrn_28_11")
    assert options_of("timm/resnet10t", drop_rate=0.1) == {"name": "resnet10t", "drop_rate": 0.1}
    assert options_of("wrn_16_4", depth=22) == {"depth": 22, "width": 4}
    assert all(options_of(name) == MODELS[name][2] for name in MODELS)


def test_a_timm_training_has_a_key_without_a_folder():
    run = Run("parts", "timm/resnet10t", (), recipe("resnet20", "smoke"), "smoke", 0)
    assert re.fullmatch(r"parts\.timm-resnet10t\.baseline\.[0-9a-f]{8}", run.key) and run.spec()["network"] == "timm/resnet10t"


@pytest.mark.parametrize(("name", "options", "words"), [
    ("timm/resnet10tt", {}, "nearest names are resnet10t"),
    ("timm/resnet50.a1_in1k", {}, "no network 'resnet50.a1_in1k'"),
    ("timm/vit_tiny_patch16_224", {}, "no global pooling of a feature map"),
    ("timm/hf-hub:someone/something", {}, "has no network"),
    ("timm/resnetv2_50", {"layers": (1, 1, 1, 1)}, "not one linear layer"),
    ("wrn_28_11", {}, "Did you mean 'wrn_28_10'.*timm/<name>"),
    ("wrn_28_10", {"depth": 29}, "6n"), ("preresnet164", {"depth": 21}, "9n"),
    ("preresnet20", {"depth": 21}, "6n"), ("densenet_bc_100_12", {"depth": 101}, "6n"),
    ("densenet_100_12", {"depth": 99}, "3n"), ("pyramidnet_110_84", {"depth": 111}, "6n")])
def test_what_does_not_exist_is_one_sentence(name, options, words):
    with pytest.raises(UsageError, match=words) as raised:
        build(name, 10, **options)
    assert "\n" not in str(raised.value)


def test_maps_with_channels_last_are_refused():
    with pytest.raises(UsageError, match=r"layers.0 gives no \(B, 96, H, W\) map"):
        build("timm/swin_tiny_patch4_window7_224", 10, depths=(1, 1, 1, 1))


def test_the_last_map_is_the_one_that_is_pooled():
    """EfficientNets end in a 1x1 convolution behind their last stage."""
    net = build("timm/efficientnet_lite0", 10)
    assert net.channels[-1] == net.head.in_features == 1280 and net.stages[-1] is net.net.bn2
    assert isinstance(net.pool, timm.layers.SelectAdaptivePool2d)
