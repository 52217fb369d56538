"""What trained detectors find in a few test images, kept as findings: their weights are needed once."""

import numpy as np
import torch
from torch import nn

from ..datasets.mean_precision import Found
from ..datasets.scenes import Scenes
from ..studies import Cell, Run
from ..training.detection import build_detector, detect, scenes
from ..training.trained import weights_of
from . import diagnostics

SHOWN = 5                                           # test images whose detections are kept for a figure


def load_detector(run: Run) -> tuple[nn.Module, Scenes]:
    """The detector of a finished run, on the CPU, and its images; an `FMError` where its weights are not at hand, or not its
    record's."""
    state = weights_of(run)
    data = scenes(run)
    with torch.random.fork_rng(devices=[]):
        model = build_detector(run, data)
    model.load_state_dict(state, strict=True)
    return model, data


def look(cell: Cell, run: Run) -> None:
    """Keep what the run's detector finds in the first test images as a finding of the kind ``detections``."""
    if not diagnostics.wanted("detections", cell, run):
        return
    model, data = load_detector(run)
    detections = [best(f) for f in detect(model, data.test_x[:SHOWN], torch.device("cpu"))]
    images = [{"boxes": f.boxes.astype(float).round(2).tolist(), "labels": f.labels.tolist(),
               "scores": f.scores.astype(float).round(4).tolist()} for f in detections]
    diagnostics.keep("detections", run, f"seed{run.seed}", {"images": images}, run)


def best(detections: Found, n: int = 3) -> Found:
    """The n detections with the highest scores."""
    return Found(*(array[np.argsort(-detections.scores, kind="stable")[:n]] for array in detections))
