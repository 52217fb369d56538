"""What is measured of trained networks and kept as findings: where they look (figure 2), how large activations are (figure 4),
and of the neighbours of Feature Mining what their papers say of them.

Both need the weights of a training made here; what was measured stays beside the record, so pages need neither.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import torch

from .. import paths, records
from ..datasets import DATASETS, cifar100, cub, load
from ..datasets.parts import draw
from ..errors import UsageError
from ..records import findings, provenance
from ..studies import Cell, Run
from ..training.trained import file_of, network
from . import confusion, detail, insight, view

SHOWN = 6               # images whose maps are kept for the figure
LOCATED = ("parts", "cub", "cub_50", "parts_cub")


def boxes_of(name: str, data) -> torch.Tensor:
    """(N, 4) boxes x0, y0, x1, y1 in px of the data set's test images as a network sees them; `UsageError` without any."""
    if name == "parts":
        return torch.from_numpy(draw(len(data.test_y), seed=1).boxes)
    if name in LOCATED:
        boxes = cub.test_boxes(**DATASETS[name][1])
        return torch.from_numpy(cub.in_view(boxes, cub.sizes(data.root, data.test_x), data.resize, data.size))
    raise UsageError(f"{name} has no boxes; class activation can be measured on {', '.join(LOCATED)}.")


def localise(cell: Cell, run: Run) -> None:
    """Pointing game and energy inside the true box by CAM and by Grad-CAM, over all test images; kind ``localise``."""
    if not wanted("localise", cell, run):
        return
    data = load(run.dataset, **run.data)
    boxes, model = boxes_of(run.dataset, data), network(run)
    values = {how: insight.observe_run(model, data, boxes, how) for how in insight.KINDS}
    x, y = next(iter(data.tests("cpu")))
    maps = {"cam": insight.cam(model, x[:SHOWN], y[:SHOWN]), "grad_cam": insight.grad_cam(model, x[:SHOWN], y[:SHOWN])}
    values["maps"] = {how: [[[round(v, 4) for v in row] for row in grid] for grid in m.tolist()] for how, m in maps.items()}
    keep("localise", run, f"seed{run.seed}", values, run)


def activations(pairs: Sequence[tuple[Cell, Run]], seed: int) -> None:
    """Activations over magnitude of the networks of one seed, on the same 64 test images and the same bins; kind
    ``activations``, kept with the last of them (the one that is compared)."""
    cell, last = pairs[-1]
    if len(pairs) < 2 or not all(_trained(c, run) for c, run in pairs) or not wanted("activations", cell, last):
        return
    data = load(last.dataset, **last.data)
    models = {c.labels[1]: network(run) for c, run in pairs}
    keep("activations", last, f"seed{seed}", insight.activations(models, insight.sample(data, seed=seed)),
          *(run for _, run in pairs))


def neighbours(cell: Cell, run: Run) -> None:
    """Around a low-rank layer how much detail its maps hold (kind ``detail``), how wide the network looks (``view``), which
    classes it confuses at which angle (``confusion``), over all test images."""
    kinds = {"view": view.measure, "confusion": partial(confusion.measure, groups=groups_of(run.dataset))}
    low_rank = [e for e in run.options.get("insert", ()) if e["layer"] == "low_rank" and "after" in e]
    kinds |= {"detail": detail.measure} if low_rank else {}
    for kind, measure in kinds.items():
        if wanted(kind, cell, run):
            keep(kind, run, f"seed{run.seed}", measure(network(run), load(run.dataset, **run.data).tests("cpu")), run)


def groups_of(name: str) -> list[int] | None:
    """Which classes of a data set are similar beforehand, as those of one superclass are: (K,); None where nothing says so."""
    return cifar100.superclasses() if name == "cifar100" else None


def wanted(kind: str, cell: Cell, run: Run) -> bool:
    if findings.path(kind, run, f"seed{run.seed}").exists():
        print(f"{cell.id} seed {run.seed}: measured")
        return False
    return _trained(cell, run)


def _trained(cell: Cell, run: Run) -> bool:
    at_hand = file_of(run) is not None
    if not at_hand:
        print(f"{cell.id} seed {run.seed}: not measured, no weights of it are kept here")
    return at_hand


def keep(kind: str, run: Run, name: str, values: dict, *measured: Run) -> None:
    """Write a finding; its provenance names the weights it was measured on."""
    weights = {r.id: records.read(paths.record(r.tier, r.key, r.seed)).weights for r in measured}
    where = {**provenance.environment(torch.device("cpu")), "weights": weights,
             "finished": datetime.now(UTC).isoformat(timespec="seconds")}
    findings.write(kind, run, name, values, where)
