"""What a trained network looks at, as maps and as numbers: class activation maps, whether they point at the true part, and how
large activations are. Section 2 with figure 2 and section 3.4 with figure 4 of Xie et al., arXiv:2107.08421.

- CAM. Zhou, Khosla, Lapedriza, Oliva, Torralba, CVPR 2016, arXiv:1512.04150.
- Grad-CAM. Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra, ICCV 2017, arXiv:1610.02391.
- Pointing game. Zhang, Bargal, Lin, Brandt, Shen, Sclaroff, IJCV 126 (2018), arXiv:1608.00507.
- Energy-based pointing game. Wang et al. (Score-CAM), CVPR Workshops 2020, arXiv:1910.01279.

``model`` is anything that methods can see: a `StagedNet`, a `LibraryNet`, a `Tapped`. It is left as it was: modes, weights,
gradients. Images are (B, 3, H, W), normalised; boxes (B, 4) int64 rows x0, y0, x1, y1 in px of the image, half open.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.augment import normalise
from ..errors import UsageError, choose
from ..models.probing import evaluating
from ..protocol import Trace
from ..studies import Run
from ..training.trained import network

KINDS = ("cam", "grad_cam")
BATCH = 250             # images at once


@torch.no_grad()
def look(model, x: Tensor) -> Trace:
    """The trace of images (B, 3, H, W) in evaluation mode."""
    with evaluating(model):
        return model.trace(x)


@torch.no_grad()
def cam(model, seen: Trace | Tensor, classes: Tensor) -> Tensor:
    """Class activation maps (B, H, W) of ``classes`` (B,): the last stage's map, weighted by the classifier's row of the class.

    mean over (h, w) + the class's bias = its logit. ``seen`` are images or a trace at hand. `UsageError` where the classifier
    reads something else than the average of the last stage's map.
    """
    trace = seen if isinstance(seen, Trace) else look(model, seen)
    if not trace.averaged:
        raise UsageError("cam needs a classifier that reads the global average of the last stage's map; use grad_cam here.")
    return torch.einsum("bk,bkhw->bhw", model.head.weight[classes], trace.maps[-1])


def grad_cam(model, x: Tensor, classes: Tensor, stage: int = -1) -> Tensor:
    """Grad-CAM (B, H, W) at a stage: the ReLU of its map A weighted by the mean slope of the class's logit, d z_c / d A_k.

    The slope is that at A as the stage gives it. What follows works on a copy: layers that write in place can't change A.
    """
    count, leaves = len(model.channels), []
    if not -count <= stage < count:
        raise UsageError(f"grad_cam: stage {stage} was asked for, but this network has {count} stages, from 0.")

    def cut(a: Tensor) -> Tensor:
        leaves.append(a.detach().requires_grad_())
        return leaves[0].clone()

    with evaluating(model), torch.enable_grad():
        logits = model.trace(x, edits={stage % count: cut}).logits
        (slope,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), leaves)
    slope, a = slope[:len(x)], leaves[0].detach()[:len(x)]          # the images' own; some networks see turned copies, too
    return (slope.mean((2, 3), keepdim=True) * a).sum(1).relu()


def upsample(maps: Tensor, height: int, width: int) -> Tensor:
    """(B, h, w) -> (B, height, width), bilinear between the cells' centres."""
    return F.interpolate(maps[:, None], (height, width), mode="bilinear", align_corners=False)[:, 0]


def unit(maps: Tensor) -> Tensor:
    """(B, H, W), each map stretched to [0, 1]; a constant map becomes zeros."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / torch.where(high > low, high - low, 1)


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """(B, height, width) booleans, true in each image's box."""
    x, y = torch.arange(width, device=boxes.device), torch.arange(height, device=boxes.device)
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    return ((y >= y0) & (y < y1))[:, :, None] & ((x >= x0) & (x < x1))[:, None]


def silent(maps: Tensor) -> Tensor:
    """(B,) booleans: nowhere positive, so nothing speaks for the class."""
    return maps.amax((1, 2)) <= 0


def pointing(maps: Tensor, boxes: Tensor, tolerance: int = 0) -> Tensor:
    """(B,) booleans: whether the peak of the map (B, H, W) lies in the box, or within ``tolerance`` px of it.

    The first peak in reading order counts. A map that is nowhere positive does not point. Zhang et al. allow 15 px, on
    images of several hundred; here it is none unless asked for.
    """
    at, width = maps.flatten(1).argmax(1), maps.shape[2]
    x, y = at % width, at // width
    x0, y0, x1, y1 = boxes.unbind(1)
    dx, dy = (torch.maximum(low - v, v - high + 1).clamp(min=0) for v, low, high in ((x, x0, x1), (y, y0, y1)))
    return (dx**2 + dy**2 <= tolerance**2) & ~silent(maps)


def energy(maps: Tensor, boxes: Tensor) -> Tensor:
    """(B,) share in [0, 1] of the map's positive part that lies in the box; nan for a map that is nowhere positive."""
    positive = maps.clamp(min=0)
    return (positive * inside(boxes, *maps.shape[1:])).sum((1, 2)) / positive.sum((1, 2))


def whole(boxes) -> Tensor:
    """Boxes (N, 4) as int64: the pixels whose centres lie in a fractional box."""
    boxes = torch.as_tensor(boxes)
    return (boxes - 0.5).ceil().long() if boxes.is_floating_point() else boxes.long()


def checked(boxes: Tensor, n: int, height: int, width: int) -> Tensor:
    """The boxes of n images of this size; `UsageError` where one is missing or leaves its image."""
    x0, y0, x1, y1 = boxes.unbind(1)
    if len(boxes) != n or not ((x0 >= 0) & (x0 <= x1) & (x1 <= width) & (y0 >= 0) & (y0 <= y1) & (y1 <= height)).all():
        raise UsageError(f"Boxes are x0, y0, x1, y1 in px, one per image and within its {width} x {height} px.")
    return boxes


def localise(model, images: Tensor, labels: Tensor, boxes, how: str = "cam", stage: int = -1, tolerance: int = 0) -> dict:
    """`pointing` and `energy` of the true classes' maps over images (N, 3, H, W), labels (N,) and boxes (N, 4).

    Plain values. In percent: ``pointing``; ``energy``, the mean over maps that are somewhere positive; ``chance``, the mean
    share of the box's area, which a random point and a uniform map reach; ``centre``, how often the middle of the image lies
    in the box; ``top1``. Further ``n``, ``silent`` (maps that are nowhere positive) and in ``each`` the values per image for
    `stats.paired`: 0/1 strings for pointing and right answers, energies of four digits (None where silent). Images whose
    box has no area, because a crop left it out, are not among the n; ``hidden`` counts them.
    """
    return _localise(model, zip(images.split(BATCH), labels.split(BATCH), strict=True), boxes, how, stage, tolerance)


def observe_run(run, data, boxes, how: str = "cam", stage: int = -1, tolerance: int = 0, device="cpu") -> dict:
    """`localise` on all test images of a data set. ``run`` is a trained `Run`, whose weights are read, or a network."""
    model = network(run).to(device) if isinstance(run, Run) else run
    return _localise(model, data.tests(device), boxes, how, stage, tolerance)


def _localise(model, batches: Iterable[tuple[Tensor, Tensor]], boxes, how: str, stage: int, tolerance: int) -> dict:
    if choose("kind of map", how, KINDS) == "cam" and stage not in (-1, len(model.channels) - 1):
        raise UsageError(f"cam reads the last stage, stage={stage} was asked for; use how='grad_cam'.")
    boxes, device, rows = whole(boxes), next(model.head.parameters()).device, []
    for x, y in batches:
        batch_boxes, boxes = checked(boxes[:len(x)], len(x), *x.shape[2:]), boxes[len(x):]
        rows.append(_scores(model, x.to(device), y.to(device), batch_boxes.to(device), how, stage, tolerance))
    checked(boxes, 0, *x.shape[2:])
    scores = torch.cat(rows, 1)
    visible = scores[3] > 0
    if not visible.any():
        raise UsageError("localise needs a box with an area, and none has one.")
    hit, right, share, area, middle = scores[:, visible]
    percent = {name: round(100 * v.nanmean().item(), 4) for name, v in (
        ("pointing", hit), ("energy", share), ("chance", area), ("centre", middle), ("top1", right))}
    each = {name: "".join(map(str, v.int().tolist())) for name, v in (("pointing", hit), ("right", right))}
    each["energy"] = [None if v != v else round(v, 4) for v in share.tolist()]
    return {"how": how, "stage": stage, "tolerance": tolerance, "n": len(hit), "hidden": int((~visible).sum()),
            "silent": each["energy"].count(None), **percent, "each": each}


def _scores(model, x: Tensor, y: Tensor, boxes: Tensor, how: str, stage: int, tolerance: int) -> Tensor:
    """float64 (5, B): pointed, right, energy, share of the box's area, middle of the image in the box."""
    (height, width), trace = x.shape[2:], look(model, x)
    maps = upsample(cam(model, trace, y) if how == "cam" else grad_cam(model, x, y, stage), height, width)
    box = inside(boxes, height, width)
    scores = (pointing(maps, boxes, tolerance), trace.logits.argmax(1) == y, energy(maps, boxes), box.double().mean((1, 2)),
              box[:, height // 2, width // 2])
    return torch.stack([v.double().cpu() for v in scores])


def sample(data, n: int = 64, seed: int = 0) -> Tensor:
    """n random test images (n, 3, H, W), normalised; equal for equal seeds."""
    pick = torch.randperm(len(data.test_y), generator=torch.Generator().manual_seed(seed))[:n]
    return normalise(data.test_x[pick], *(torch.tensor(v) for v in (data.mean, data.std)))


def in_spreads(maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Every stage's map divided by the standard deviation of its ReLU over all images, channels and places."""
    spreads = [a.relu().std() for a in maps]
    return tuple(a / torch.where(s > 0, s, 1) for a, s in zip(maps, spreads, strict=True))


def activation_edges(*networks: Sequence[Tensor], width: float = 0.1, low: float = 0.5, quantile: float = 0.999) -> Tensor:
    """float64 (E,): low, low + width, ... up to the largest ``quantile`` of a stage's activations in any of the networks,
    each given by its maps."""
    tops = [a.flatten().cpu().kthvalue(max(1, round(quantile * a.numel()))).values.item() for maps in networks for a in maps]
    return torch.arange(max(ceil((max(tops) - low) / width), 1) + 1, dtype=torch.float64) * width + low


def activation_counts(maps: Sequence[Tensor], edges: Tensor) -> Tensor:
    """float64 (stages, E): how many activations of an image, on average over the images, lie in (edge, next edge]; last, how
    many lie beyond the last edge. A row adds up to the mean number of activations above the first edge. Above 0 it makes no
    difference whether a stage's map comes before or after a ReLU.

    >>> activation_counts([torch.tensor([[[[0.5, 0.55, 0.6, 0.61, 9.0, -1.0]]]])], torch.tensor([0.5, 0.6, 0.7])).tolist()
    [[2.0, 1.0, 1.0]]
    """
    rows = [torch.bucketize(a.flatten(), edges.to(a)) for a in maps]        # 0: not above the first edge
    return torch.stack([row.bincount(minlength=len(edges) + 1)[1:].double().cpu() / len(a)
                        for row, a in zip(rows, maps, strict=True)])


def activations(models: Mapping[str, object], x: Tensor) -> dict:
    """`activation_counts` of several networks on the same images and edges, as plain values: ``n`` images and, for the maps as
    they are (``raw``) and in units of their spread (``in_spreads``), ``edges`` and ``counts`` by name, stage and bin."""
    raw = {name: look(model, x).maps for name, model in models.items()}
    values = {"n": len(x)}
    for unit_, seen in (("raw", raw), ("in_spreads", {name: in_spreads(maps) for name, maps in raw.items()})):
        edges = activation_edges(*seen.values())
        values[unit_] = {"edges": [round(e, 4) for e in edges.tolist()],
                         "counts": {name: activation_counts(maps, edges).tolist() for name, maps in seen.items()}}
    return values
