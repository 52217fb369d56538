"""What each of the processes of `test_replicas` does; started by torchrun with the beginning of its output file's name."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from featuremining import build, load
from featuremining.models.weights import digest
from featuremining.recipes import recipe
from featuremining.studies import Run
from featuremining.training import replicas

T = importlib.import_module("featuremining.training.loop")
training_module = importlib.import_module("featuremining.training.run")


def gradients(net, x, y):
    net.zero_grad()
    F.cross_entropy(net(x), y).backward()
    return [p.grad.clone() for p in net.parameters()]


def averaging_error(me: replicas.Replicas) -> float:
    """The largest relative difference of averaged gradients to those of the whole batch, which has an odd number of images.
    Without batch statistics, a batch's gradient is the sum of its images'."""
    torch.manual_seed(0)
    net, x, y = build("resnet20", 9).double().eval(), torch.randn(7, 3, 32, 32, dtype=torch.float64), torch.arange(7)
    whole = gradients(net, x, y)
    gradients(net, x[me.rank::me.world], y[me.rank::me.world])
    me.average(net.parameters(), len(x[me.rank::me.world]))
    return max(((p.grad - w).abs().max() / w.abs().max()).item() for p, w in zip(net.parameters(), whole, strict=True))


def training() -> dict:
    """Two epochs of 70 images with two methods; what this process ends with."""
    few = load("parts")
    few = few._replace(train_x=few.train_x[:70], train_y=few.train_y[:70], test_x=few.test_x[:45], test_y=few.test_y[:45])
    training_module.load = lambda name, **changes: few
    kept, original = [], T.Training.__init__

    def remember(self, *args, **settings):
        original(self, *args, **settings)
        kept.append(self)

    T.Training.__init__ = remember
    short = replace(recipe("resnet20", "smoke"), epochs=2, batch=32)
    record = T.train(Run("parts", "resnet20", ({"name": "fm"}, {"name": "mixup"}), short, "smoke", 0), "cpu")
    (mine,) = kept
    return {"weights": digest(mine.model.state_dict()), "recorded": record.weights, "replicas": record.provenance["replicas"]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    me = replicas.join()
    found = {"error": averaging_error(me), **training()}
    Path(f"{sys.argv[1]}{me.rank}.json").write_text(json.dumps(found))
