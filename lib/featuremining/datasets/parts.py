"""Parts: an embedded data set whose classes differ in one small local part, so that local features decide.

Every image shows one class part among two or three distractor parts on a smooth background. A part is a shape,
a texture and a pair of opponent colours. The classes form a Latin square over these three attributes; the distractors
are a second, disjoint Latin square and plain parts. Every pair of attributes of a class thus occurs in a distractor
too, and only all three within one part tell the class. Each part swaps its two colours at random: all classes have the
same mean image, and a linear classifier on pixels stays near chance, one in nine. 1,800 images of 32 pixels to train on and
450 to test on, unless a study says otherwise.
"""

from itertools import product
from typing import NamedTuple

import numpy as np

TERMS = "those of the project, whose code draws it"
SIZE = 32
MARGIN = 4          # px between class part and border: a crop padded by 4 never cuts the part
WIDTHS = (9, 11)    # px, smallest and largest part
NOISE = 0.1         # peak to peak, of the value range 0..1
SHAPES = ("disc", "square", "triangle")
TEXTURES = ("barred", "striped", "checked", "plain")    # barred: horizontal, striped: vertical, as no flip may swap them
COLOURS = {"red-cyan": (1, -1, -1), "green-magenta": (-1, 1, -1), "blue-yellow": (-1, -1, 1)}

_KINDS = np.array(list(product(range(3), range(4), range(3))))   # (36, 3): shape, texture, colour
_PLAIN, _SQUARE = _KINDS[:, 1] == 3, _KINDS.sum(1) % 3           # plain parts; the textured ones make three Latin squares
_CLASS_KINDS, _OTHER_KINDS = _KINDS[~_PLAIN & (_SQUARE == 0)], _KINDS[_PLAIN | (_SQUARE == 1)]
_AXES = np.array(list(COLOURS.values()), np.float32)
CLASSES = tuple(f"{TEXTURES[t]} {SHAPES[s]}, {list(COLOURS)[c]}" for s, t, c in _CLASS_KINDS)


class Drawn(NamedTuple):
    """n images, their classes and the places of the class parts."""

    images: np.ndarray    # uint8 (n, 32, 32, 3)
    labels: np.ndarray    # int64 (n,), index into CLASSES
    boxes: np.ndarray     # int64 (n, 4): x0, y0, x1, y1 in px, half open


def where() -> tuple[bool, str]:
    return True, "embedded: drawn when it is loaded"


def load(train: int = 1800, test: int = 450):
    """The data set of the smoke tier: ``train`` and ``test`` images of two streams, classes balanced.

    The boxes of the parts in these images are ``draw(train, seed=0).boxes`` and ``draw(test, seed=1).boxes``.
    """
    import torch

    from . import DataSet

    a, b = draw(train, seed=0), draw(test, seed=1)
    tensors = [torch.from_numpy(array) for drawn in (a, b) for array in (drawn.images, drawn.labels)]
    return DataSet("parts", *tensors, CLASSES, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def draw(n: int, seed: int) -> Drawn:
    """n images of the stream `seed`; the first m of them are draw(m, seed)."""
    labels = _labels(n, seed)
    images, boxes = _render(labels, seed)
    return Drawn(images, labels, boxes)


def _rng(seed, stream):
    return np.random.Generator(np.random.PCG64([seed, stream]))


def _pick(u, k):
    """Integers 0..k-1 from uniforms."""
    return np.minimum((u * k).astype(np.int64), k - 1)


def _labels(n, seed):
    """int64 (n,): one shuffled round of all classes after the other, so that every prefix is balanced."""
    rounds = _rng(seed, 0).random((-(-n // len(CLASSES)), len(CLASSES)))
    return rounds.argsort(1).ravel()[:n].astype(np.int64)


def _render(labels, seed, class_part=True):
    """Images uint8 (n, 32, 32, 3) and boxes int64 (n, 4); without the class part, images do not depend on the labels."""
    n = len(labels)
    u = _rng(seed, 1).random((n, 48), np.float32)    # one row per image, so that prefixes agree
    widths = WIDTHS[0] + _pick(u[:, :4], WIDTHS[1] - WIDTHS[0] + 1)
    x, y = _places(u[:, 4:10], widths, np.array([0, 1, 0, 1])), _places(u[:, 10:16], widths, np.array([0, 0, 1, 1]))
    looks, canvas = u[:, 16:32].reshape(n, 4, 4), _background(u[:, 32:44].reshape(n, 4, 3))
    kinds, dropped = _OTHER_KINDS[_pick(u[:, 44:47], len(_OTHER_KINDS))], _pick(u[:, 47], 6)
    for k in range(1, 4):    # half of the images lose one of the three distractors
        _paint(canvas, x[:, k], y[:, k], widths[:, k], kinds[:, k - 1], looks[:, k], dropped != k)
    if class_part:
        _paint(canvas, x[:, 0], y[:, 0], widths[:, 0], _CLASS_KINDS[labels], looks[:, 0], np.ones(n, bool))
    noise = NOISE * (_rng(seed, 2).random((n, SIZE, SIZE, 3), np.float32) - 0.5)
    images = (255 * (canvas[:, :SIZE, :SIZE] + noise).clip(0, 1) + 0.5).astype(np.uint8)
    return images, np.stack([x[:, 0], y[:, 0], x[:, 0] + widths[:, 0], y[:, 0] + widths[:, 0]], 1)


def _places(u, widths, other):
    """Left (or top) edges int64 (n, 4) along one axis: class part first; those with `other` lie on its far side."""
    margin = MARGIN + _pick(u[:, :1], 5)
    room = np.where(other, SIZE - margin - widths[:, :1] - widths, margin)
    offset = np.where(np.arange(4) == 0, margin, _pick(u[:, 1:5], room + 1))
    return np.where((u[:, 5:] < 0.5) == other, offset, SIZE - widths - offset)


def _background(corners):
    """Canvas float32 (n, 36, 36, 3), bilinear between four random colours; parts are drawn in patches that may pass 32."""
    t = (np.arange(SIZE + 4, dtype=np.float32) / (SIZE - 1))[:, None]
    corners = 0.25 + 0.5 * corners[:, :, None]
    top, bottom = ((corners[:, k] * (1 - t) + corners[:, k + 1] * t)[:, None] for k in (0, 2))
    return top * (1 - t[:, None]) + bottom * t[:, None]


def _paint(canvas, x, y, width, kinds, look, visible):
    """Blend one part per image into the canvas: x, y, width, visible (n,), kinds (n, 3), look (n, 4) uniform in [0, 1).

    Only correctly rounded operations (no sine): the same bytes on every processor.
    """
    steps, (base, contrast, sign, phase) = np.arange(WIDTHS[1]), look.T[:, :, None, None]
    half = width[:, None, None] / 2
    px = steps + 0.5 - half    # (n, 1, 11), from the middle of the part; py (n, 11, 1)
    py = px.swapaxes(1, 2)
    depths = half - np.sqrt(px**2 + py**2), half - np.maximum(abs(px), abs(py)), \
        np.minimum(half - py, (py + half - 2 * abs(px)) / np.sqrt(5))    # px from the outline, positive inside
    bars, stripes = _wave(py + 4 * phase), _wave(px + 4 * phase)
    waves = bars, stripes, bars * stripes, 1.0
    shape, texture, colour = kinds.T
    rows = np.arange(len(canvas))
    depth, wave = (np.stack(np.broadcast_arrays(*a))[b, rows] for a, b in ((depths, shape), (waves, texture)))
    swing = np.where(sign < 0.5, -1, 1) * (0.3 + 0.2 * contrast) * wave
    part = 0.4 + 0.2 * base[..., None] + swing[..., None] * _AXES[colour][:, None, None]
    alpha = (visible[:, None, None] * (depth + 0.5).clip(0, 1))[..., None]
    patch = rows[:, None, None], y[:, None, None] + steps[:, None], x[:, None, None] + steps
    canvas[patch] += alpha * (part - canvas[patch])


def _wave(p):
    """Soft square wave in [-1, 1] of period 4 px: a clipped triangle."""
    return (2 * abs(p % 4 - 2) - 2).clip(-1, 1)
