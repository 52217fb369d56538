"""RetinaNet (Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense Object Detection", ICCV 2017, arXiv:1708.02002) on networks
of this package, by torchvision's detector: a feature pyramid over all stages but the first, and two heads of convolutions that
all levels share.

With ResNet-50 and batch statistics it is torchvision's `retinanet_resnet50_fpn` parameter by parameter. That has P6 computed
from P5 (the paper: from the last map) and plain L1 for boxes (the paper: smooth L1); focal loss with alpha 0.25 and gamma 2,
prior 0.01, scores above 0.05 and suppression at an overlap of 0.5 are the paper's.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import torch
from torch import nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from ..errors import choose
from .imagenet import LibraryNet


def thirds(*sizes: int) -> tuple[tuple[int, ...], ...]:
    """Three anchors per level, a third of an octave apart, in px as torchvision rounds them.

    >>> thirds(32, 64)
    ((32, 40, 50), (64, 80, 101))
    """
    return tuple((size, int(size * 2 ** (1 / 3)), int(size * 2 ** (2 / 3))) for size in sizes)


@dataclass(frozen=True)
class Detector:
    """Settings of a detector. The defaults are those on VOC, where they are not the paper's they are said to be others'."""

    size: int = 600                                     # px of an image's shorter side in the network: table 1 of the paper
    longest: int = 1000                                 # px its longer side has at most, which goes first: Faster R-CNN on VOC
    norm: Literal["frozen", "batch"] = "frozen"         # statistics as pre-trained (torchvision, Detectron), or of each batch
    frozen_stages: int = 1                              # with the stem, not trained (torchvision, Detectron); 0: all is trained
    width: int = 256                                    # channels of the pyramid
    convs: int = 4                                      # before the last convolution of each head
    extra: Literal["p6p7", "pool"] = "p6p7"             # levels above the last stage: two convolutions, or every other point
    anchors: tuple[tuple[int, ...], ...] = thirds(32, 64, 128, 256, 512)    # px, per level
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)         # height to width of the anchors
    warmup: int = 500                                   # first steps, whose rate grows from a third (Detectron)
    learn_difficult: bool = False                       # whether objects marked as difficult are learned (not in Faster R-CNN)
    metric: Literal["11point", "area"] = "11point"      # the average precision that is compared with the printed number

    def __post_init__(self):
        for name, values in (("norm", ("frozen", "batch")), ("extra", ("p6p7", "pool")), ("metric", ("11point", "area"))):
            choose(f"detector setting {name} =", getattr(self, name), values)

    def settings(self) -> dict:
        return asdict(self)


DETECTORS = {       # (network, data set) -> its named detector
    ("resnet50", "voc"): Detector(),
    ("resnet50", "parts"): Detector(size=64, longest=64, norm="batch"),     # smoke tier: statistics of a four steps' pre-training
    ("resnet20", "parts"): Detector(size=32, longest=32, width=32, convs=2, extra="pool", anchors=((8, 11), (9, 12), (10, 14)),
                                    ratios=(1.0,), warmup=30),
}


def detector(network: str, dataset: str, **options) -> Detector:
    """The named detector with some settings changed; `UsageError` where there is none for this network and data set."""
    name = choose("detector", (network, dataset), DETECTORS)
    return replace(DETECTORS[name], **options)


def layers(net: nn.Module) -> tuple[nn.Module, list[str]]:
    """A classifier as a module whose children run one after another, and the names of those that end its stages."""
    if isinstance(net, LibraryNet):
        names = {module: name for name, module in net.net.named_children()}
        return net.net, [names[stage] for stage in net.stages]
    stages = OrderedDict((f"stage{i}", stage) for i, stage in enumerate(net.stages, 1))
    return nn.Sequential(OrderedDict(stem=net.stem) | stages), list(stages)


def freeze_statistics(module: nn.Module) -> None:
    """Replace every batch normalisation within by torchvision's frozen one of the same values."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, child.eps)
            frozen.load_state_dict(child.state_dict())
            setattr(module, name, frozen)
        else:
            freeze_statistics(child)


def retinanet(net: nn.Module, settings: Detector, classes: int, mean: Sequence[float], std: Sequence[float]) -> RetinaNet:
    """The detector of ``classes`` classes whose body is ``net`` (which becomes part of it), heads freshly initialised from the
    global random state.

    Images are (3, H, W) in [0, 1]; boxes x0, y0, x1, y1 in px; label 0 is torchvision's background, class k has label k + 1.
    """
    body, stages = layers(net)
    if settings.norm == "frozen":
        freeze_statistics(body)
    if settings.frozen_stages:
        for name, child in body.named_children():
            child.requires_grad_(False)
            if name == stages[settings.frozen_stages - 1]:
                break
    extra = LastLevelP6P7(settings.width, settings.width) if settings.extra == "p6p7" else LastLevelMaxPool()
    levels = {name: str(i) for i, name in enumerate(stages[1:])}
    backbone = BackboneWithFPN(body, levels, list(net.channels[1:]), settings.width, extra)
    anchors = AnchorGenerator(settings.anchors, (settings.ratios,) * len(settings.anchors))
    head = RetinaNetHead(settings.width, anchors.num_anchors_per_location()[0], classes + 1)
    for part in (head.classification_head, head.regression_head):
        part.conv = part.conv[:settings.convs]
    with torch.no_grad():           # N(0, 0.01²) is meant for 256 channels; a narrower head would pass next to nothing on
        for conv in head.modules():
            if isinstance(conv, nn.Conv2d):
                conv.weight *= (256 / settings.width) ** 0.5
    return RetinaNet(backbone, classes + 1, settings.size, settings.longest, list(mean), list(std), anchors, head)
