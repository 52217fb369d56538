"""Make what the demonstration on the page of the idea shows: a network that was trained with Feature Mining, its three
classifiers on the last map, and the maps of a few test images, as ``book/demonstration.json``.

``python book/demonstration.py`` trains one recorded run again, some minutes on one core, and keeps the classifiers of the parts,
which no record holds. The file says whether the network has the very weights that are on record. ``python book/demonstration.py
smoke`` trains the same cell for a minute instead, with a network that knows less.
"""

import json
import sys
from base64 import b64encode
from pathlib import Path

import torch

from featuremining import paths, records, studies
from featuremining.datasets import load
from featuremining.measuring.boxes import READINGS, shares
from featuremining.models.weights import digest
from featuremining.records import provenance
from featuremining.training import engine
from featuremining.training.progress import Report
from featuremining.training.run import Training

CELL, SEED, IMAGES = "F2s.resnet20.fm2", 0, 6
FILE = Path(__file__).with_name("demonstration.json")
SIZES = (7, 8, 14, 16, 32)


def trained(run: studies.Run) -> Training:
    """Carried to its end, heads and all; nothing is recorded."""
    engine.deterministic()
    training = Training(run, torch.device("cpu"))
    with training.active():
        while training.loader.epoch < run.recipe.epochs:
            report = Report(run.title, run.recipe.epochs, len(training.loader), training.loader.epoch, False, silent=True)
            for _ in training.one_epoch(report):
                pass
    return training


def rounded(values: torch.Tensor, digits: int = 4) -> list:
    return [float(f"{v:.{digits}g}") for v in values.flatten().tolist()]


@torch.inference_mode()
def content(training: Training, data, recorded: str = "") -> dict:
    """What the page needs: the classifiers as K x C weights and K biases, and of each image its pixels and its map, C x HW."""
    training.model.eval()
    (mining,) = training.methods
    mine = mining.mines[-1]
    shown = [int((data.test_y == label).nonzero()[0]) for label in range(IMAGES)]       # the first of each class
    x, _ = next(iter(data.tests("cpu")))
    trace = training.model.trace(x[shown])
    heads = {"whole": (training.model.head.weight, training.model.head.bias)}
    heads |= {part: (mine.heads.weight[i].mT, mine.heads.bias[i]) for i, part in enumerate(mine.parts)}
    weights = digest(training.model.state_dict())
    return {
        "run": training.run.id, "cell": training.run.asked,
        "stage": mine.name, "weights": weights,
        "as_recorded": weights == recorded, "top1": training.test()["test_acc"], **provenance.environment(training.device),
        "size": list(trace.maps[-1].shape[2:]), "classes": list(data.classes),
        "heads": {part: {"weight": rounded(w), "bias": rounded(b)} for part, (w, b) in heads.items()},
        "images": [{"index": i, "label": int(data.test_y[i]), "pixels": b64encode(data.test_x[i].numpy().tobytes()).decode(),
                    "map": rounded(m, 3)} for i, m in zip(shown, trace.maps[-1], strict=True)],
        "readings": {name: words for name, (_, words) in READINGS.items()}, "boxes": {str(size): shares(size) for size in SIZES}}


def main(tier: str = "full") -> None:
    run = studies.cell(CELL).runnable(tier, SEED)
    path = paths.record(run.tier, run.key, run.seed)
    found = content(trained(run), load(run.dataset, **run.data), records.read(path).weights if path.exists() else "")
    FILE.write_text(json.dumps(found, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{FILE.name}: {run.id}, {'the weights on record' if found['as_recorded'] else 'not the weights on record'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
