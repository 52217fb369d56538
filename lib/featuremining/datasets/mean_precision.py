"""Mean average precision of detections by the rules of PASCAL VOC (Everingham, Van Gool, Williams, Winn, Zisserman, "The PASCAL
Visual Object Classes (VOC) Challenge", IJCV 88, 2010, section 4.2), as its development kit computes it. numpy, no torch.

Per class, detections of all images are taken by falling score. Each is held against the true box of its class and image that it
overlaps most: below an overlap of 0.5 it is false; if that box is marked as difficult, it does not count at all; if a detection
with a higher score has found that box, it is false; else it is true. Difficult objects are not missed when they are not found,
and a class without other objects has no average precision.

An overlap of exactly 0.5 is enough, as in the kit. The Python script that most detectors are measured with (voc_eval.py of
py-faster-rcnn) asks for more than 0.5: where a detection overlaps by just that, its number is lower.

Boxes are half open here, in the kit they include their last pixel: both ways give the same overlaps.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import UsageError, choose

RULES = ("11point", "area")     # of VOC 2007 to 2009, and since 2010


class Objects(NamedTuple):
    """The true objects of one image."""

    boxes: np.ndarray           # float32 (n, 4): x0, y0, x1, y1 in px, half open
    labels: np.ndarray          # int64 (n,)
    difficult: np.ndarray       # bool (n,)


class Found(NamedTuple):
    """The detections in one image."""

    boxes: np.ndarray           # float32 (n, 4), as above
    labels: np.ndarray          # int64 (n,)
    scores: np.ndarray          # float32 (n,)


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (m, 4) and (n, 4): float64 (m, n).

    >>> overlaps(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [2, 2, 3, 3]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    a, b = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (a, b))
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    shared = sides.clip(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    return shared / (areas[0][:, None] + areas[1] - shared)


def average_precision(hits: np.ndarray, objects: int, rule: str) -> float:
    """Average precision in [0, 1]: ``hits`` (n,) says by falling score which detections are true, of ``objects`` there are.

    Precision at a recall is the best one at that recall or a higher one; averaged over eleven recalls 0, 0.1, ..., 1
    (``11point``) or over all of them (``area``).

    >>> round(average_precision(np.array([True, False, True]), 2, "area"), 4)           # (1 + 2/3) / 2
    0.8333
    >>> round(average_precision(np.array([True, False, True]), 2, "11point"), 4)        # 6 recalls up to 0.5, 5 beyond
    0.8485
    """
    true = np.cumsum(hits)
    best = np.maximum.accumulate((true / np.arange(1, len(hits) + 1))[::-1])[::-1]
    if choose("average precision", rule, RULES) == "area":
        return float(best[np.asarray(hits, bool)].sum() / objects)
    first = np.searchsorted(10 * true, np.arange(11) * objects)         # whole numbers: no recall is missed by rounding
    return float(np.append(best, 0.0)[first].sum() / 11)


def matched(detections: Sequence[Found], truth: Sequence[Objects], overlap: float) -> tuple[np.ndarray, ...]:
    """Of all detections, image after image: label, score, and the number of the true box it falls to, counted over all images
    (-1: none). And of those boxes: label, difficult."""
    owners, first = [], 0
    for f, t in zip(detections, truth, strict=True):
        ious = np.where(f.labels[:, None] == t.labels, overlaps(f.boxes, t.boxes), -1.0)
        best = ious.argmax(1) if len(t.labels) else np.zeros(len(f.labels), np.int64)
        reached = ious.max(1, initial=-1.0) >= overlap
        owners.append(np.where(reached, first + best, -1))
        first += len(t.labels)
    label, score = (np.concatenate([getattr(f, name) for f in detections]) for name in ("labels", "scores"))
    true_label, difficult = (np.concatenate([getattr(t, name) for t in truth]) for name in ("labels", "difficult"))
    return label, score, np.concatenate(owners), true_label, difficult.astype(bool)


def average_precisions(detections: Sequence[Found], truth: Sequence[Objects], classes: int, overlap: float = 0.5
                       ) -> dict[str, np.ndarray]:
    """Rule -> average precision of every class in [0, 1], float64 (K,), NaN where a class has no object to be found.

    ``detections`` and ``truth`` are the same images in the same order. Equal scores stay in that order.
    """
    label, score, owner, true_label, difficult = matched(detections, truth, overlap)
    out = {rule: np.full(classes, np.nan) for rule in RULES}
    for k in range(classes):
        objects = int((~difficult[true_label == k]).sum())
        if not objects:
            continue
        mine = np.flatnonzero(label == k)
        ranked = owner[mine[np.argsort(-score[mine], kind="stable")]]
        ranked = ranked[(ranked < 0) | ~np.append(difficult, False)[ranked]]      # who falls to a difficult object does not count
        hits = np.zeros(len(ranked), bool)
        boxes, firsts = np.unique(ranked, return_index=True)
        hits[firsts[boxes >= 0]] = True
        for rule in RULES:
            out[rule][k] = average_precision(hits, objects, rule)
    return out


def mean_precision(detections: Sequence[Found], truth: Sequence[Objects], classes: int, overlap: float = 0.5) -> dict[str, float]:
    """Rule -> mean over the classes in percent. `UsageError` where there is nothing to be found at all."""
    every = average_precisions(detections, truth, classes, overlap)
    if all(np.isnan(values).all() for values in every.values()):
        raise UsageError("Mean precision needs images with at least one object that is not difficult.")
    return {rule: round(100 * float(np.nanmean(values)), 4) for rule, values in every.items()}
