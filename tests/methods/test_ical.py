"""ICAL against a double loop over pairs of classes; the three forms, their gradients, the angles it logs."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import batch

from featuremining import UsageError, build, compose, make, plain_step
from featuremining.methods.ical import ICAL, cosines, mean_cosine, off_diagonal


def rows(k=5, d=7, seed=0):
    return torch.randn(k, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def angle_loop(w):
    """cos of every pair, one at a time."""
    return np.array([[np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for b in w] for a in w])


def test_the_mean_form_is_the_double_loop():
    """lambda / K^2 ||sum w_i||^2 = lambda mean cos, the diagonal's 1 / K included."""
    w = rows()
    loop = angle_loop(w.numpy())
    np.testing.assert_allclose(cosines(w).numpy(), loop, atol=1e-12)
    assert mean_cosine(w).item() == pytest.approx(loop.sum() / 25)
    np.testing.assert_array_equal(off_diagonal(cosines(w)).numpy(), cosines(w).numpy()[~np.eye(5, dtype=bool)])


def test_length_does_not_count_and_zero_sum_is_the_minimum():
    """A simplex, and two opposite pairs that are equal in themselves: the penalty can't tell them apart."""
    w = rows()
    torch.testing.assert_close(mean_cosine(w * torch.arange(1.0, 6)[:, None]), mean_cosine(w))
    simplex = torch.eye(4, dtype=torch.float64) - 0.25
    pairs = torch.tensor([[1.0, 0], [-1, 0], [1, 0], [-1, 0]], dtype=torch.float64)
    assert mean_cosine(simplex) < 1e-15 and mean_cosine(pairs) < 1e-15
    torch.testing.assert_close(off_diagonal(cosines(simplex)), torch.full((12,), -1 / 3, dtype=torch.float64))
    assert mean_cosine(torch.ones(4, 3)).item() == pytest.approx(1)


@pytest.mark.parametrize("form", ["mean", "confusion", "hinge"])
def test_gradients_turn_vectors_and_do_not_stretch_them(form):
    """Finite differences; orthogonal to each class vector; one small step widens what is penalised."""
    method, w = ICAL(form=form), rows().requires_grad_()
    method.confusion = torch.rand(5, 5, dtype=torch.float64)
    value = lambda w: method.penalty(w, cosines(w))  # noqa: E731
    assert torch.autograd.gradcheck(value, w)
    (g,) = torch.autograd.grad(value(w), w)
    assert (g * w).sum(1).abs().max() < 1e-12 and value(w - 0.01 * g) < value(w)


def test_the_other_forms_are_loops():
    w, k = rows(), 5
    cos = angle_loop(w.numpy())
    pairs = [(i, j) for i in range(k) for j in range(k) if i != j]
    hinge = ICAL(form="hinge", margin=0.1).penalty(w, cosines(w))
    assert hinge.item() == pytest.approx(np.mean([max(cos[p] - 0.1, 0) for p in pairs]))
    method = ICAL(form="confusion")
    method.confusion = c = torch.rand(k, k, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = {(i, j): (c[i, j] + c[j, i]).item() for i, j in pairs}
    assert method.penalty(w, cosines(w)).item() == pytest.approx(
        sum(weights[p] * cos[p] for p in pairs) / sum(weights.values()))


def test_the_running_confusion_is_that_of_the_predictions():
    """Rows of classes that the batch lacks stay; the rest moves by 1 - memory towards the mean prediction of its images."""
    net = build("resnet20", 3)
    method = make("ical", form="confusion", memory=0.75).prepare(net)
    z, y = torch.randn(4, 3), torch.eye(3)[[0, 0, 2, 2]]
    method.watch(z, y)
    p = z.softmax(1)
    expected = 0.75 / 3 + 0.25 * torch.stack([p[:2].mean(0), torch.full((3,), 1 / 3), p[2:].mean(0)])
    torch.testing.assert_close(method.confusion, expected)
    torch.testing.assert_close(method.confusion.sum(1), torch.ones(3))
    assert "confusion" in method.state_dict() and not method.confusion.requires_grad


def test_confused_classes_pay_more():
    method = ICAL(form="confusion")
    method.confusion = torch.full((3, 3), 0.01)
    method.confusion[0, 1] = 0.5
    w = torch.tensor([[1.0, 0], [1, 0.2], [-1, 0.2]]).requires_grad_()
    (g,) = torch.autograd.grad(method.penalty(w, cosines(w)), w)
    step = cosines(w - 0.5 * g)
    assert step[0, 1] < cosines(w)[0, 1] - 0.04


@pytest.mark.parametrize("form", ["mean", "confusion", "hinge"])
def test_the_step_adds_one_loss_and_logs_angles(form):
    torch.manual_seed(0)
    net = build("resnet20", 10)
    method, data = make("ical", form=form, weight=3.0).prepare(net), batch()
    with torch.autocast("cpu", torch.bfloat16):
        out = compose([method, make("mixup")])(net, data)
    assert list(out.losses) == ["ce", "ical"] and out.losses["ical"].dtype == torch.float32
    w = net.head.weight
    torch.testing.assert_close(out.losses["ical"], 3.0 * method.penalty(w, cosines(w)))
    unit = F.normalize(w.detach().double(), dim=1)
    angles = [math.degrees(math.acos(unit[i] @ unit[j])) for i in range(10) for j in range(i)]
    assert out.logs["ical.angle_min"].item() == pytest.approx(min(angles), rel=1e-4)
    assert out.logs["ical.angle_mean"].item() == pytest.approx(np.mean(angles), rel=1e-4)
    assert out.logs["ical.angle_max"].item() == pytest.approx(max(angles), rel=1e-4)


def test_it_widens_angles():
    """Twenty steps down the penalty from vectors in a narrow cone."""
    torch.manual_seed(0)
    net = build("resnet20", 10, depth=8)
    with torch.no_grad():
        net.head.weight.add_(0.3)
    method, seen = make("ical", weight=20.0).prepare(net), []
    optimizer = torch.optim.SGD([net.head.weight], lr=1.0)
    for _ in range(20):
        out = method.step(plain_step, net, batch())
        optimizer.zero_grad()
        out.losses["ical"].backward()
        optimizer.step()
        seen.append(out.logs["ical.angle_mean"].item())
    assert seen[0] < 45 and seen[-1] > 85


@pytest.mark.parametrize(("settings", "says"), [
    ({"weight": -1.0}, "weight is 0 or more"), ({"margin": 1.0, "form": "hinge"}, "margin in"),
    ({"memory": 1.0, "form": "confusion"}, "memory in"), ({"margin": 0.5}, "it needs form 'hinge'"),
    ({"memory": 0.5}, "it needs form 'confusion'"), ({"form": "pairs"}, "pairs")])
def test_bad_settings_are_one_sentence(settings, says):
    with pytest.raises(UsageError, match=says):
        make("ical", **settings)


def test_a_classifier_without_class_vectors_is_refused():
    net = build("resnet20", 10)
    net.head = torch.nn.Sequential(net.head)
    with pytest.raises(UsageError, match="one weight vector for each"):
        make("ical").prepare(net)
