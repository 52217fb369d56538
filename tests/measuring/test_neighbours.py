"""Detail around a low-rank layer, the width of a view, confusion by angle: on numbers whose answer is known, against NumPy, SciPy
and scikit-learn; kept beside records and shown without weights."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
import torch.nn.functional as F
from helpers import batch

from featuremining import UsageError, build, cli, paths, studies, train_each
from featuremining.measuring import confusion, detail, diagnostics, insight, view
from featuremining.recipes import recipe
from featuremining.records import findings
from featuremining.showing import neighbours, notebook, show
from featuremining.showing.figures import neighbours as figures
from featuremining.studies import cells

F64 = torch.float64


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------ detail


def test_slopes_are_numpys():
    x = noise(2, 3, 5, 7)
    down, right = np.gradient(x.numpy(), axis=(2, 3))
    np.testing.assert_allclose(detail.slopes(x).numpy(), np.sqrt((down**2 + right**2).mean(1)))


def test_a_map_is_like_its_own_image_and_like_no_other():
    """1 for the image itself, in other scales, shifted, negative; 0 where nothing changes; near nothing for another image; and
    a smaller map is held against the mean over its places. Two images have nothing in common, not even their borders."""
    x = noise(4, 3, 32, 32)
    for same in (x, -3 * x + 5, torch.cat([x, x], 1)):
        torch.testing.assert_close(detail.likeness(same, x), torch.ones(4, dtype=F64))
    assert detail.likeness(torch.ones(4, 2, 32, 32, dtype=F64), x).eq(0).all()
    assert detail.likeness(x, torch.zeros_like(x)).eq(0).all()
    assert detail.likeness(noise(64, 3, 32, 32, seed=1), noise(64, 3, 32, 32, seed=2)).mean().abs() < 0.02
    small = noise(4, 5, 8, 8, seed=2)
    mine = detail.slopes(small)[:, 1:-1, 1:-1].flatten(1).numpy()
    theirs = F.avg_pool2d(detail.slopes(x)[:, None], 4)[:, 0, 1:-1, 1:-1].flatten(1).numpy()
    np.testing.assert_allclose(detail.likeness(small, x), [np.corrcoef(a, b)[0, 1] for a, b in zip(mine, theirs, strict=True)])


def test_fine_is_the_power_of_short_waves():
    """A wave of two places is fine, one of eight is not, both together by their squares, upright or across."""
    t = torch.arange(16, dtype=F64)
    short, long = torch.cos(math.pi * t), torch.cos(math.pi / 4 * t)
    maps = torch.stack([short, long, 2 * short + long, torch.zeros(16)])[:, None, None].expand(4, 1, 16, 16)
    torch.testing.assert_close(detail.fine(maps), torch.tensor([1.0, 0, 8 / 9, 0], dtype=F64))
    torch.testing.assert_close(detail.fine(maps.mT), detail.fine(maps))
    torch.testing.assert_close(detail.fine(5 * maps + 3), detail.fine(maps))


def low_rank(**settings):
    torch.manual_seed(0)
    net = build("resnet20", 10, insert=[{"layer": "low_rank", "after": "stage2", **settings}])
    net.train()(batch(16).x)
    return net


def test_before_and_after_are_what_the_layer_reads_and_gives():
    net, x = low_rank(gate=0.5), batch(8).x
    modes = [m.training for m in net.modules()]
    before, after = detail.around(net, "stage2", x)
    layer = net.inserted["stage2"]
    net.eval()
    torch.testing.assert_close(after, layer(before))
    torch.testing.assert_close(net.maps(x)[1], after)
    assert modes == [True] * len(modes) and not layer._forward_hooks
    values = detail.measure(net, [(x[:5], None), (x[5:], None)])
    torch.testing.assert_close(torch.tensor(values["after"]), 100 * detail.likeness(after, x).mean(), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(torch.tensor(values["fine_before"]), 100 * detail.fine(before).mean(), atol=1e-3, rtol=1e-3)
    assert values["n"] == 8 and values["place"] == "stage2" and json.loads(json.dumps(values, allow_nan=False)) == values
    for i, (a, b) in enumerate(zip(values["maps"]["before"], values["maps"]["after"], strict=True)):
        channel = before[i].var((1, 2), correction=0).argmax()
        for rows, maps in ((a, before), (b, after)):
            m = maps[i, channel]
            np.testing.assert_allclose(figures.grid(rows), (255 * (m - m.min()) / (m.max() - m.min())).detach(), atol=0.51)
    with pytest.raises(UsageError, match="this network has none"):
        detail.measure(build("resnet20", 10), [])


def test_a_layer_that_takes_noise_away_is_seen():
    """An image's own maps under noise: their projection on the subspace of many is more like the image."""
    image = F.interpolate(noise(1, 1, 4, 4), (16, 16), mode="bilinear")
    clean = image * torch.linspace(1, 3, 64, dtype=F64)[:, None, None]
    noisy = clean + 0.5 * clean.std() * noise(1, 64, 16, 16, seed=1)
    layer = detail.LowRankRecovery(share=1.0, rho=0.3)
    assert detail.likeness(layer(noisy), image) > 0.97 > 0.96 > detail.likeness(noisy, image)


# ------------------------------------------------------------------------------------------------ view


def test_area_is_the_fewest_places_that_hold_it():
    """All of a uniform map, one place of a peak, a quarter where a quarter is even; negative parts count as nothing."""
    maps = torch.zeros(5, 10, 10, dtype=F64)
    maps[0], maps[1, 3, 4], maps[2, :5, :5], maps[3] = 2.0, 7.0, 1.0, -1.0
    maps[4, 0, 0], maps[4, 0, 1], maps[4, 1] = 8.0, 2.0, -9.0
    np.testing.assert_allclose(view.area(maps).numpy(), [0.8, 0.01, 0.2, np.nan, 0.01])
    few = noise(3, 6, 6).clamp(min=0)
    for part, found in zip(few.flatten(1).numpy(), view.area(few, 0.5).tolist(), strict=True):
        ordered = np.sort(part)[::-1].cumsum()
        assert found == pytest.approx((np.searchsorted(ordered, 0.5 * ordered[-1]) + 1) / 36)
    torch.testing.assert_close(view.area(1e3 * few), view.area(few))


@pytest.mark.parametrize("head", ["plain", "unit", "convmix"])
def test_activation_is_of_the_map_whose_mean_is_classified(head):
    """mean + bias = logit; and of plain heads Grad-CAM's area is the same."""
    torch.manual_seed(0)
    net = build("resnet20", 10, **({} if head == "plain" else {"head": {"name": head}}))
    net.train()(batch(32).x)
    x, y = batch(6).x, torch.arange(6)
    trace, values = insight.look(net, x), view.measure(net, [(x, y)])
    weight = F.normalize(net.head.weight, dim=1) if head == "unit" else net.head.weight
    maps = torch.einsum("bk,bkhw->bhw", weight[y], view.averaged_map(net, trace))
    bias = net.head.bias[y] if head != "unit" else 0
    torch.testing.assert_close(maps.mean((1, 2)) + bias, trace.logits[torch.arange(6), y], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(view.area(view.activation(net, x, y)), view.area(maps), equal_nan=True)
    assert values["n"] == 6 and 0 < values["area"] <= 100 and net.head.weight.grad is None
    if head != "convmix":
        assert values["area"] == pytest.approx(values["last"], abs=0.2)


def test_other_heads_show_grad_cam():
    net = build("resnet20", 10, head={"name": "convmix", "mode": "vector"})
    x, y = batch(3).x, torch.arange(3)
    torch.testing.assert_close(view.activation(net, x, y), insight.grad_cam(net, x, y))
    dark = torch.nn.Module()
    assert view.averaged_map(dark, insight.look(net, x)) is None


# ------------------------------------------------------------------------------------------------ confusion


def test_confusion_is_scikit_learns():
    g = torch.Generator().manual_seed(0)
    y, guess = torch.randint(5, (200,), generator=g), torch.randint(5, (200,), generator=g)
    np.testing.assert_allclose(confusion.confusion(y, guess, 5).numpy(),
                               sklearn.metrics.confusion_matrix(y, guess, normalize="true"))
    assert confusion.confusion(y, guess, 6)[5].eq(0).all()
    square = noise(4, 4)
    assert confusion.of_pairs(square).tolist() == [((square[i, j] + square[j, i]) / 2).item() for i in range(4)
                                                   for j in range(i + 1, 4)]


def test_numbers_of_known_pairs():
    """Confusion that falls with the angle: -1, the four nearest against the four farthest of nine; as SciPy has it with ties."""
    angles = torch.tensor([90.0, 10, 20, 30, 40, 50, 60, 70, 80], dtype=F64)
    falls = confusion.numbers(angles, 1 - angles / 100)
    assert falls == {"rho": -1.0, "near": 75.0, "far": 25.0}
    tied = torch.tensor([0.0, 0.1, 0.1, 0.0, 0.2, 0.0, 0.0, 0.0, 0.1], dtype=F64)
    assert confusion.numbers(angles, tied)["rho"] == pytest.approx(scipy.stats.spearmanr(angles, tied).statistic, abs=1e-4)
    assert confusion.numbers(angles, torch.zeros(9, dtype=F64))["rho"] is None


class Sure:
    """A classifier whose class vectors and answers are given."""

    def __init__(self, vectors, answers):
        self.head = torch.nn.Linear(vectors.shape[1], len(vectors), bias=False)
        self.head.weight.data = vectors
        self.answers = torch.eye(len(vectors))[answers]

    def modules(self):
        return [self.head]

    def trace(self, x):
        return insight.Trace((), x, self.answers[x.long()])


def test_a_network_whose_confusion_is_known():
    """Classes 0 and 1 at 60 degrees take a fifth of each other's images, 2 stands across and errs once, towards 0."""
    vectors = torch.tensor([[1.0, 0, 0], [0.5, 3**0.5 / 2, 0], [0, 0, 7]])
    y = torch.arange(3).repeat_interleave(5)
    answers = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 2, 2, 2, 2, 0])
    found = confusion.measure(Sure(vectors, answers), [(torch.arange(15.0), y)], groups=[0, 0, 1])
    assert found["angles"] == "60.0 90.0 90.0" and found["confused"] == "20 10 0"
    assert (found["n"], found["classes"], found["wrong"], found["near"], found["far"]) == (15, 3, 20.0, 20.0, 0.0)
    assert found["similar"] == pytest.approx(100 * 2 / 15, abs=1e-4) and found["similar_angle"] == pytest.approx(60)
    assert confusion.measure(Sure(vectors, answers), [(torch.arange(15.0), y)])["similar"] is None
    with pytest.raises(UsageError, match="one weight vector for each of three classes"):
        confusion.measure(Sure(vectors[:2], torch.zeros(15).long()), [])


# ------------------------------------------------------------------------------------------------ on record and shown


CELLS = ["LDFR.X1.resnet20.fldfr.60", "CM.X1.resnet20.convmix", "ICAL.X1.resnet20.ical", "ICAL.X1.resnet20.baseline"]


def page(train=True):
    return notebook.Page("neighbours", "smoke", CELLS, [0], "cpu", train)


def test_they_are_kept_beside_the_records_and_shown_without_weights(few_images, monkeypatch, capsys):
    short = replace(recipe("resnet20", "smoke"), epochs=1, batch=32)
    monkeypatch.setattr(cells, "recipe", lambda network, tier, **changes: short)
    monkeypatch.setattr(diagnostics, "load", lambda name, **changes: few_images)
    shown = page()
    for part in ("detail", "detail_maps", "view", "confusion", "confusion_by_angle"):
        kind = part.partition("_")[0]
        assert 'class="empty"' in getattr(show, part)(shown.measured_of_all(kind), "smoke"), part
    train_each(shown.missing, "cpu")
    shown.look()
    runs = [studies.cell(id_).run("smoke", 0) for id_ in CELLS]
    assert [len(findings.read("detail", run)) for run in runs] == [1, 0, 0, 0]
    assert all(len(findings.read(kind, run)) == 1 for kind in ("view", "confusion") for run in runs)
    capsys.readouterr()
    page().look()
    assert capsys.readouterr().out.count("seed 0: measured") == 9
    found = {kind: page(train=False).measured_of_all(kind) for kind in ("detail", "view", "confusion")}
    assert [len(getattr(neighbours, kind)(of)) for kind, of in found.items()] == [1, 4, 4]
    maps, by_angle = show.detail_maps(found["detail"], "smoke"), show.confusion_by_angle(found["confusion"], "smoke")
    assert "stage2" in show.detail(found["detail"], "smoke") and "before" in maps and "<svg" in maps
    assert "<svg" in by_angle and "ICAL" in by_angle


def test_confusion_over_angle_fits_a_narrow_screen():
    """Its legend stands below the panel, a network a line; two networks of one colour have different dashes."""
    values = {"angles": "70 80 90", "confused": "3 2 1", "rho": -0.5}
    drawn = str(figures.confusion([(studies.cell(id_), findings.Finding(1, "confusion", "seed0", "key", "full", values, {}))
                                   for id_ in ("ICAL.X1.resnet20.unit", "LDFR.X1.resnet20.fldfr.60")], "full"))
    wide, narrow = re.findall(r'<svg.*?viewBox="0 0 ([\d.]+) [^"]*".*?</svg>', drawn, re.S)
    assert float(narrow) < 360 < float(wide)
    lines = re.findall(r'style="fill: none; (stroke[^"]*stroke-width: 1\.8[^"]*)"', drawn.partition("</svg>")[0])
    assert len(lines) == 4 and len(set(lines)) == 2         # each once more in the legend


def test_a_training_is_measured_at_once(few_images, monkeypatch, capsys):
    """By `fm run`, too: weights are no part of a record. What was interrupted between training and measuring is measured by the
    same command; a cell whose notebook measures nothing, or without weights, is left alone."""
    short = replace(recipe("resnet20", "smoke"), epochs=1, batch=32)
    monkeypatch.setattr(cells, "recipe", lambda network, tier, **changes: short)
    monkeypatch.setattr(diagnostics, "load", lambda name, **changes: few_images)

    def found(id_):
        return [kind for kind in ("detail", "view", "confusion") if findings.read(kind, studies.cell(id_).run("smoke", 0))]

    cli.run(CELLS[0], "smoke", [0], "cpu", "eager", 1, False, False)
    assert found(CELLS[0]) == ["detail", "view", "confusion"]
    run = studies.cell(CELLS[0]).run("smoke", 0)
    findings.path("view", run, "seed0").unlink()
    cli.run(CELLS[0], "smoke", [0], "cpu", "eager", 1, False, True)
    assert found(CELLS[0]) == ["detail", "view", "confusion"]
    paths.weights(run.tier, run.key, 0).unlink()
    findings.path("view", run, "seed0").unlink()
    capsys.readouterr()
    cli.run(CELLS[0], "smoke", [0], "cpu", "eager", 1, False, False)
    assert found(CELLS[0]) == ["detail", "confusion"] and "seed 0: " not in capsys.readouterr().out
    cli.run("X1.resnet20.baseline", "smoke", [0], "cpu", "eager", 1, False, False)
    assert found("X1.resnet20.baseline") == []


def test_only_of_cifar_100_it_is_said_beforehand_which_classes_are_similar(monkeypatch):
    monkeypatch.setattr(diagnostics.cifar100, "superclasses", lambda: [0, 0, 1])
    assert diagnostics.groups_of("cifar100") == [0, 0, 1] and diagnostics.groups_of("parts") is None
