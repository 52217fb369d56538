"""Dropout, SpatialDropout and DropBlock against their definitions, NumPy, torch and torchvision."""

import numpy as np
import pytest
import torch
from helpers import batch
from torchvision.ops import drop_block2d

from featuremining import Outcome, Trace, UsageError, build, compose, make, plain_step
from featuremining.methods.dropout import block_mask, coins, drop_elements, gamma, rescale

NAMES = {"dropout": {"p": 0.3}, "spatial_dropout": {"p": 0.3}, "dropblock": {"drop": 0.3}}
FORMATS = [torch.contiguous_format, torch.channels_last]


class Net:
    """As much of a network as `prepare` and `plain_step` need: its maps are given, its logits follow from the last."""

    def __init__(self, *maps):
        self.given, self.channels, self.classes = maps, tuple(m.shape[1] for m in maps), 10
        self.head = torch.nn.Linear(maps[-1].shape[1], 10).to(maps[-1].dtype)

    def trace(self, x, pools, edits):
        maps = tuple(edits[i](m) if i in edits else m for i, m in enumerate(self.given))
        return Trace(maps, maps[-1].mean((2, 3)), self.head(maps[-1].mean((2, 3))))


def edited(method, x):
    """What a step with this method makes of x, (B, C, H, W), as the map of one stage."""
    out = method.prepare(Net(x)).step(plain_step, Net(x), batch(len(x), dtype=x.dtype))
    return out.trace.maps[0], out.logs


def ones(*shape, dtype=torch.float32):
    torch.manual_seed(0)
    return torch.ones(shape, dtype=dtype)


def squares(seeds, block):
    """NumPy, square by square: the definition of the mask."""
    height, width = (n + block - 1 for n in seeds.shape[-2:])
    mask = np.zeros((*seeds.shape[:-2], height, width), bool)
    for *where, i, j in np.argwhere(seeds):
        mask[(*where, slice(i, i + block), slice(j, j + block))] = True
    return mask


def within(found, p, n, sigmas=5):
    """Whether a fraction found in n independent trials of probability p is as near to p as chance brings it."""
    return abs(float(found) - p) < sigmas * (p * (1 - p) / n) ** 0.5


# Dropout and SpatialDropout

@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.01, 0.1, 0.5])
def test_dropout_drops_elements_with_probability_p(p, dtype):
    x = ones(32, 16, 16, 16, dtype=dtype)
    y, logs = edited(make("dropout", p=p, stages=(0,)), x)
    assert within((y == 0).double().mean(), p, x.numel())
    assert logs["dropout.stage1.dropped"].item() == pytest.approx((y == 0).double().mean().item(), rel=1e-6)
    assert torch.equal(y[y != 0].unique(), torch.tensor([1 / (1 - p)], dtype=dtype))


def test_dropout_elements_are_independent():
    """Neighbours along every axis are dropped together as often as chance says."""
    gone = edited(make("dropout", p=0.3, stages=(0,)), ones(32, 16, 16, 16))[0] == 0
    for axis in range(4):
        both = gone & gone.roll(1, axis)
        assert within(both.double().mean(), 0.09, both.numel() / 2)


@pytest.mark.parametrize("name", ["dropout", "spatial_dropout"])
def test_scaling_keeps_the_expectation_and_is_exact(name):
    x = torch.randn(64, 64, 8, 8, dtype=torch.float64)
    y, _ = edited(make(name, p=0.3, stages=(0,)), x)
    torch.testing.assert_close(y[y != 0], x[y != 0] / 0.7, rtol=1e-15, atol=0)
    assert edited(make(name, p=0.3, stages=(0,)), ones(64, 64, 8, 8))[0].mean().item() == pytest.approx(1, abs=0.05)


def test_spatial_dropout_drops_channels_of_images():
    x = ones(256, 64, 4, 4)
    y, logs = edited(make("spatial_dropout", p=0.2, stages=(0,)), x)
    gone = y[:, :, 0, 0] == 0
    assert torch.equal(y == 0, gone[:, :, None, None].expand_as(y))
    assert within(gone.double().mean(), 0.2, gone.numel())
    assert logs["spatial_dropout.stage1.dropped"].item() == pytest.approx(gone.double().mean().item())
    for axis in (0, 1):                     # neither an image's channels nor a channel's images share a coin
        assert within((gone & gone.roll(1, axis)).double().mean(), 0.04, gone.numel() / 2)


# DropBlock: the formulas

@pytest.mark.parametrize("shape", [(32, 32), (16, 16), (9, 14)])
@pytest.mark.parametrize("block", [1, 2, 3, 4, 5, 7, 8])
def test_the_mask_is_what_numpy_draws_square_by_square(shape, block):
    torch.manual_seed(block)
    seeds = torch.rand(4, 3, *(n - block + 1 for n in shape)) < 0.03
    seeds[0, 0, 0, 0] = seeds[0, 1, -1, -1] = seeds[1, 0, 0, -1] = True
    mask = block_mask(seeds, block)
    assert mask.dtype == torch.bool and mask.shape[2:] == shape
    np.testing.assert_array_equal(mask.numpy(), squares(seeds.numpy(), block))


@pytest.mark.parametrize("block", [2, 3, 4, 5, 7])
def test_what_is_dropped_is_a_union_of_whole_squares_in_the_map(block):
    """Opening by the square leaves the dropped area as it is; SciPy counts everything outside the map as kept."""
    from scipy.ndimage import binary_opening

    y, _ = edited(make("dropblock", drop=0.2, block=block, stages=(0,)), ones(8, 4, 16, 16))
    gone = (y == 0).numpy()
    opened = binary_opening(gone, np.ones((1, 1, block, block), bool))
    np.testing.assert_array_equal(gone, opened)
    assert gone.any() and gone[:, :, 0].any() and gone[:, :, -1].any() and gone[..., 0].any() and gone[..., -1].any()


def test_gamma_is_the_papers_and_torchvisions(monkeypatch):
    assert gamma(0.1, 7, 28, 28) == pytest.approx(0.1 / 49 * 784 / 22**2)
    seen, bernoulli = [], torch.Tensor.bernoulli_
    monkeypatch.setattr(torch.Tensor, "bernoulli_", lambda noise, p: seen.append((p, noise.shape[2:])) or bernoulli(noise, p))
    for drop, block, height, width in ((0.1, 7, 32, 32), (0.25, 3, 8, 13), (0.5, 1, 4, 4), (0.9, 9, 9, 20)):
        drop_block2d(torch.ones(1, 1, height, width), drop, block)
        assert seen[-1] == (pytest.approx(gamma(drop, block, height, width), rel=1e-12), (height - block + 1, width - block + 1))
    assert gamma(0.3, 8, 8, 8) == pytest.approx(0.3)        # one block, the whole map


def test_given_the_same_seeds_torchvision_gives_the_same_map(monkeypatch):
    x, seeds = torch.randn(4, 3, 16, 16, dtype=torch.float64), torch.rand(4, 3, 12, 12) < 0.01
    monkeypatch.setattr(torch.Tensor, "bernoulli_", lambda noise, p: noise.copy_(seeds))
    dropblock = make("dropblock", stages=(0,))
    monkeypatch.setattr(dropblock, "seeds", lambda x: seeds)
    torch.testing.assert_close(dropblock.edit(x)[0], drop_block2d(x, 0.1, 5), rtol=1e-8, atol=0)     # it adds 1e-6 to a sum


@pytest.mark.parametrize("size, block", [(32, 5), (32, 7), (16, 5), (16, 7), (8, 3)])
def test_how_much_is_dropped(size, block):
    """At most ``drop`` and, at 0.1, most of it; as much as torchvision drops within five standard errors over the maps."""
    x = ones(128, 16, size, size)
    y, logs = edited(make("dropblock", drop=0.1, block=block, stages=(0,)), x)
    ours, theirs = ((z == 0).double().mean((2, 3)).flatten() for z in (y, drop_block2d(x, 0.1, block)))
    assert 0.08 < ours.mean() < 0.1
    assert abs(ours.mean() - theirs.mean()) < 5 * ((ours.var() + theirs.var()) / len(ours)) ** 0.5
    assert ours.std() == pytest.approx(theirs.std().item(), rel=0.15)
    assert logs["dropblock.stage1.dropped"].item() == pytest.approx(ours.mean().item(), rel=1e-6)


def test_seeds_fall_everywhere_alike_and_as_often_as_gamma_says():
    """Also for a bfloat16 map, whose own numbers are too coarse to be compared with half a percent."""
    for dtype in (torch.float32, torch.bfloat16):
        x = ones(256, 64, 16, 16, dtype=dtype)
        dropblock = make("dropblock", stages=(0,)).prepare(Net(x))
        seeds, rate = dropblock.seeds(x).double(), gamma(0.1, 5, 16, 16)
        assert within(seeds.mean(), rate, seeds.numel())
        assert all(within(cell, rate, 256 * 64) for cell in seeds.mean((0, 1)).flatten())


@pytest.mark.parametrize("dtype, rtol", [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_constant_map_keeps_its_mean_over_the_batch(dtype, rtol, per_channel):
    y, _ = edited(make("dropblock", per_channel=per_channel, stages=(0,)), ones(16, 8, 32, 32, dtype=dtype))
    assert y.double().mean().item() == pytest.approx(1, rel=rtol)
    kept = y[y != 0]
    assert len(kept.unique()) == 1 and kept[0].item() == pytest.approx(y.numel() / len(kept), rel=rtol)


def test_a_batch_without_a_survivor_is_zero_and_finite():
    y = drop_elements(torch.ones(2, 1, 3, 3), torch.ones(2, 1, 3, 3, dtype=bool), rescale(torch.tensor(1.0), 18))
    assert not y.any() and torch.isfinite(y).all()


@pytest.mark.parametrize("per_channel", [True, False])
def test_images_differ_and_channels_as_asked(per_channel):
    y, _ = edited(make("dropblock", drop=0.3, per_channel=per_channel, stages=(0,)), ones(64, 8, 32, 32))
    gone = y == 0
    assert len({image.numpy().tobytes() for image in gone}) == 64
    alike = [torch.equal(image[0], image[1]) for image in gone]
    assert not any(alike) if per_channel else all(alike)


# DropBlock: the schedule

def test_schedule():
    method = make("dropblock", drop=0.2, stages=(0,))
    rate = method.rate
    assert rate.item() == pytest.approx(0.2)            # a loop that knows no schedules
    for progress in (0, 0.25, 0.995):
        method.at(progress)
        assert rate.item() == pytest.approx(0.2 * progress) and method.rate is rate
    method.at(0)
    x = torch.randn(4, 2, 16, 16)
    y, logs = edited(method, x)
    assert torch.equal(y, x) and logs["dropblock.stage1.dropped"] == 0
    constant = make("dropblock", drop=0.2, schedule="constant")
    constant.at(0)
    assert constant.rate.item() == pytest.approx(0.2)


def test_the_rate_is_neither_trained_nor_saved():
    assert not list(make("dropblock").parameters()) and not make("dropblock").state_dict()


@pytest.mark.parametrize("name", NAMES)
def test_one_graph_follows_the_rate_and_equals_the_plain_step(name):
    """torch.compile without a break; a schedule needs no new graph."""
    x, data, method, graphs = torch.randn(4, 3, 16, 16), batch(4), make(name, stages=(0,)), []
    method.prepare(Net(x))

    def step(x):
        out = method.step(lambda _, b: Outcome(b, b.edits[0](x), {}), None, data)
        return out.trace, *out.logs.values()

    backend = lambda graph, _: graphs.append(graph) or graph.forward  # noqa: E731
    compiled = torch.compile(step, fullgraph=True, dynamic=False, backend=backend)
    for progress in (0.9, 0.5):
        method.at(progress)
        torch.manual_seed(1)
        expected = step(x)
        torch.manual_seed(1)
        assert all(torch.equal(a, b) for a, b in zip(compiled(x), expected, strict=True))
    assert len(graphs) == 1 and not torch.equal(expected[0], x)


# all three

@pytest.mark.parametrize("name, off", [("dropout", {"p": 0}), ("spatial_dropout", {"p": 0.0}), ("dropblock", {"drop": 0})])
def test_probability_zero_and_eval_mode_are_the_identity(name, off):
    x, data = torch.randn(4, 3, 16, 16), batch(4)
    for method in (make(name, **off, stages=(0,)), make(name, stages=(0,)).eval()):
        out = method.prepare(Net(x)).step(lambda _, b: plain_step(Net(x), b) if not b.edits else None, None, data)
        assert out.trace.maps[0] is x and not out.logs
    y, _ = edited(make(name, **NAMES[name], stages=(0,)).eval().train(), x)
    assert not torch.equal(y, x)


@pytest.mark.parametrize("fmt", FORMATS, ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_zero_where_dropped_and_scaled_elsewhere(name, fmt):
    x = torch.randn(8, 4, 16, 16, dtype=torch.float64).to(memory_format=fmt).requires_grad_()
    method = make(name, **NAMES[name], stages=(0,)).prepare(Net(x))
    y, lost = method.edit(x)
    upstream = torch.randn_like(x)
    y.backward(upstream)
    gone = y == 0
    scale = gone.numel() / gone.logical_not().sum().double() if name == "dropblock" else 1 / 0.7
    assert gone.any() and not gone.all() and not lost.requires_grad
    torch.testing.assert_close(x.grad, torch.where(gone, 0, upstream * scale), rtol=1e-14, atol=0)
    assert not x.grad[gone].any() and y.is_contiguous(memory_format=fmt)


def test_noise_has_the_memory_format_of_the_map():
    for fmt in FORMATS:
        assert coins(torch.zeros(4, 8, 16, 16).to(memory_format=fmt)[:, :, 4:, 4:], 0.5).is_contiguous(memory_format=fmt)


@pytest.mark.parametrize("name, default", [("dropout", (1,)), ("spatial_dropout", (1,)), ("dropblock", (0, 1))])
def test_the_papers_places_in_a_real_network(name, default):
    """Default stages of a ResNet's three, and the maps a method around it sees are the edited ones."""
    torch.manual_seed(0)
    net, data = build("resnet20", 10), batch()
    with torch.no_grad():
        plain = net.trace(data.x).maps
        out = make(name).prepare(net).step(plain_step, net, data)
    assert {key.split(".")[1] for key in out.logs} == {f"stage{i + 1}" for i in default}
    assert torch.equal(out.trace.maps[0], plain[0]) == (0 not in default)
    assert not torch.equal(out.trace.maps[1], plain[1])
    kept = out.trace.maps[default[0]] != 0
    factor = out.trace.maps[default[0]][kept] / plain[default[0]][kept]
    torch.testing.assert_close(factor, factor[0].expand_as(factor))


@pytest.mark.parametrize("order", [("fm", "dropblock"), ("dropblock", "fm")])
def test_feature_mining_mines_the_dropped_map(order):
    """Whatever the order: whole = inside + outside of the dropped map, which is what FM pooled."""
    torch.manual_seed(0)
    net = build("resnet20", 10).double()
    plain = net.trace(batch(dtype=torch.float64).x).maps
    settings = {"fm": {"layers": 2}, "dropblock": {"drop": 0.3, "block": 3, "stages": (1, 2)}}
    out = compose([make(name, **settings[name]).prepare(net).double() for name in order])(net, batch(dtype=torch.float64))
    for stage in (1, 2):
        seen = out.trace.maps[stage]
        assert not torch.equal(seen, plain[stage])
        parts = out.trace.parts[stage].sum(1)
        torch.testing.assert_close(parts, seen.mean((2, 3)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(out.trace.pooled, out.trace.maps[2].mean((2, 3)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("first, then", [("spatial_dropout", "dropblock"), ("dropblock", "spatial_dropout")])
def test_two_edits_of_one_stage_both_happen_in_the_lists_order(first, then, monkeypatch):
    x = ones(32, 16, 16, 16, dtype=torch.float64)
    methods = [make(name, **NAMES[name], stages=(0,)).prepare(Net(x)) for name in (first, then)]
    calls, inputs = [], []
    for method in methods:
        monkeypatch.setattr(method, "edit", lambda x, own=method.edit, name=method.name: (
            calls.append(name), inputs.append(x), own(x))[-1])
    out = compose(methods)(Net(x), batch(32, dtype=torch.float64))
    assert calls == [first, then] and inputs[0] is x and inputs[1] is not x
    assert set(out.logs) == {f"{name}.stage1.dropped" for name in (first, then)}
    y = out.trace.maps[0]
    whole = (y == 0).flatten(2).all(2)
    assert whole.any() and not whole.all() and (y[~whole] == 0).any()
    scale = 1 / (1 - out.logs["dropblock.stage1.dropped"]) / 0.7
    torch.testing.assert_close(y[y != 0], scale.expand(int((y != 0).sum())), rtol=1e-6, atol=0)


def test_edits_of_other_stages_are_kept():
    x = torch.randn(4, 3, 16, 16)
    method = make("dropout", stages=(0,)).prepare(Net(x, x))
    out = method.step(plain_step, Net(x, x), batch(4)._replace(edits={1: lambda m: m + 1}))
    assert torch.equal(out.trace.maps[1], x + 1) and not torch.equal(out.trace.maps[0], x)


@pytest.mark.parametrize("name, settings, says", [
    ("dropout", {"p": 1.0}, r"p is a probability in \[0, 1\), got 1.0"),
    ("dropout", {"p": -0.1}, "got -0.1"),
    ("spatial_dropout", {"p": float("nan")}, "spatial_dropout: p is a probability"),
    ("dropblock", {"drop": 1}, "dropblock: drop is a probability"),
    ("dropblock", {"block": -3}, "positive number of cells, got -3"),
    ("dropblock", {"block": 0}, "got 0"),
    ("dropblock", {"block": 2.5}, "block is int, got 2.5"),
    ("dropblock", {"schedule": "cosine"}, "Known: linear, constant"),
    ("dropout", {"stages": ()}, "one stage at least"),
    ("dropout", {"stages": (1.5,)}, "stages is a list of int, got"),
    ("dropout", {"stages": (3,)}, "stage 3 was asked for, but this network has 3 stages"),
    ("dropblock", {"stages": (0, -4)}, "stage -4"),
    ("dropout", {"stages": (1, -2)}, "twice"),
])
def test_wrong_settings_are_one_sentence(name, settings, says):
    with pytest.raises(UsageError, match=says) as caught:
        make(name, **settings).prepare(build("resnet20", 10))
    assert str(caught.value).count("\n") == 0


def test_a_block_that_does_not_fit_is_refused_before_and_in_the_first_step():
    net = build("resnet20", 10)
    method = make("dropblock", block=9, stages=(-1,)).prepare(net)
    with pytest.raises(UsageError, match="block=9 does not fit into a map of 8 x 8"):
        method.draw(1, 6, [(32, 32), (16, 16), (8, 8)])
    with pytest.raises(UsageError, match="block=9 does not fit into a map of 8 x 8"):
        method.step(plain_step, net, batch())
    assert make("dropblock", block=8, stages=(-1,)).prepare(net).draw(1, 6, [(32, 32), (16, 16), (8, 8)]) == {}
    out = make("dropblock", drop=0.5, block=8, stages=[2]).prepare(net).step(plain_step, net, batch())      # the largest
    gone = (out.trace.maps[2] == 0).flatten(2)
    assert torch.isfinite(out.losses["ce"]) and gone.all(2).any()
