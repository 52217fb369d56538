"""Feature Mining: equality with the textbook form, the ten properties that follow from the paper, every setting."""

import math
from itertools import product

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from helpers import batch

from featuremining import FeatureMining, Tapped, UsageError, build, compose, make, plain_step
from featuremining.methods.boxes import interval
from featuremining.methods.mine import pool_rows
from featuremining.methods.segments import pooling_matrix


def prepared(dtype=torch.float32, network="resnet20", **settings):
    torch.manual_seed(0)
    net = build(network, 10).to(dtype)
    fm = FeatureMining(**settings).prepare(net).to(dtype)
    return net, fm


def spied(fm):
    """Run-time masks of every stage, in the order of the stages."""
    masks = []
    for mine in fm.mines:
        mine.split = lambda *drawn, split=mine.split: masks.append(split(*drawn)) or masks[-1]
    return masks


def linear(head, i, x):
    return F.linear(x, head.weight[i].T, head.bias[i, 0])


# ------------------------------------------------------------------------------------------------ the textbook form


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("settings", [
    {"layers": 1}, {"layers": 2}, {"layers": 3}, {"layers": 2, "per_sample": True}, {"layers": 2, "pool": "masked_mean"},
    {"layers": 2, "segmentation": "dropout"}, {"layers": 2, "segmentation": "dropout", "dropout_shape": "position"},
    {"layers": 1, "segmentation": "dropout", "per_sample": True},
    {"layers": 2, "segmentation": "channel"}, {"layers": 2, "segmentation": "noncomplementary"},
    {"layers": 2, "full_head": True}, {"layers": 2, "weights": (1.0, 0.5, 0.25, 2.0)}, {"layers": 2, "share_fc": "parts"},
    {"layers": 2, "tap": "post_bnrelu"}, {"layers": 3, "adapt": "conv"},
    {"layers": 2, "segmentation": "noncomplementary", "second": "outside"}], ids=str)
def test_equals_the_textbook_form(settings, memory):
    """Values and gradients equal section 3 written out: X * M, X * (1 - M), pooling, heads, sum; float64, 1e-12."""
    net, fm = prepared(torch.float64, **settings)
    net = net.to(memory_format=memory)
    data = batch(dtype=torch.float64)
    masks = spied(fm)
    out = fm.step(plain_step, net, data)
    parameters = [*net.parameters(), *fm.parameters()]
    loss = sum(out.losses.values())
    gradients = torch.autograd.grad(loss, parameters)

    maps, labels = net.maps(data.x), data.y.argmax(1)
    expected = F.cross_entropy(net.head(maps[-1].mean((2, 3))), labels)
    weights = iter(settings.get("weights", (1.0,) * 99))
    for mine, pair in zip(fm.mines, masks, strict=True):
        x = F.relu(mine.norm[0](maps[mine.stage])) if settings.get("tap") and mine.stage < 2 else maps[mine.stage]
        for i, mask in enumerate(pair):
            shape = {2: (-1, 1, *x.shape[2:]), 3: (-1, *x.shape[1:])}[mask.dim()]
            m = mask[:, :, None, None] if settings.get("segmentation") == "channel" else mask.reshape(shape)
            part = x * m
            if settings.get("adapt") and mine.stage < 2:
                part = mine.adapters[i](part)
            vector = part.mean((2, 3))
            if settings.get("pool") == "masked_mean":
                vector = part.sum((2, 3)) / m.sum((2, 3)).clamp(min=1)
            head = 0 if settings.get("share_fc") == "parts" else i
            expected = expected + next(weights) * F.cross_entropy(linear(mine.heads, head, vector), labels)
        if settings.get("full_head") and mine.stage < 2:
            expected = expected + F.cross_entropy(linear(mine.heads, 2, x.mean((2, 3))), labels)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    for ours, theirs in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_masked_maps_are_never_built():
    """No tensor of a tapped map's size is made beyond those of the plain step, forward or backward."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for t in out if isinstance(out, tuple | list) else [out]:
                if isinstance(t, torch.Tensor) and t.numel() == 6 * 64 * 8 * 8 and not func.is_view:
                    self.n += 1
            return out

    def big(step, net):
        with Count() as mode:
            mode.n = 0
            sum(step(net, batch()).losses.values()).backward()
        return mode.n

    net, fm = prepared(layers=1)
    plain, mined = big(plain_step, net), big(compose([fm]), net)
    assert plain > 0
    assert mined <= plain       # the pooling's gradient takes the place of the mean's


def test_one_graph_for_any_box():
    """Shapes do not depend on the box: a captured graph of pooling and heads serves every draw."""
    from torch.fx.experimental.proxy_tensor import make_fx

    _, fm = prepared(layers=1)
    x = torch.randn(4, 64, 8, 8)
    drawn = fm.draw(20, 4, [(32, 32), (16, 16), (8, 8)])
    steps = [{name: t[i] for name, t in drawn.items()} for i in range(20)]
    graph = make_fx(lambda x, one: fm.mines[0].pooled(x, one, None, {}), tracing_mode="real")(x, steps[0])
    for one in steps:
        assert torch.equal(graph(x, one), fm.mines[0].pooled(x, one, None, {}))


# ------------------------------------------------------------------------------------------------ properties 1 to 10


@pytest.mark.parametrize(("settings", "complementary"), [
    ({}, True), ({"segmentation": "dropout"}, True), ({"segmentation": "channel"}, True),
    ({"segmentation": "noncomplementary"}, False)], ids=str)
def test_1_parts_are_complementary(settings, complementary):
    _, fm = prepared(layers=1, **settings)
    torch.manual_seed(3)
    pairs = [fm.mines[0].split(1, 8, 8, "cpu", None) for _ in range(50)]
    assert all(torch.equal(a + b, torch.ones_like(a)) and not (a * b).any() for a, b in pairs) is complementary


def test_the_second_of_two_boxes_is_its_inside_or_its_outside():
    masks = []
    for second in ("inside", "outside"):
        _, fm = prepared(layers=1, segmentation="noncomplementary", second=second)
        torch.manual_seed(5)
        masks.append(fm.mines[0].split(20, 8, 8, "cpu", None))
    (first, inside), (same, outside) = masks
    assert torch.equal(first, same) and torch.equal(outside, 1 - inside) and not torch.equal(inside, outside)


def test_a_box_that_is_kept_inside_reaches_both_borders():
    """size - cut + 1 places, each equally likely: the last ends at the border."""
    starts, ends = interval(8, torch.full((5,), 0.5), torch.tensor([0.0, 0.19, 0.21, 0.79, 0.99]), "inside")
    assert starts.tolist() == [0, 0, 1, 3, 4] and ends.tolist() == [4, 4, 5, 7, 8]


@pytest.mark.parametrize("box", ["center_clip", "corner_clip", "inside"])
def test_2_masks_are_rectangles(box):
    _, fm = prepared(box=box)
    for mask in fm.kind.mask(fm.kind.draw(500, "cpu"), 8, 6).view(-1, 8, 6):
        rows, cols = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & cols[None, :])
        assert all(np.diff(np.flatnonzero(side)).max(initial=1) == 1 for side in (rows.numpy(), cols.numpy()))


def widths(size, side, rule, exact):
    """Independent of the library: the widths of all equally likely boxes on one axis."""
    cut = int(size * side)
    if rule == "inside":
        return [cut]
    if rule == "corner_clip":
        return [min(x + cut, size) - x for x in range(size)]
    right = cut - cut // 2 if exact else cut // 2
    return [min(x + right, size) - max(x - cut // 2, 0) for x in range(size)]


@pytest.mark.parametrize(("settings", "size", "area"), [
    ({}, 8, 0.233), ({}, 16, 0.277), ({"exact_width": True}, 8, 0.280), ({"box": "corner_clip"}, 8, 0.202),
    ({"box": "inside"}, 8, 0.417), ({"box": "inside"}, 16, 0.458)], ids=str)
def test_2_mean_area_of_each_rule(settings, size, area):
    """Sampled areas agree with an enumeration of all boxes, and both with the value the book prints."""
    rule, exact = settings.get("box", "center_clip"), settings.get("exact_width", False)
    lams = (np.arange(20000) + 0.5) / 20000
    mean = np.mean([np.mean(widths(size, math.sqrt(1 - lam), rule, exact)) ** 2 for lam in lams]) / size**2
    assert mean == pytest.approx(area, abs=6e-4)
    _, fm = prepared(**settings)
    torch.manual_seed(0)
    sampled = fm.kind.mask(fm.kind.draw(40000, "cpu"), size, size).float().mean().item()
    assert sampled == pytest.approx(mean, abs=0.004)


def test_2_beta_moves_the_mean_area():
    """Without clipping the area is (floor(8 s) / 8)^2, s = sqrt(1 - lambda), lambda ~ Beta(2, 5)."""
    lams = np.random.default_rng(0).beta(2, 5, 40000)
    _, fm = prepared(box="inside", beta=(2.0, 5.0))
    torch.manual_seed(0)
    sampled = fm.kind.mask(fm.kind.draw(40000, "cpu"), 8, 8).float().mean().item()
    assert sampled == pytest.approx(np.mean((np.floor(8 * np.sqrt(1 - lams)) / 8) ** 2), abs=0.004)


def test_2_empty_boxes_are_counted_and_can_be_forbidden():
    torch.manual_seed(0)
    _, fm = prepared()
    empty = (~fm.kind.mask(fm.kind.draw(40000, "cpu"), 8, 8).any(1)).float().mean().item()
    assert empty == pytest.approx(1 / 16, abs=0.005)        # lambda above 15/16 leaves sides below two cells
    for box, area in product(("center_clip", "corner_clip", "inside"), (None, 0.0, 1.0)):
        _, fm = prepared(box=box, min_box=1, area=area)
        masks = fm.kind.mask(fm.kind.draw(40000, "cpu"), 8, 8)
        assert masks.any(1).all() and not masks.all(1).any()
    net, fm = prepared(layers=1, area=0.0)
    drawn = {name: t[0] for name, t in fm.draw(1, 6, [(32, 32), (16, 16), (8, 8)]).items()}
    assert fm.step(plain_step, net, batch()._replace(drawn=drawn)).logs["fm.stage3.empty"] == 1


def test_3_parts_add_up_under_the_shared_classifier():
    net, fm = prepared(torch.float64, layers=1, share_fc="main")
    pooled = fm.mines[0].pooled(net.maps(batch(dtype=torch.float64).x)[-1], {}, None, {})
    inside, outside = fm.mines[0].logits(pooled[:, 1:], net.head)
    torch.testing.assert_close(inside + outside, net.head(pooled[:, 0]) + net.head.bias, rtol=0, atol=1e-12)


def test_4_logits_scale_with_the_map():
    net, fm = prepared(torch.float64, layers=1)
    (mine,) = fm.mines
    torch.nn.init.zeros_(mine.heads.bias)
    x, drawn = net.maps(batch(dtype=torch.float64).x)[-1], fm.kind.draw(1, "cpu")
    once, thrice = (mine.logits(mine.pooled(c * x, {}, drawn, {})[:, 1:], net.head) for c in (1, 3))
    torch.testing.assert_close(3 * once, thrice, rtol=1e-12, atol=1e-12)


def test_5_evaluation_is_that_of_the_plain_network():
    """After training steps with heads, logits are bit for bit those of a plain network with the same weights."""
    net, fm = prepared()
    optimizer = torch.optim.SGD([*net.parameters(), *fm.parameters()], 0.1)
    for seed in range(3):
        optimizer.zero_grad()
        sum(fm.step(plain_step, net, batch(seed=seed)).losses.values()).backward()
        optimizer.step()
    plain = build("resnet20", 10)
    plain.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(net.eval()(batch().x), plain.eval()(batch().x))


def test_6_zero_heads_cost_log_k_each():
    net, fm = prepared(torch.float64, head_init="zero")
    losses = fm.step(plain_step, net, batch(dtype=torch.float64)).losses
    assert sum(losses.values()).item() == pytest.approx(losses["ce"].item() + 4 * math.log(10), abs=1e-12)


def test_7_gradients_stay_in_their_part():
    _net, fm = prepared(torch.float64, layers=1)
    x = torch.randn(3, 64, 8, 8, dtype=torch.float64, requires_grad=True)
    drawn = torch.tensor([[0.6, 0.5, 0.5]], dtype=torch.float64)
    mask = fm.kind.mask(drawn, 8, 8).view(8, 8)
    assert mask.any() and not mask.all()
    for part, forbidden in ((1, ~mask), (2, mask)):
        (gradient,) = torch.autograd.grad(fm.mines[0].pooled(x, {}, drawn, {})[:, part].square().sum(), x)
        assert not gradient[:, :, forbidden].any() and gradient[:, :, ~forbidden].any()


def test_8_draws_repeat_by_seed_and_differ_by_step():
    _, fm = prepared()
    torch.manual_seed(7)
    first, second = fm.kind.draw(1, "cpu"), fm.kind.draw(1, "cpu")
    torch.manual_seed(7)
    assert torch.equal(first, fm.kind.draw(1, "cpu")) and not torch.equal(first, second)


def test_9_limits_of_the_box():
    x = torch.randn(2, 5, 8, 8)
    for area, inside, outside in ((1.0, 1, 2), (0.0, 2, 1)):
        fm = FeatureMining(layers=1, box="inside", area=area)
        mask = fm.kind.mask(fm.kind.draw(1, "cpu"), 8, 8).float()
        pooled = pool_rows(x, pooling_matrix(torch.stack([torch.ones_like(mask), mask, 1 - mask], 1))[:, None])
        torch.testing.assert_close(pooled[:, inside], x.mean((2, 3)))
        assert not pooled[:, outside].any()


@pytest.mark.parametrize(("settings", "count"), [
    ({"layers": 0}, 1), ({"layers": 1}, 3), ({"layers": 2}, 5), ({"layers": 3}, 7),
    ({"layers": 2, "full_head": True}, 6), ({"layers": 3, "full_head": True}, 9)], ids=str)
def test_10_number_of_losses(settings, count):
    net, fm = prepared(**settings)
    assert len(fm.step(plain_step, net, batch()).losses) == count


# ------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize("settings", [
    {"share_box": True}, {"share_box": True, "per_sample": True}, {"beta": (0.5, 2.0)}, {"share_fc": "parts"},
    {"share_fc": "main"}, {"adapt": "conv"}, {"adapt": "conv", "full_head": True, "layers": 3}, {"tap": "post_bnrelu"},
    {"weights": (1.0, 0.5, 0.5, 0.2)},
    {"adapt": "conv", "segmentation": "channel", "per_sample": True}, {"adapt": "conv", "segmentation": "dropout"},
    {"segmentation": "noncomplementary", "second": "outside"}, {"segmentation": "channel", "keep": 0.5}], ids=str)
def test_every_setting_trains_the_trunk_and_every_head(settings):
    net, fm = prepared(**settings)
    losses = fm.step(plain_step, net, batch()).losses
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    for name, p in [*net.named_parameters(), *fm.named_parameters()]:
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
    assert all(p.grad.any() for name, p in fm.named_parameters() if "bias" in name and "heads" in name)


def corners(masks):
    """(n, H, W) masks of one box each -> (n, 2): its first row and column relative to the map."""
    return torch.stack([masks.amax(side).gt(0).int().argmax(1) / masks.shape[1] for side in (2, 1)], dim=1)


@pytest.mark.parametrize("share", [True, False])
def test_boxes_drawn_in_a_step_can_be_shared(share):
    """Six images' boxes: of the same relative size on both stages, and at the same place up to a cell only where shared."""
    net, fm = prepared(share_box=share, per_sample=True, box="inside", area=0.25)
    masks = spied(fm)
    fm.step(plain_step, net, batch())
    fine, coarse = masks[0][0].view(6, 16, 16), masks[1][0].view(6, 8, 8)
    assert (fine.sum((1, 2)) == 64).all() and (coarse.sum((1, 2)) == 16).all()
    assert bool(((corners(fine) - corners(coarse)).abs() <= 1 / 8).all()) is share


@pytest.mark.parametrize("segmentation", ["box", "dropout", "channel", "noncomplementary"])
def test_each_image_can_have_parts_of_its_own(segmentation):
    net, fm = prepared(segmentation=segmentation, per_sample=True)
    masks = spied(fm)
    fm.step(plain_step, net, batch())
    assert all(len(part) == 6 and (part != part[0]).any() for pair in masks for part in pair)


@pytest.mark.parametrize("segmentation", ["dropout", "channel"])
def test_a_fixed_share_of_points_is_kept(segmentation):
    _, fm = prepared(segmentation=segmentation, keep=0.75)
    for mine in fm.mines:
        assert mine.split(100, 8, 8, "cpu", None)[0].mean().item() == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("share", [True, False])
def test_boxes_drawn_for_an_epoch_are_shared_too(share):
    """The corner of a step's box, relative to the map, is the same on both stages up to a cell; by chance it seldom is."""
    _, fm = prepared(share_box=share, box="inside", area=0.25)
    drawn = fm.draw(50, 6, {1: (16, 16), 2: (8, 8)})
    fine, coarse = drawn["fm.stage2.rows"][:, 0].view(50, 16, 16), drawn["fm.stage3.rows"][:, 1].view(50, 8, 8)
    assert bool(((corners(fine) - corners(coarse)).abs() <= 1 / 8).all()) is share


def test_mean_reduction_divides_the_sum():
    totals = []
    for reduction in ("sum", "mean"):
        net, fm = prepared(torch.float64, reduction=reduction)
        torch.manual_seed(1)
        totals.append(sum(fm.step(plain_step, net, batch(dtype=torch.float64)).losses.values()).item())
    assert totals[0] == pytest.approx(5 * totals[1], abs=1e-12)


def test_detached_stages_leave_the_trunk_alone():
    net, fm = prepared(layers=1, detach_stages=(2,))
    losses = fm.step(plain_step, net, batch()).losses
    parts = losses["fm.stage3.inside"] + losses["fm.stage3.outside"]
    first = next(net.parameters())
    assert torch.autograd.grad(parts, first, retain_graph=True, allow_unused=True)[0] is None
    assert torch.autograd.grad(losses["ce"], first)[0].any()


@pytest.mark.parametrize(("settings", "says"), [
    ({"box": "centre"}, "center_clip"), ({"layers": 4}, "3 stages"), ({"layers": -1}, "0 or more"), ({"area": 2}, "fraction"),
    ({"weights": (1.0,)}, "4 here"), ({"beta": (0, 1)}, "positive"), ({"detach_stages": (0,)}, "are mined"),
    ({"per_sample": "no"}, "is bool"), ({"layers": 2.0}, "is int"), ({"min_box": 2}, "0, 1"),
    ({"detach_stages": (1,), "adapt": "conv"}, "needs adapt='none'"), ({"keep": 0.5}, "change nothing"),
    ({"second": "outside"}, "change nothing"), ({"pool": "masked_mean", "adapt": "conv"}, "change nothing"),
    ({"exact_width": True, "box": "inside"}, "center_clip"), ({"beta": (2.0, 1.0), "area": 0.5}, "area=None"),
    ({"tap": "post_bnrelu", "layers": 1}, "two layers"), ({"min_box": 1, "segmentation": "channel"}, "box")], ids=str)
def test_bad_settings_are_one_sentence(settings, says):
    with pytest.raises(UsageError, match=says):
        prepared(**settings)
    with pytest.raises(UsageError, match="segmentation"):
        make("fm", segmentaton="box")


def test_interval_follows_cutmix_arithmetic():
    """CutMix's published rule in plain Python integers."""
    for size in (7, 8, 16):
        for side, u in np.random.default_rng(0).random((200, 2)):
            cut, centre = int(size * side), int(size * u)
            expected = (max(centre - cut // 2, 0), min(centre + cut // 2, size))
            got = interval(size, torch.tensor([side]), torch.tensor([u]), "center_clip")
            assert tuple(int(t) for t in got) == expected


# ------------------------------------------------------------------------------------------------ anyone's network


@pytest.mark.parametrize("create", [
    lambda: torchvision.models.resnet18(num_classes=10), lambda: timm.create_model("resnet26", num_classes=10)],
    ids=["torchvision", "timm"])
def test_five_lines_with_anyones_network(create):
    """The documented use: train with the heads, deploy the untouched network."""
    torch.manual_seed(0)
    net = create()
    keys = list(net.state_dict())
    images, labels = batch(size=64).x, batch().y.argmax(1)
    tapped = Tapped(net, stages=["layer3", "layer4"], image_size=64)
    fm = FeatureMining(layers=2, min_box=1).prepare(tapped)
    optimizer = torch.optim.SGD([*net.parameters(), *fm.parameters()], lr=0.1, momentum=0.9)
    loss = fm.loss(tapped, images, labels)
    loss.backward()
    optimizer.step()
    assert all(p.grad is not None for p in fm.parameters()) and net.training
    assert list(net.state_dict()) == keys
    logits = net.eval()(images)
    fresh = create()
    fresh.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(logits, fresh.eval()(images))


def test_tapped_says_what_it_needs():
    net = torchvision.models.resnet18(num_classes=10)
    with pytest.raises(UsageError, match="layer1"):
        Tapped(net, stages=["stage4"])
    with pytest.raises(UsageError, match=r"\(B, C, H, W\)"):
        Tapped(net, stages=["fc"], image_size=64)


def test_tapped_leaves_the_network_as_it_was():
    """No hook stays behind, and a layer that its owner froze stays frozen."""
    net = torchvision.models.resnet18(num_classes=10)
    net.bn1.eval()
    tapped = Tapped(net, stages=["layer3", "layer4"], image_size=64)
    tapped.trace(batch(size=64).x)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert net.training and not net.bn1.training and net.layer1.training
