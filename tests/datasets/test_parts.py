"""The embedded data set: reproducible, balanced, opaque to a linear classifier, learnable by a small CNN."""

import hashlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from featuremining.datasets import parts
from featuremining.datasets.parts import CLASSES, MARGIN, SIZE, WIDTHS, draw

CHANCE = 1 / len(CLASSES)


@pytest.fixture(scope="module")
def split():
    """Training and test images (n, 3, 32, 32), standardised per pixel, with labels."""
    train, test = draw(2048, 0), draw(500, 1)
    x, t = (torch.from_numpy(d.images).permute(0, 3, 1, 2).float() for d in (train, test))
    mean, std = x.mean(0), x.std(0)
    return (x - mean) / std, torch.from_numpy(train.labels), (t - mean) / std, torch.from_numpy(test.labels)


def accuracy(scores, labels):
    return (scores.argmax(1) == labels).float().mean().item()


def test_same_seed_same_bytes():
    a, b = draw(64, 3), draw(64, 3)
    assert all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))
    assert not np.array_equal(a.images, draw(64, 4).images)
    assert hashlib.sha256(b"".join(p.tobytes() for p in a)).hexdigest()[:16] == "78fe74f6ee241c9c"


@pytest.mark.parametrize("m", [0, 1, 13, 30])
def test_prefix(m):
    assert all(np.array_equal(p[:m], q) for p, q in zip(draw(30, 5), draw(m, 5), strict=True))


def test_shapes_and_balance():
    images, labels, boxes = draw(100, 0)
    assert (images.shape, labels.shape, boxes.shape) == ((100, SIZE, SIZE, 3), (100,), (100, 4))
    assert (images.dtype, labels.dtype, boxes.dtype) == (np.uint8, np.int64, np.int64)
    assert np.ptp(np.bincount(labels, minlength=len(CLASSES))) <= 1
    assert (np.diff(labels) < 0).sum() > 20    # shuffled: sorted rounds would fall 11 times
    assert len(set(CLASSES)) == len(CLASSES)


def test_boxes_hold_the_class_part():
    _, labels, boxes = drawn = draw(300, 0)
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    assert boxes.min() >= MARGIN and boxes.max() <= SIZE - MARGIN
    assert np.array_equal(width, height) and set(width) == set(range(WIDTHS[0], WIDTHS[1] + 1))
    y, x = np.mgrid[:SIZE, :SIZE]
    x0, y0, x1, y1 = boxes.T[:, :, None, None]
    inside = (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
    changed = (drawn.images != parts._render(labels, 0, class_part=False)[0]).any(3)
    assert not (changed & ~inside).any()                                      # all class evidence lies in the box
    assert (changed.sum((1, 2)) > 0.35 * width * height).all()                # a triangle fills half of it
    assert (changed.any(1).sum(1) >= width - 1).all() and (changed.any(2).sum(1) >= height - 2).all()    # the box is tight


def test_without_class_part_the_label_does_not_matter():
    labels = draw(20, 0).labels
    bare = [parts._render(k, 0, class_part=False)[0] for k in (labels, (labels + 1) % len(CLASSES))]
    assert np.array_equal(*bare)


def test_classes_and_distractors_share_every_pair_of_attributes():
    classes, others = parts._CLASS_KINDS, parts._OTHER_KINDS
    assert not {*map(tuple, classes)} & {*map(tuple, others)}
    for pair in ([0, 1], [0, 2], [1, 2]):
        assert {*map(tuple, classes[:, pair])} <= {*map(tuple, others[:, pair])}


def test_linear_classifier_is_near_chance(split):
    x, labels, t, truth = split
    x, t = x.flatten(1), t.flatten(1)
    targets = F.one_hot(labels, len(CLASSES)).float() - CHANCE
    kernel, cross = x @ x.T, t @ x.T
    for ridge in (1e2, 1e3, 1e4):
        scores = cross @ torch.linalg.solve(kernel + ridge * torch.eye(len(x)), targets)
        assert accuracy(scores, truth) < 2 * CHANCE


def test_small_cnn_learns(split):
    x, labels, t, truth = split
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveMaxPool2d(1),
        nn.Flatten(), nn.Linear(64, len(CLASSES)),
    )
    epochs, batch = 3, 64
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=epochs * len(x) // batch)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            views = x[rows].flip(3) if torch.rand(()) < 0.5 else x[rows]
            optimizer.zero_grad()
            F.cross_entropy(net(views), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        assert accuracy(net(t), truth) > 4 * CHANCE
