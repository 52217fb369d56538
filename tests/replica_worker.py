"""What each of the processes of `test_replicas` does; started by torchrun with the beginning of its output file's name, and
``cases`` or ``long``."""

import importlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from featuremining import FMError, build, load
from featuremining.datasets import augment
from featuremining.models.weights import digest
from featuremining.recipes import recipe
from featuremining.studies import Run
from featuremining.training import replicas

T = importlib.import_module("featuremining.training.loop")
run_module = importlib.import_module("featuremining.training.run")


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
    mine = len(x[me.rank::me.world])
    net.zero_grad()
    me.weighed(F.cross_entropy(net(x[me.rank::me.world]), y[me.rank::me.world]), mine).backward()
    me.average(net.parameters(), mine)
    return max(((p.grad - w).abs().max() / w.abs().max()).item() for p, w in zip(net.parameters(), whole, strict=True))


LONG = 12              # epochs: long enough to be killed in the middle
CASES = {name: tuple({"name": method} for method in name.split("+") if method != "baseline")
         for name in ("baseline", "fm", "mixup", "byot", "fm+cutmix", "cutout")}


def few(epochs: int):
    """Few images in double precision, in three batches an epoch, the last of which has 3: shares are unequal."""
    data = load("parts")
    data = data._replace(train_x=data.train_x[:19], train_y=data.train_y[:19], test_x=data.test_x[:9], test_y=data.test_y[:9])
    run_module.load = lambda name, **changes: data
    torch.set_default_dtype(torch.float64)
    normalise = augment.normalise
    augment.normalise = lambda *images: normalise(*images).double()
    return replace(recipe("resnet20", "smoke"), epochs=epochs, batch=8, lr=0.02)


def training(methods: tuple, short) -> dict:
    """What this process ends with, and what is on record."""
    kept, original = [], T.Training.__init__

    def remember(self, *args, **settings):
        original(self, *args, **settings)
        kept.append(self)

    T.Training.__init__ = remember
    record = T.train(Run("parts", "resnet20", methods, short, "smoke", 0), "cpu")
    T.Training.__init__ = original
    return {"weights": digest(kept[0].model.state_dict()), "recorded": record.weights, "curves": record.curves,
            "provenance": record.provenance}


if __name__ == "__main__":
    torch.set_num_threads(1)
    me, (_, out, what) = replicas.join(), sys.argv
    Path(f"{out}{me.rank}.pid").write_text(str(os.getpid()), encoding="utf-8")
    if what == "cases":
        error, short = averaging_error(me), few(2)
        found = {"error": error, **{name: training(methods, short) for name, methods in CASES.items()}}
    else:
        try:
            found = training(CASES["fm+cutmix"], few(LONG))
        except FMError as sentence:
            sys.exit(f"fm: {sentence}")
    Path(f"{out}{me.rank}.json").write_text(json.dumps(found), encoding="utf-8")
