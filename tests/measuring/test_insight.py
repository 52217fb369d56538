"""Maps of what a network looks at and the numbers on them, against identities, NumPy and SciPy; and their figures."""

import json
import re
import xml.etree.ElementTree as ET
from importlib import import_module

import numpy as np
import pytest
import torch
import torchvision
from helpers import batch
from made_records import example
from scipy.ndimage import map_coordinates
from scipy.stats import ttest_rel
from torch import nn

from featuremining import FMError, Tapped, UsageError, build, load, paths, records, stats
from featuremining.datasets import parts
from featuremining.measuring import insight
from featuremining.models import weights
from featuremining.models.staged import StagedNet
from featuremining.recipes import recipe
from featuremining.showing import figures
from featuremining.showing.figures import maps as map_figures
from featuremining.studies import Run


def resnet18():
    return Tapped(torchvision.models.resnet18(num_classes=10), ["layer1", "layer3", "layer4"], image_size=64)


NETWORKS = {"resnet20": lambda: build("resnet20", 10), "preresnet20": lambda: build("preresnet20", 10),
            "resnet50": lambda: build("resnet50", 10), "timm": lambda: build("timm/resnet10t", 10), "Tapped": resnet18}


def network(name, dtype=torch.float64, size=64):
    """A network whose batch normalisations have seen images, in evaluation mode, with images and classes."""
    torch.manual_seed(0)
    net, data = NETWORKS[name](), batch(4, size=size, dtype=dtype)
    module = net if isinstance(net, nn.Module) else net.net
    module.to(dtype).train()
    with torch.no_grad():
        net(data.x)
    module.eval()
    return net, data.x, data.y.argmax(1)


class InPlace(nn.Module):
    """Writes over what it reads."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x.mul_(2).relu_())


def overwriting():
    """Three stages, of which the last two begin by changing the map before them in place."""
    torch.manual_seed(0)
    conv = [nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)]
    return StagedNet(nn.Conv2d(3, 4, 1), [conv[0], InPlace(conv[1]), InPlace(conv[2])], (4, 4, 4), 10).double().eval()


# ------------------------------------------------------------------------------------------------ maps


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype, near", [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=["fp32", "fp64"])
def test_cam_averages_to_the_logit_and_grad_cam_is_its_positive_part(name, dtype, near):
    net, x, classes = network(name, dtype)
    trace = insight.look(net, x)
    maps = insight.cam(net, x, classes)
    logit = trace.logits.gather(1, classes[:, None])[:, 0]
    torch.testing.assert_close(maps.mean((1, 2)) + net.head.bias[classes], logit.detach(), rtol=near, atol=near)
    assert torch.equal(insight.cam(net, trace, classes), maps) and (maps < 0).any()
    gradient = insight.grad_cam(net, x, classes)
    torch.testing.assert_close(gradient, maps.relu() / maps[0].numel(), rtol=near, atol=near)


@pytest.mark.parametrize("net", [overwriting(), network("resnet20")[0]], ids=["overwriting", "resnet20"])
@pytest.mark.parametrize("stage", [0, 1, -2, -1])
def test_grad_cam_is_what_finite_differences_say(net, stage):
    """The mean slope of channel k is the logit's change when the whole channel of the stage's output is raised, over H W."""
    x, classes = batch(3, size=8, dtype=torch.float64).x, torch.tensor([1, 7, 7])
    at, step, kept = stage % 3, 1e-6, []

    def logits(channel, by):
        def edit(a):
            kept.append(a.clone())
            a = a.clone()
            a[:, channel] += by
            return a

        return net.trace(x, edits={at: edit}).logits.gather(1, classes[:, None])[:, 0]

    with torch.no_grad():
        slopes = torch.stack([(logits(k, step) - logits(k, -step)) / (2 * step) for k in range(net.channels[at])], 1)
    expected = torch.einsum("bk,bkhw->bhw", slopes / kept[0][0, 0].numel(), kept[0]).clamp(min=0)
    assert expected.any()
    torch.testing.assert_close(insight.grad_cam(net, x, classes, stage), expected, rtol=0, atol=1e-8)


def test_the_network_is_left_as_it_was():
    """Modes, weights, running means, gradients and flags, also where gradients are off or the weights are frozen."""
    net, x, classes = network("resnet20", torch.float32, 32)
    net.train()
    net.stages[1].eval()
    net.head.weight.grad = torch.ones_like(net.head.weight)
    modes, state = [m.training for m in net.modules()], {k: v.clone() for k, v in net.state_dict().items()}
    with torch.no_grad():
        first = insight.grad_cam(net, x, classes, 1)
    insight.cam(net, x, classes)
    assert modes == [m.training for m in net.modules()]
    assert all(torch.equal(state[k], v) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters() if p is not net.head.weight) and (net.head.weight.grad == 1).all()
    assert not x.requires_grad and not first.requires_grad and not insight.cam(net, x, classes).requires_grad
    assert torch.equal(insight.grad_cam(net.requires_grad_(False), x, classes, 1), first)


def test_an_error_inside_gives_the_modes_back():
    net = build("resnet20", 10)
    with pytest.raises(RuntimeError):
        insight.grad_cam(net, torch.zeros(1, 5, 8, 8), torch.tensor([0]))
    assert all(m.training for m in net.modules())


def test_maps_that_do_not_exist_are_one_sentence():
    net, x, classes = network("resnet20", size=32)
    with pytest.raises(UsageError, match="stage 3 was asked for, but this network has 3"):
        insight.grad_cam(net, x, classes, 3)
    for pool, width in ((nn.AdaptiveMaxPool2d(1), 4), (nn.AdaptiveAvgPool2d(2), 16)):       # the latter is VGG's way
        other = Tapped(nn.Sequential(nn.Conv2d(3, 4, 1), pool, nn.Flatten(), nn.Linear(width, 10)), ["0"], 8)
        with pytest.raises(UsageError, match="use grad_cam"):
            insight.cam(other, x.float(), classes)
        assert insight.grad_cam(other, x.float(), classes).any()


def test_upsampling_is_scipys():
    maps = torch.randn(3, 4, 5, dtype=torch.float64)
    rows, cols = np.meshgrid((np.arange(12) + 0.5) / 3 - 0.5, (np.arange(35) + 0.5) / 7 - 0.5, indexing="ij")
    for up, small in zip(insight.upsample(maps, 12, 35), maps, strict=True):
        np.testing.assert_allclose(up, map_coordinates(small.numpy(), [rows, cols], order=1, mode="nearest"), atol=1e-12)


def test_unit_stretches_every_map_by_itself():
    maps = torch.stack([torch.tensor([[-3.0, 1.0], [0.0, -1.0]]), torch.full((2, 2), 5.0)])
    assert insight.unit(maps).tolist() == [[[0.0, 1.0], [0.75, 0.5]], [[0.0, 0.0], [0.0, 0.0]]]


# ------------------------------------------------------------------------------------------------ does it point?


@pytest.mark.parametrize("tolerance", [0, 1, 3])
def test_pointing_is_the_distance_of_the_peak_from_the_box(tolerance):
    """Every peak of a 7 x 9 map against a box, pixel by pixel."""
    boxes, maps = torch.tensor([[2, 3, 5, 4]]).expand(63, 4), torch.eye(63).view(63, 7, 9)
    found = insight.pointing(maps, boxes, tolerance).view(7, 9)
    for y in range(7):
        for x in range(9):
            nearest = min((x - bx) ** 2 + (y - by) ** 2 for bx in (2, 3, 4) for by in (3,))
            assert found[y, x] == (nearest <= tolerance**2)


def test_only_the_first_peak_counts_and_nothing_positive_does_not_point():
    box = torch.tensor([[0, 0, 1, 1]])
    first = torch.zeros(1, 2, 2)
    first[0, 0, 0] = first[0, 1, 1] = 1
    assert insight.pointing(first, box).tolist() == [True] and insight.pointing(first.flip(2), box).tolist() == [False]
    for dead in (torch.zeros(1, 2, 2), torch.tensor([[[-1.0, -2.0], [-2.0, -2.0]]])):
        assert insight.pointing(dead, box).tolist() == [False] and insight.energy(dead, box).isnan().all()
        assert insight.silent(dead).all()


def test_energy_is_numpys():
    torch.manual_seed(0)
    maps, boxes = torch.randn(5, 6, 8, dtype=torch.float64), torch.tensor([[1, 2, 4, 5]] * 4 + [[0, 0, 8, 6]])
    found = insight.energy(maps, boxes)
    for m, (x0, y0, x1, y1), e in zip(maps.numpy(), boxes.tolist(), found, strict=True):
        positive = np.maximum(m, 0)
        assert e.item() == pytest.approx(positive[y0:y1, x0:x1].sum() / positive.sum(), abs=1e-12)
    assert found[-1] == 1
    torch.testing.assert_close(insight.energy(7 * maps, boxes), found)
    parts_of = [insight.energy(maps, torch.tensor([b] * 5)) for b in ([0, 0, 3, 6], [3, 0, 8, 2], [3, 2, 8, 6])]
    torch.testing.assert_close(sum(parts_of), torch.ones(5, dtype=torch.float64))


class Given(nn.Module):
    """A network whose maps are its images: class k is where channel k is bright."""

    channels, classes = (3,), 3

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3, bias=False)
        nn.init.eye_(self.head.weight)

    def trace(self, x, pools={}, edits={}):  # noqa: B006
        maps = edits[0](x) if 0 in edits else x
        return insight.Trace((maps,), maps.mean((2, 3)), self.head(maps.mean((2, 3))))


def scene():
    """Six images of 8 x 10, their classes, boxes, and what is to be found: hits, energies, right answers."""
    images, boxes, labels = torch.zeros(6, 3, 8, 10), torch.tensor([[2, 2, 6, 4]] * 6), torch.tensor([0, 1, 2, 0, 1, 2])
    images[0, 0, 3, 5] = 1                                  # in the last column of the box
    images[1, 1, 4, 2] = 1                                  # one row below the box
    images[2, 2, 2, 2], images[2, 2, 0, 0] = 3.0, 1.0       # three quarters inside
    images[3, 1] = 1                                        # another class: nothing for the true one
    images[4, 1], images[4, 0] = 0.5, 0.7                   # everywhere alike, and classified as another
    images[5, 2, 3:5, 4:6] = 1
    return images, labels, boxes, "101001", [1.0, 0.0, 0.75, None, 0.1, 0.5], "111001"


@pytest.mark.parametrize("how", ["cam", "grad_cam"])
def test_localise_finds_what_was_put_there(how, monkeypatch):
    monkeypatch.setattr(insight, "BATCH", 4)
    images, labels, boxes, hits, energies, right = scene()
    found = insight.localise(Given(), images, labels, boxes.numpy(), how)
    assert found["each"] == {"pointing": hits, "energy": energies, "right": right}
    assert (found["n"], found["silent"], found["hidden"], found["chance"]) == (6, 1, 0, 10.0)
    assert found["pointing"] == pytest.approx(50) and found["energy"] == pytest.approx(100 * 2.35 / 5, abs=1e-4)
    assert found["top1"] == pytest.approx(100 * 4 / 6, abs=1e-4) and found["centre"] == 0
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert insight.localise(Given(), images, labels, boxes, how, tolerance=1)["each"]["pointing"] == "111001"
    middle = torch.tensor([[5, 4, 6, 5]] * 3 + [[0, 0, 5, 4]] * 3)
    assert insight.localise(Given(), images, labels, middle, how)["centre"] == 50


def test_images_whose_box_was_cropped_away_do_not_count():
    images, labels, boxes, hits, energies, right = scene()
    boxes[1], boxes[4] = torch.tensor([10, 2, 10, 4]), torch.tensor([0, 0, 5, 0])
    found = insight.localise(Given(), images, labels, boxes)
    kept = [0, 2, 3, 5]
    assert found["each"] == {"pointing": "".join(hits[i] for i in kept), "energy": [energies[i] for i in kept],
                             "right": "".join(right[i] for i in kept)}
    assert (found["n"], found["hidden"], found["chance"], found["pointing"]) == (4, 2, 10.0, 75.0)
    with pytest.raises(UsageError, match="needs a box with an area"):
        insight.localise(Given(), images[:1], labels[:1], [[3, 3, 3, 3]])


def test_fractional_boxes_hold_the_pixels_whose_centres_they_hold():
    assert insight.whole(torch.tensor([[0.4, 0.6, 2.5, 2.6], [1.0, 0.0, 3.0, 2.0]])).tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]
    assert insight.whole(np.array([[1, 2, 3, 4]])).tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("box", [[2, 2, 1, 4], [0, 0, 11, 4], [-1, 0, 4, 4], [0, 5, 4, 9]], ids=str)
def test_bad_boxes_are_one_sentence(box):
    images, labels, *_ = scene()
    for boxes in ([box] * 6, [[0, 0, 1, 1]] * 5, [[0, 0, 1, 1]] * 7):
        with pytest.raises(UsageError, match="Boxes are x0, y0, x1, y1 in px"):
            insight.localise(Given(), images, labels, boxes)


def test_questions_that_have_no_answer_are_one_sentence():
    images, labels, boxes, *_ = scene()
    with pytest.raises(UsageError, match="Did you mean 'grad_cam'"):
        insight.localise(Given(), images, labels, boxes, "gradcam")
    with pytest.raises(UsageError, match="cam reads the last stage"):
        insight.localise(build("resnet20", 10), images, labels, boxes, stage=1)
    with pytest.raises(UsageError, match="got 3 and 2 values"):
        stats.paired("101", "10")
    with pytest.raises(UsageError, match="two images at least"):
        stats.paired([0.1, None], [0.2, 0.4])


def test_a_run_is_observed_through_its_weights(scratch):
    """On all test images, as `localise` on the normalised images; without weights it says so."""
    run, data, boxes = Run("parts", "resnet20", (), recipe("resnet20", "smoke"), "smoke", 3), load("parts", test=27), None
    boxes = parts.draw(27, seed=1).boxes
    with pytest.raises(FMError, match="no weights"):
        insight.observe_run(run, data, boxes)
    torch.manual_seed(0)
    net = build("resnet20", 9).eval()
    weights.write(paths.weights(run.tier, run.key, run.seed), net.state_dict())
    made = example(spec=run.spec(), seed=run.seed, weights=weights.digest(net.state_dict()))
    records.write(made, paths.record(run.tier, run.key, run.seed))
    state = torch.get_rng_state()
    found = insight.observe_run(run, data, boxes, "grad_cam", stage=1)
    assert torch.equal(state, torch.get_rng_state())
    images = (data.test_x.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    assert found == insight.localise(net, images, data.test_y, boxes, "grad_cam", stage=1)
    assert found == insight.observe_run(net, data, boxes, "grad_cam", stage=1)
    sides = boxes[:, 2:] - boxes[:, :2]
    assert found["chance"] == pytest.approx(100 * sides.prod(1).mean() / 1024, abs=1e-3) and found["n"] == 27


def test_paired_is_scipys_interval():
    rng = np.random.default_rng(0)
    a, b = rng.random(30), rng.random(30)
    found, theirs = stats.paired(list(a), list(b)), ttest_rel(100 * a, 100 * b).confidence_interval(0.95)
    assert (found["low"], found["high"]) == (pytest.approx(theirs.low, abs=1e-4), pytest.approx(theirs.high, abs=1e-4))
    assert found["mean"] == pytest.approx(100 * (a - b).mean(), abs=1e-4) and found["n"] == 30
    assert stats.paired([*a, None, 0.5], [*b, 0.5, None]) == found
    bits = [rng.integers(2, size=40) for _ in "ab"]
    theirs = ttest_rel(*(100 * v for v in bits)).confidence_interval(0.95)
    assert stats.paired(*("".join(map(str, v)) for v in bits))["low"] == pytest.approx(theirs.low, abs=1e-4)


# ------------------------------------------------------------------------------------------------ activations


def some_maps(seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(5, c, s, s, generator=g, dtype=torch.float64).relu() * c for c, s in ((2, 8), (3, 4), (1, 2))]


def test_counts_are_numpys_and_add_up_to_all_that_is_above_a_half():
    maps, edges = some_maps(), insight.activation_edges(some_maps(), some_maps(1))
    counts = insight.activation_counts(maps, edges)
    assert counts.shape == (3, len(edges))
    for row, a in zip(counts, maps, strict=True):
        expected = np.histogram(a[a > 0.5], [*edges.tolist(), np.inf])[0] / 5
        np.testing.assert_allclose(row, expected, atol=1e-12)
        assert row.sum() == pytest.approx((a > 0.5).sum().item() / 5) and ((5 * row) % 1 == 0).all()
    torch.testing.assert_close(insight.activation_counts([a - 0.4 * (a == 0) for a in maps], edges), counts)     # before the ReLU


def test_edges_go_in_tenths_from_a_half_to_the_largest_quantile():
    ours, theirs = some_maps(), [4 * a for a in some_maps(1)]
    edges = insight.activation_edges(ours, theirs)
    assert edges[0] == 0.5 and np.allclose(np.diff(edges), 0.1)
    top = max(np.quantile(a, 0.999, method="inverted_cdf") for a in (*ours, *theirs))
    assert edges[-2] < top <= edges[-1] + 1e-9
    assert insight.activation_edges([torch.zeros(2, 1, 2, 2)]).tolist() == [0.5, 0.6]
    assert insight.activation_edges(ours, width=1, low=0)[:3].tolist() == [0, 1, 2]


def test_spreads_take_the_scale_of_a_stage_out():
    maps = some_maps()
    scaled = insight.in_spreads([a * factor for a, factor in zip(maps, (7, 0.1, 3), strict=True)])
    for a, b, raw in zip(insight.in_spreads(maps), scaled, maps, strict=True):
        torch.testing.assert_close(a, b)
        np.testing.assert_allclose(a.numpy(), raw.numpy() / np.std(raw.numpy(), ddof=1))
    below = maps[0] - (maps[0] == 0) * 1.0                  # what a ReLU would remove does not count
    torch.testing.assert_close(insight.in_spreads([below])[0].relu(), insight.in_spreads(maps)[0])
    assert not insight.in_spreads([torch.zeros(2, 1, 2, 2)])[0].any()


def test_activations_of_two_networks_share_images_and_edges():
    nets = {name: network("resnet20", torch.float32, 32)[0] for name in ("a", "b")}
    with torch.no_grad():
        nets["b"].stages[0][-1].residual[-1][1].bias += 9
    x = insight.sample(load("parts", train=9, test=90), 8, seed=1)
    assert x.shape == (8, 3, 32, 32) and torch.equal(x, insight.sample(load("parts", train=9, test=90), 8, seed=1))
    found = insight.activations(nets, x)
    assert json.loads(json.dumps(found, allow_nan=False)) == found and found["n"] == 8
    for kind in ("raw", "in_spreads"):
        edges, counts = found[kind]["edges"], found[kind]["counts"]
        assert list(counts) == ["a", "b"] and all(len(row) == len(edges) for c in counts.values() for row in c)
    for name, net in nets.items():
        above = [(m > 0.5).sum().item() / 8 for m in insight.look(net, x).maps]
        np.testing.assert_allclose(np.sum(found["raw"]["counts"][name], 1), above)
    both = [insight.look(net, x).maps for net in nets.values()]
    assert found["raw"]["edges"] == pytest.approx(insight.activation_edges(*both).tolist())
    assert len(found["raw"]["edges"]) > len(insight.activation_edges(both[0]))
    sums = {name: np.sum(c[0]) for name, c in found["raw"]["counts"].items()}
    assert sums["b"] > sums["a"]


# ------------------------------------------------------------------------------------------------ figures


def parsed(html):
    """The figure's SVG, well formed and small, with a title for screen readers and the page's own colours."""
    assert len(html) < 300 * 1024 and "#0b0c0d" not in html and 'role="img"' in html
    svg = ET.fromstring(re.search(r"<svg.*?</svg>", html, re.S).group())
    return svg, "".join(svg.itertext())


@pytest.fixture
def drawn(monkeypatch):
    """The matplotlib figures that were made."""
    kept = []
    inline = figures.inline
    for module in (map_figures, *(import_module(f"featuremining.showing.figures.{kind}") for kind in ("activations", "samples"))):
        monkeypatch.setattr(module, "inline", lambda figure, *words: kept.append(figure) or inline(figure, *words))
    return kept


def test_class_activation_shows_every_map_and_the_box(drawn):
    data, maps = load("parts", train=9, test=9), torch.rand(3, 8, 8)
    boxes = parts.draw(3, seed=1).boxes
    html = map_figures.class_activation(data.test_x[:3], {"baseline": maps, "with <FM>": maps.numpy()}, boxes, data.classes[:3])
    svg, text = parsed(html)
    assert len(svg.findall(".//{*}image")) == 9 and all(word in text for word in ("baseline", "with <FM>", data.classes[2]))
    axes = drawn[0].axes[5]                                 # second row, last column
    assert axes.patches[0].get_bbox().extents.tolist() == boxes[1].tolist()
    assert axes.get_images()[0].get_extent() == [0, 32, 32, 0]
    assert np.array_equal(drawn[0].axes[3].get_images()[0].get_array(), data.test_x[1])


def test_an_overlay_is_brightest_at_the_peak():
    heat = np.zeros((8, 8))
    heat[1, 6] = 1
    light = map_figures.overlay(np.full((32, 32, 3), 128, np.uint8), heat).sum(2)
    y, x = np.unravel_index(light.argmax(), light.shape)
    assert 4 <= y < 8 and 24 <= x < 28 and light[20:].max() == light.min()
    assert map_figures.overlay(np.zeros((32, 32, 3), np.uint8), np.zeros((8, 8))).shape == (32, 32, 3)


def test_large_images_are_made_smaller_until_the_figure_is_small():
    noise = torch.randint(256, (5, 150, 200, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    svg, _ = parsed(map_figures.class_activation(noise, {"a": torch.rand(5, 7, 7), "b": torch.rand(5, 7, 7)}))
    assert len(svg.findall(".//{*}image")) == 15
    halves = map_figures.thumbnails(noise.numpy(), 100)
    np.testing.assert_allclose(halves, noise.numpy().reshape(5, 75, 2, 100, 2, 3).mean((2, 4)), atol=1)       # rounded per axis


def test_activation_histogram_has_a_panel_per_stage(drawn):
    counts = {"baseline": [[4, 2, 0, 1], [8, 0, 0, 0]], "FM": [[5, 3, 1, 1], [8, 1, 1, 0]]}
    _, text = parsed(figures.activation_histogram([0.5, 0.6, 0.7, 0.8], counts, 64, "activation / spread"))
    assert all(word in text for word in ("stage 1", "stage 2", "baseline (n = 64 images)", "activation / spread"))
    first = drawn[0].axes[0]
    assert len(drawn[0].axes) == 2 and first.get_yscale() == "log"
    assert first.patches[1].get_data().values.tolist() == [5, 3, 1] and first.lines[1].get_ydata().tolist() == [1]
    second = drawn[0].axes[1].patches[0].get_data().values
    assert second[0] == 8 and np.isnan(second[1:]).all()    # no logarithm of nothing
    with pytest.raises(UsageError, match="needs 4 counts"):
        figures.activation_histogram([0.5, 0.6, 0.7, 0.8], {"a": [[1, 2, 3]]}, 64)


def test_accuracy_over_shows_means_intervals_and_seeds(drawn):
    groups = {"baseline": [[40.0, 42.0, 41.0], [50.0], []], "FM": [[43.0, 44.0], [52.0, 51.0], [60.0, 61.0]],
              "never": [[], [], []]}
    _, text = parsed(figures.accuracy_over([50, 100, 500], groups, "images per class", "short", title="A < B"))
    assert all(word in text for word in ("A < B", "images per class", "test top-1 (%)", "baseline (n = 1 to 3)", "FM (n = 2)"))
    assert "never (n" not in text
    (axes,) = drawn[0].axes
    line = next(line for line in axes.lines if line.get_label().startswith("baseline"))
    assert line.get_ydata().tolist() == [41, 50] and line.get_marker() == "D"       # a lone mean is seen without a line
    bar = axes.containers[0].lines[2][0].get_segments()     # one segment: a single seed has no interval
    half = stats.mean_interval(stats.Summary(3, 41.0, 1.0)).half
    assert len(bar) == 1 and bar[0][:, 1] == pytest.approx([41 - half, 41 + half])
    dots = [line.get_ydata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert dots == [[40, 42, 41, 50], [43, 44, 52, 51, 60, 61]]
    marks, frame = np.concatenate([line.get_xdata() for line in axes.lines]), axes.get_xlim()
    assert frame[0] < marks.min() and marks.max() < frame[1]


def test_no_data_no_figure():
    nothing = figures.accuracy_over([1, 2], {"a": [[], []]}, "x", "full")
    assert nothing == figures.curves([], "full") and "No full-tier record" in nothing
