"""Mean precision against a second implementation in the development kit's own terms, in whole numbers, and by hand."""

from fractions import Fraction

import numpy as np
import pytest

from featuremining import UsageError
from featuremining.datasets.mean_precision import (
    RULES,
    Found,
    Objects,
    average_precision,
    average_precisions,
    mean_precision,
    overlaps,
)

NOTHING = Found(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))


def objects(*rows):
    """(x0, y0, x1, y1, label, difficult) each."""
    table = np.array(rows, float).reshape(-1, 6)
    return Objects(table[:, :4].astype(np.float32), table[:, 4].astype(np.int64), table[:, 5].astype(bool))


def found(*rows):
    """(x0, y0, x1, y1, label, score) each."""
    table = np.array(rows, float).reshape(-1, 6)
    return Found(table[:, :4].astype(np.float32), table[:, 4].astype(np.int64), table[:, 5].astype(np.float32))


# The reference: pixels from 1, boxes with their last pixel, one detection after the other, exact fractions.

def kit_overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    if w <= 0 or h <= 0:
        return Fraction(0)
    size = [(x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (a, b)]
    return Fraction(w * h, sum(size) - w * h)


def kit_box(box):
    x0, y0, x1, y1 = (int(v) for v in box)
    return x0 + 1, y0 + 1, x1, y1


def kit_precisions(detections, truth, k, area):
    """The average precision of class k as a fraction; None without an object."""
    rows = [(-float(score), i, j, kit_box(box)) for i, d in enumerate(detections)
            for j, (box, label, score) in enumerate(zip(*d, strict=True)) if label == k]
    hidden = {(i, j): bool(hard) for i, t in enumerate(truth)
              for j, (label, hard) in enumerate(zip(t.labels, t.difficult, strict=True)) if label == k}
    total = sum(not hard for hard in hidden.values())
    if total == 0:
        return None
    seen, true, false, points = set(), 0, 0, []
    for _, i, _, box in sorted(rows):
        best, which = Fraction(-1), None
        for j, (label, other) in enumerate(zip(truth[i].labels, truth[i].boxes, strict=True)):
            if label == k and (value := kit_overlap(box, kit_box(other))) > best:
                best, which = value, (i, j)
        if best >= Fraction(1, 2) and hidden[which]:
            continue
        if best >= Fraction(1, 2) and which not in seen:
            seen.add(which)
            true += 1
        else:
            false += 1
        points.append((Fraction(true, total), Fraction(true, true + false)))
    at = lambda recall: max([p for r, p in points if r >= recall], default=Fraction(0))  # noqa: E731
    if area:
        return sum(at(Fraction(n, total)) for n in range(1, true + 1)) / total
    return sum(at(Fraction(n, 10)) for n in range(11)) / 11


def random_scenes(seed, images=12, classes=3):
    """Boxes on a coarse grid, so that equal scores, overlaps of exactly one half and of equal size happen."""
    rng = np.random.default_rng(seed)

    def boxes(n):
        corner = rng.integers(0, 5, (n, 2)) * 2
        return np.concatenate([corner, corner + rng.integers(1, 4, (n, 2)) * 2], 1).astype(np.float32)

    truth, out = [], []
    for _ in range(images):
        n, m = rng.integers(0, 5), rng.integers(0, 9)
        true = Objects(boxes(n), rng.integers(0, classes, n), rng.random(n) < 0.25)
        near = true.boxes[rng.integers(0, n, m)] if n else boxes(m)         # most detections are near an object
        shifted = near + rng.integers(-1, 2, (m, 4)).astype(np.float32) * np.float32([1, 0, 1, 0])
        ok = (shifted[:, 2] > shifted[:, 0])[:, None]
        labels = true.labels[rng.integers(0, n, m)] if n else rng.integers(0, classes, m)
        truth.append(true)
        out.append(Found(np.where(ok, shifted, near), labels, (rng.integers(1, 6, m) / 8).astype(np.float32)))
    return out, truth


@pytest.mark.parametrize("seed", range(25))
def test_equals_the_development_kit(seed):
    out, truth = random_scenes(seed)
    mine = average_precisions(out, truth, 4)
    for rule in RULES:
        for k in range(4):
            reference = kit_precisions(out, truth, k, rule == "area")
            assert np.isnan(mine[rule][k]) if reference is None else mine[rule][k] == pytest.approx(float(reference), abs=1e-12)
    assert np.isnan(mine["area"][3])                                        # nothing is of the fourth class


def test_the_random_scenes_hold_every_case():
    """Else the comparison above would not say much."""
    halves = doubles = hard = ties = 0
    for seed in range(25):
        out, truth = random_scenes(seed)
        for f, t in zip(out, truth, strict=True):
            ious = overlaps(f.boxes, t.boxes) * (f.labels[:, None] == t.labels)
            halves += (ious == 0.5).sum()
            doubles += ((ious >= 0.5).sum(0) > 1).sum()
            hard += ((ious >= 0.5) & t.difficult).sum()
            ties += len(f.scores) - len(np.unique(f.scores))
    assert min(halves, doubles, hard, ties) > 20


def test_a_second_detection_of_an_object_is_false():
    truth = [objects((0, 0, 10, 10, 0, 0), (20, 0, 30, 10, 0, 0))]
    once = [found((0, 0, 10, 10, 0, 0.9), (20, 0, 30, 10, 0, 0.7))]
    twice = [found((0, 0, 10, 10, 0, 0.9), (0, 0, 10, 9, 0, 0.8), (20, 0, 30, 10, 0, 0.7))]
    assert mean_precision(once, truth, 1) == {"11point": 100.0, "area": 100.0}
    assert mean_precision(twice, truth, 1) == {"11point": round(100 * (6 + 5 * 2 / 3) / 11, 4), "area": round(100 * 5 / 6, 4)}


def test_an_object_found_in_another_image_or_class_is_not_found():
    truth = [objects((0, 0, 10, 10, 0, 0)), objects((0, 0, 10, 10, 1, 0))]
    swapped = [found((0, 0, 10, 10, 1, 0.9)), found((0, 0, 10, 10, 0, 0.9))]
    assert mean_precision(swapped, truth, 2) == {"11point": 0.0, "area": 0.0}


def test_difficult_objects_neither_help_nor_harm():
    easy, hard = (0, 0, 10, 10, 0, 0), (20, 0, 30, 10, 0, 1)
    alone = mean_precision([found((0, 0, 10, 10, 0, 0.5))], [objects(easy)], 1)
    for rows in ([(0, 0, 10, 10, 0, 0.5)], [(0, 0, 10, 10, 0, 0.5), (20, 0, 30, 10, 0, 0.9), (20, 0, 30, 9, 0, 0.8)]):
        assert mean_precision([found(*rows)], [objects(easy, hard)], 1) == alone == {"11point": 100.0, "area": 100.0}


def test_of_two_boxes_that_are_overlapped_alike_the_first_is_taken():
    easy, hard, between = (0, 0, 10, 10, 0, 0), (4, 0, 14, 10, 0, 1), found((2, 0, 12, 10, 0, 0.9))
    assert mean_precision([between], [objects(easy, hard)], 1)["area"] == 100.0
    assert mean_precision([between], [objects(hard, easy)], 1)["area"] == 0.0


def test_a_class_of_difficult_objects_alone_is_left_out_of_the_mean():
    truth = [objects((0, 0, 10, 10, 0, 0), (20, 0, 30, 10, 1, 1))]
    assert mean_precision([found((0, 0, 10, 10, 0, 0.5), (0, 0, 5, 5, 1, 0.9))], truth, 2)["area"] == 100.0


def test_no_detection_and_no_object():
    assert mean_precision([NOTHING], [objects((0, 0, 10, 10, 0, 0))], 1) == {"11point": 0.0, "area": 0.0}
    with pytest.raises(UsageError, match="at least one object"):
        mean_precision([NOTHING], [objects()], 1)
    with pytest.raises(UsageError, match="average precision 'coco'"):
        average_precision(np.array([True]), 1, "coco")


def test_recalls_of_the_eleven_points_are_exact():
    """3 of 10 objects are a recall of 0.3, though 3 * 0.1 > 0.3 in floating point."""
    hits = np.array([True, True, True])
    assert average_precision(hits, 10, "11point") == pytest.approx(4 / 11, abs=1e-15)
    assert average_precision(np.ones(7, bool), 10, "11point") == pytest.approx(8 / 11, abs=1e-15)
