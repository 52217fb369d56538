"""Methods that change the batch, against their definitions: Mixup, CutMix, Cutout, label smoothing."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import batch

from featuremining import UsageError, build, make, plain_step
from featuremining.methods.cutmix import paste
from featuremining.methods.mixup import mix


def seen_by(method, data):
    """The batch that reaches the network."""
    found = []
    method.step(lambda model, b: found.append(b) or plain_step(model, b), build("resnet20", 10).to(data.x.dtype), data)
    return found[0]


def test_mixup_is_identity_at_lambda_one():
    data = batch()
    mixed = mix(data, torch.tensor(1.0), torch.randperm(6))
    assert torch.equal(mixed.x, data.x) and torch.equal(mixed.y, data.y)


def test_mixup_loss_is_the_weighted_sum_of_both_labels():
    net, data = build("resnet20", 10).double().eval(), batch(dtype=torch.float64)
    lam, partner = torch.tensor(0.3, dtype=torch.float64), torch.tensor([5, 0, 1, 2, 3, 4])
    loss = plain_step(net, mix(data, lam, partner)).losses["ce"]
    logits = net(0.3 * data.x + 0.7 * data.x[partner])
    labels = data.y.argmax(1)
    expected = 0.3 * F.cross_entropy(logits, labels) + 0.7 * F.cross_entropy(logits, labels[partner])
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)


def test_mixup_pairs_every_image_with_one_other_by_a_permutation():
    torch.manual_seed(0)
    data, method = batch(dtype=torch.float64), make("mixup")
    drawn = {name: t[0].double() for name, t in method.draw(1, 8, ()).items()}      # drawn for 8, the last batch has 6
    mixed, lam = seen_by(method, data._replace(drawn=drawn)), drawn["mixup.lam"]
    partner = torch.tensor(sorted(range(6), key=lambda i: drawn["mixup.noise"][i]))
    torch.testing.assert_close(mixed.x, lam * data.x + (1 - lam) * data.x[partner], rtol=0, atol=1e-12)
    torch.testing.assert_close(mixed.y, lam * data.y + (1 - lam) * data.y[partner], rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------ CutMix


def reference_box(lam, u_x, u_y, size):
    """The box of CutMix's paper and code, in NumPy: even widths around a cell, clipped."""
    cut = int(size * math.sqrt(1 - lam))
    cx, cy = int(u_x * size), int(u_y * size)
    (x1, x2), (y1, y2) = (np.clip([c - cut // 2, c + cut // 2], 0, size) for c in (cx, cy))
    mask = np.zeros((size, size), bool)
    mask[y1:y2, x1:x2] = True
    return mask


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_is_its_definition(seed):
    torch.manual_seed(seed)
    data, method = batch(dtype=torch.float64), make("cutmix", prob=1.0)
    drawn = {name: t[0].double() for name, t in method.draw(1, 6, ()).items()}
    mixed = seen_by(method, data._replace(drawn=drawn))
    mask = reference_box(drawn["cutmix.lam"].item(), *drawn["cutmix.at"].tolist(), 32)
    partner = drawn["cutmix.noise"].argsort()
    assert sorted(partner.tolist()) == list(range(6))
    expected = np.where(mask, data.x[partner].numpy(), data.x.numpy())
    share = mask.mean()
    assert np.array_equal(mixed.x.numpy(), expected)
    np.testing.assert_allclose(mixed.y.numpy(), (1 - share) * data.y.numpy() + share * data.y[partner].numpy(), atol=1e-12)


def test_cutmix_loss_is_the_weighted_sum_of_both_labels():
    net, data = build("resnet20", 10).double().eval(), batch(dtype=torch.float64)
    mask, partner = torch.zeros(32, 32, dtype=torch.bool), torch.tensor([5, 0, 1, 2, 3, 4])
    mask[4:12, 8:24] = True
    mixed, labels = paste(data, mask, partner), data.y.argmax(1)
    logits, share = net(mixed.x), 128 / 1024
    expected = (1 - share) * F.cross_entropy(logits, labels) + share * F.cross_entropy(logits, labels[partner])
    torch.testing.assert_close(plain_step(net, mixed).losses["ce"], expected, rtol=0, atol=1e-12)


def test_cutmix_is_identity_at_probability_zero_and_as_frequent_as_asked():
    data = batch()
    same = seen_by(make("cutmix", prob=0.0), data)
    assert torch.equal(same.x, data.x) and torch.equal(same.y, data.y)
    torch.manual_seed(0)
    applied = (make("cutmix").draw(4000, 2, ())["cutmix.lam"] < 1).float().mean().item()
    assert abs(applied - 0.5) < 3 * math.sqrt(0.25 / 4000)


# ------------------------------------------------------------------------------------------------ Cutout


def test_cutout_zeroes_one_square_per_image_and_nothing_else():
    torch.manual_seed(0)
    data = batch(64)._replace(x=torch.ones(64, 3, 32, 32))
    holes = seen_by(make("cutout", length=8), data).x == 0
    assert torch.equal(holes[:, 0], holes[:, 1]) and torch.equal(holes[:, 0], holes[:, 2])
    for hole in holes[:, 0]:
        rows, cols = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & cols) and 16 <= hole.sum() <= 64
        assert rows.sum() == 8 or rows[0] or rows[-1]       # smaller only where the border clips it
    assert len({tuple(h.flatten().tolist()) for h in holes[:, 0]}) > 50         # every image its own place


def test_cutout_keeps_values_and_targets():
    data = batch()
    cut = seen_by(make("cutout"), data)
    assert torch.equal(cut.x[cut.x != 0], data.x[cut.x != 0]) and torch.equal(cut.y, data.y)


# ------------------------------------------------------------------------------------------------ label smoothing


def test_label_smoothing_is_torchs():
    net, data = build("resnet20", 10).double().eval(), batch(dtype=torch.float64)
    loss = make("label_smoothing", eps=0.1).step(plain_step, net, data).losses["ce"]
    expected = F.cross_entropy(net(data.x), data.y.argmax(1), label_smoothing=0.1)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)


def test_label_smoothing_and_mixing_commute():
    torch.manual_seed(0)
    data, mixup, smooth = batch(dtype=torch.float64), make("mixup"), make("label_smoothing")
    data = data._replace(drawn={name: t[0].double() for name, t in mixup.draw(1, 6, ()).items()})
    net = build("resnet20", 10).double()
    one = mixup.step(lambda m, b: smooth.step(plain_step, m, b), net, data)
    other = smooth.step(lambda m, b: mixup.step(plain_step, m, b), net, data)
    torch.testing.assert_close(one.batch.y, other.batch.y, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "settings"), [
    ("cutmix", {"alpha": 0}), ("cutmix", {"prob": 1.5}), ("cutout", {"length": 7}), ("cutout", {"length": 0}),
    ("label_smoothing", {"eps": 1.0}), ("label_smoothing", {"eps": -0.1})], ids=str)
def test_bad_settings_are_one_sentence(name, settings):
    with pytest.raises(UsageError, match=name):
        make(name, **settings)
