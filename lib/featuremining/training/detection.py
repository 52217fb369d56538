"""Detectors: a RetinaNet on a pre-trained network, fine-tuned and measured in mAP, as in section 4.3 and table 7 of the Feature
Mining paper.

A detection run names the methods of its *pre-training* (`pretraining`); the fine-tuning itself uses none. The loop, its resuming
and its records are those of a classifier: equal runs on equal machines give equal bits. Nothing in a step lacks a deterministic
form in torch (the pyramid upsamples by nearest neighbours; pooling over regions, as in Faster R-CNN, would have none).
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .. import records
from ..datasets import load as load_data
from ..datasets.mean_precision import RULES, Found, mean_precision
from ..datasets.scenes import Images, Scene, SceneLoader, Scenes, parts_scenes, pictures
from ..errors import FMError, UsageError, choose
from ..models import build, options_of
from ..models.retinanet import retinanet
from ..models.weights import classes_of
from ..studies import Run
from . import engine, loop
from .evaluation import Tested
from .pretraining import detector_of, pretrained, split_options
from .replicas import Replicas
from .run import Training

TEST_BATCH = 50                                     # images in memory; those in files have many sizes and go one by one


def scenes(run: Run) -> Scenes:
    """The run's images with their boxes."""
    data = parts_scenes(**run.data) if run.dataset == "parts" else load_data(run.dataset, **run.data)
    if not isinstance(data, Scenes):
        raise UsageError(f"{run.dataset} has no boxes to detect; voc and parts have.")
    return data


def build_detector(run: Run, data: Scenes, weights: dict[str, Tensor] | None = None) -> nn.Module:
    """The run's detector, freshly initialised from the global random state; its backbone from a classifier's ``weights``."""
    classes = len(data.classes) if weights is None else classes_of(weights)
    net = build(run.network, classes, **split_options(run)[1])
    if weights is not None:
        net.load_state_dict(weights, strict=True)
    return retinanet(net, detector_of(run), len(data.classes), data.mean, data.std)


@torch.no_grad()
def detect(model: nn.Module, images: Images, device: torch.device, precision: str = "fp32") -> list[Found]:
    """What the detector finds in all images, in evaluation mode: boxes in px of the image, best score first."""
    model.eval()
    n, at_once = len(images), TEST_BATCH if isinstance(images, Tensor) else 1
    detections = []
    for batch in pictures(images, [range(i, min(i + at_once, n)) for i in range(0, n, at_once)]):
        with engine.arithmetic(device, precision):
            outs = model([x.to(device).float() / 255 for x in batch])
        detections += [Found(out["boxes"].float().cpu().numpy(), out["labels"].cpu().numpy() - 1,
                             out["scores"].float().cpu().numpy()) for out in outs]
    return detections


class DetectorInputs(NamedTuple):
    """What one step of a detector is made of."""

    scenes: list[Scene]
    lr: float                       # of this step: it warms up

    @property
    def size(self) -> int:
        return len(self.scenes)


class DetectionTask:
    """Objects are to be found by the run's detector, whose backbone starts from ``weights``, those of the record ``before``."""

    def __init__(self, run: Run, data: Scenes, device: torch.device, replicas: Replicas, before: records.Record,
                 weights: dict[str, Tensor]):
        if replicas.world > 1:
            raise UsageError("A detector is trained by one process: start it without torchrun.")
        self.run, self.recipe, self.data, self.device, self.before = run, run.recipe, data, device, before
        self.origin = {"pretrained": {"run": before.id, "weights": before.weights}}
        self.settings = detector_of(run)
        self.model = build_detector(run, data, weights).to(device, memory_format=torch.channels_last)
        self.methods = nn.ModuleList()              # fine-tuning uses none
        self.loader = SceneLoader(data, device, run.seed, run.recipe, self.settings.learn_difficult)

    def trained(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def inputs(self) -> Iterator[DetectorInputs]:
        epoch = self.loader.epoch
        for i, batch in enumerate(self.loader.batches()):
            yield DetectorInputs(batch, self.rate(epoch, i))

    def rate(self, epoch: int, step: int) -> float:
        """The recipe's, which at the first ``warmup`` steps grows from a third."""
        done, warmup = epoch * len(self.loader) + step, self.settings.warmup
        return self.recipe.rate(epoch) * (1 / 3 + 2 / 3 * done / warmup if done < warmup else 1)

    def forward(self, scenes: list[Scene]) -> dict[str, Tensor]:
        """The total loss and its two terms."""
        with engine.arithmetic(self.device, self.recipe.precision):
            terms = self.model([s.image for s in scenes], [{"boxes": s.boxes, "labels": s.labels + 1} for s in scenes])
        losses = {"classification": terms["classification"], "regression": terms["bbox_regression"]}
        return {"loss": losses["classification"] + losses["regression"], **losses}

    def step(self, inputs: DetectorInputs, optimizer: engine.SGD) -> dict[str, Tensor]:
        """One step of the optimiser at the rate of these inputs; the values of `forward`."""
        optimizer.lr.fill_(inputs.lr)
        seen = self.forward(inputs.scenes)
        optimizer.minimise(seen["loss"], inputs.size)
        return seen

    def test(self) -> Tested:
        """mAP in percent at an overlap of 0.5 (``test_map``), and by the other rule (``test_map.<rule>``)."""
        detections = detect(self.model, self.data.test_x, self.device, self.recipe.precision)
        values = mean_precision(detections, self.data.test_y, len(self.data.classes))
        return Tested({"test_map" if rule == self.settings.metric else f"test_map.{rule}": values[rule] for rule in RULES}, {})

    def metrics(self, log: dict[str, list]) -> dict:
        return records.all_metrics(log, len(self.data.test_y), "test_map")

    def resolved(self) -> dict:
        """Every setting with its value, and the weights that the backbone started from."""
        network = options_of(self.run.network, **split_options(self.run)[1])
        settings = {"parameters": sum(p.numel() for p in self.trained()), "network": network,
                    "methods": self.before.resolved["methods"], "detector": self.settings.settings(), **self.origin}
        return json.loads(json.dumps(settings))


def recorded(run: Run) -> records.Record | None:
    """The run's record, if there is one; an `FMError` if it was made under defaults that have changed since."""
    record = loop.recorded(run)
    if record:
        now, then = json.loads(json.dumps(detector_of(run).settings())), record.resolved["detector"]
        for name in now.keys() & then.keys():
            if now[name] != then[name]:
                raise FMError(f"The record of {run.id} was made under another default: detector {name} was {then[name]!r} and is "
                              f"{now[name]!r} now. Name the old value in the study, or move the record away and run it again.")
    return record


def train_all(runs: Sequence[Run], device: str = "auto", engine_name: str = "auto", wait: bool = False) -> list[records.Record]:
    """Train every detection run that has no record, after its pre-training; resume where a killed process left off.

    Records, weights and errors are as those of `loop.train_all`. Steps have shapes of their own, so they are neither captured
    nor compiled.
    """
    if choose("engine", engine_name, ("auto", *engine.ENGINES)) not in ("auto", "eager"):
        raise UsageError(f"A detector is trained op by op: the engine is auto or eager, not {engine_name}.")
    target = engine.pick_device(device)
    for run in runs:
        if recorded(run):
            continue
        before, weights = pretrained(run, device)
        with loop.alone(run, wait):
            if not recorded(run):
                engine.deterministic()
                engine.keep_freed_memory()
                task = partial(DetectionTask, before=before, weights=weights)
                training = Training(run, target, "eager", data=scenes(run), task=task)
                with training.active():
                    for _ in loop.carry_out(training, alone=True):
                        pass
    loop.tidy(runs)
    return [recorded(run) for run in runs]
