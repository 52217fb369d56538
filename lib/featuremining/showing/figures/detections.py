"""Detections -> figure: test images with their true boxes and what each detector found. No state, no torch of its own."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from ...datasets import parts, voc
from ...datasets.mean_precision import Found, Objects, overlaps
from ...records.findings import Finding
from ...studies import Cell
from ..markup import Html
from .maps import LARGEST, thumbnails
from .style import STYLE, inline, nothing

RIGHT, WRONG = "#56b4e9", "#e69f00"         # of the colour-blind palette; dashes tell them apart as well
PANELS = (("test_map", "mAP at an overlap of 0.5 (%)"), ("classification", "classification loss"), ("regression", "box loss"))


def detections(measured: list[tuple[Cell, Finding]], tier: str) -> Html:
    """What every cell's first finding of the kind ``detections`` shows, one row per cell; cells of other images than those of
    the first are left out, and so are those whose images are not at hand."""
    measured = [(cell, f) for cell, f in measured if f.key.startswith("parts.") or voc.where()[0]]
    measured = list({cell.id: (cell, f) for cell, f in reversed(measured)
                     if f.key.split(".")[0] == measured[0][1].key.split(".")[0]}.values())[::-1]
    if not measured:
        return nothing(tier, "measurement")
    n = len(measured[0][1].values["images"])
    if measured[0][1].key.startswith("parts."):
        drawn = parts.draw(n, seed=1)
        images, classes = list(drawn.images), parts.CLASSES
        truth = [Objects(box[None], label[None], np.zeros(1, bool)) for box, label in zip(drawn.boxes, drawn.labels, strict=True)]
    else:
        (images, truth), classes = voc.first_tests(n), voc.CLASSES
    rows = {cell.labels[1]: [Found(np.array(image["boxes"]).reshape(-1, 4), np.array(image["labels"], int),
                                   np.array(image["scores"])) for image in f.values["images"]] for cell, f in measured}
    return grid(images, truth, rows, classes, tier)


def grid(images: Sequence[np.ndarray], truth: Sequence[Objects], outputs: Mapping[str, Sequence[Found]], classes: Sequence[str],
         tier: str, columns: int = 112) -> Html:
    """One row per detector, one column per image: the true boxes in white, of the detections (best score first) as many as
    there are true boxes, in blue where class and place are right, in orange and dashed where not.

    ``images`` are (H, W, 3) uint8 of any sizes; wider ones than ``columns`` px are made smaller, and smaller again until the
    figure stays below 300 KiB.
    """
    while True:
        html = _grid(images, truth, outputs, classes, tier, columns)
        if len(html) <= LARGEST or columns < 16:
            return html
        columns = columns * 3 // 4


def _grid(images, truth, outputs, classes, tier: str, columns: int) -> Html:
    tallest = max(image.shape[0] / image.shape[1] for image in images)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(1.7 * len(images), (1.5 * tallest + 0.75) * len(outputs)), layout="constrained")
        panels, texts, rows = figure.subplots(len(outputs), len(images), squeeze=False), [], []
        for r, (name, outs) in enumerate(outputs.items()):
            panels[r, 0].set_ylabel(fill(name, 18), fontsize=9)
            for i, (axes, image, objects, out) in enumerate(zip(panels[r], images, truth, outs, strict=True), 1):
                small = thumbnails(image[None], columns)[0]
                axes.imshow(small, interpolation="none", extent=(0, image.shape[1], image.shape[0], 0))
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if r == 0:
                    axes.set_title(fill(" · ".join(dict.fromkeys(classes[k] for k in objects.labels)), 22), fontsize=8)
                text = _draw(axes, objects, out, classes)
                axes.set_xlabel(fill(text, 22), fontsize=8)
                texts.append(f"{name}, image {i}: {text}")
                rows += _rows(name, i, objects, out, classes)
        said = "True classes above the images, true boxes in white; below, the best detections with their scores."
        title = f"Detections in test images, {tier} tier"
        return inline(figure, title, f"{said} {'; '.join(texts)}", pd.DataFrame(rows), f"{title}. {said}")


def _rows(name: str, image: int, objects: Objects, out: Found, classes: Sequence[str]) -> list[dict]:
    """The true boxes of an image and all that a detector found in it, also what is not drawn."""
    kinds = (("true", objects.boxes, objects.labels, [None] * len(objects.labels)), ("found", out.boxes, out.labels, out.scores))
    return [{"detector": name, "image": image, "box": kind, "class": classes[label],
             "score": None if score is None else round(float(score), 4),
             **dict(zip(("x0", "y0", "x1", "y1"), (round(float(v), 1) for v in box), strict=True))}
            for kind, boxes, labels, scores in kinds for box, label, score in zip(boxes, labels, scores, strict=True)]


def _draw(axes, objects: Objects, out: Found, classes: Sequence[str]) -> str:
    """Boxes onto an image; says what was found."""
    for box in objects.boxes:
        _box(axes, box, "white", "-", 1.2)
    best = range(min(max(len(objects.labels), 1), len(out.labels)))
    ious = overlaps(out.boxes, objects.boxes) * (out.labels[:, None] == objects.labels)
    right = ious.max(1, initial=0.0) >= 0.5
    for k in best:
        _box(axes, out.boxes[k], RIGHT if right[k] else WRONG, "-" if right[k] else "--", 1.4)
    words = [f"{'right' if right[k] else 'wrong'}: {classes[out.labels[k]]} {out.scores[k]:.2f}" for k in best]
    return "; ".join(words) or "nothing found"


def _box(axes, box: np.ndarray, colour: str, dash: str, width: float) -> None:
    x0, y0, x1, y1 = (float(v) for v in box)
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=colour, lw=width, ls=dash,
                             path_effects=[withStroke(linewidth=width + 1.4, foreground="black")]))
