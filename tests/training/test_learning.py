"""Does it learn? Short trainings on the embedded `parts` data (9 classes, chance 11 %), fixed seed, real trainer.

Two or three epochs of the smoke recipe on one CPU thread, 10 to 20 s each; networks marked slow take minutes and run with
``pytest -m slow``.
"""

import importlib
import json
import math
from dataclasses import asdict, replace

import jsonschema
import pytest
import torch
from helpers import TAUGHT, settings_for

from featuremining import METHODS, load, load_cells, paths
from featuremining.recipes import recipe
from featuremining.studies import Run

T = importlib.import_module("featuremining.training.loop")
CHANCE = 100 / 9
SCHEMA = json.loads((paths.ROOT / "tests/record.schema.json").read_text())


def learned(network, *methods, epochs=3, **options):
    r = replace(recipe("resnet20", "smoke"), epochs=epochs, milestones=(2 / 3,))
    return T.train(Run("parts", network, methods, r, "smoke", 0, options), "cpu")


@pytest.mark.parametrize("name", [name for name in METHODS if name != "fm"])
def test_every_method_learns(name, scratch, tmp_path_factory):
    """And leaves a complete record. Distillation from an untrained teacher teaches nothing, so there only the cross-entropy
    has to fall, and of attention transfer only in the third epoch."""
    unhelped = (*TAUGHT, "fixed_mask")
    method = {"name": name, **settings_for(name, tmp_path_factory, classes=9)}
    record = learned("resnet20", method, epochs=3 if name in unhelped else 2)
    jsonschema.validate(asdict(record), SCHEMA)
    if name in unhelped:
        assert record.curves["ce"][-1] < record.curves["ce"][0]
    else:
        assert max(m["best"] for m in (record.metrics, *record.metrics.get("others", {}).values())) > 1.8 * CHANCE


def test_feature_mining_learns_and_so_do_its_heads(scratch):
    record = learned("resnet20", {"name": "fm", "layers": 2})
    assert record.metrics["best"] > 2 * CHANCE
    for stage in (2, 3):
        for part in ("inside", "outside"):
            losses = record.curves[f"fm.stage{stage}.{part}"]
            assert losses[-1] < losses[0] and losses[-1] < 0.98 * math.log(9)


@pytest.mark.parametrize("options", [
    {"insert": [{"layer": "low_rank", "after": "stage2", "update_every": 2}]}, {"head": {"name": "convmix"}},
    {"head": {"name": "convmix", "mode": "vector"}}, {"head": {"name": "unit"}}], ids=["low_rank", "convmix", "vector", "unit"])
def test_layers_learn(options, scratch):
    """With what they are at test time: a generalised subspace, running statistics of the mixture."""
    assert learned("resnet20", **options).metrics["best"] > 2 * CHANCE


def test_a_pre_activation_network_learns(scratch):
    assert learned("preresnet20", {"name": "fm", "layers": 2}).metrics["best"] > 2 * CHANCE


@pytest.mark.slow
@pytest.mark.parametrize(("network", "lr"), [
    ("resnet56", 0.002), ("resnet110", 0.002), ("resnet164", 0.002), ("preresnet164", 0.02), ("densenet_bc_100_12", 0.02),
    ("wrn_16_4", 0.02), ("pyramidnet_110_84", 0.02)])
def test_larger_networks_learn(network, lr, scratch, monkeypatch):
    """64 images by heart, in half a minute to eight minutes on one thread, beside other work. The rates are such that a network
    begins in the few steps there are: those that normalise after their sums have large features at first, and He et al. (2016)
    warm a ResNet-110 up."""
    few = load("parts")
    x, y = few.train_x[:64], few.train_y[:64]
    monkeypatch.setattr("featuremining.training.run.load", lambda name, **changes: few._replace(
        train_x=x, train_y=y, test_x=x, test_y=y))
    r = replace(recipe("resnet20", "smoke"), epochs=40, batch=32, lr=lr, pad=0, flip=False)
    record = T.train(Run("parts", network, ({"name": "fm", "layers": 2},), r, "smoke", 0), "cpu")
    assert record.metrics["best"] > 2.5 * CHANCE


def distinct_cells():
    """One cell per network and list of methods, of those with a printed number."""
    cells = [c for c in load_cells().values() if c.published is not None and c.dataset == "cifar100"]
    return {json.dumps([c.network, c.options, c.methods]): c for c in cells}.values()


@pytest.mark.parametrize("cell", distinct_cells(), ids=lambda c: c.id)
def test_every_printed_cell_takes_a_step(cell):
    """Network, methods and optimiser fit together: a finite loss over four images, and weights that move."""
    run = cell.run("smoke", 0)
    data = load("parts")
    few = data._replace(train_x=data.train_x[:4], train_y=data.train_y[:4])
    training = T.Training(replace(run, recipe=replace(run.recipe, batch=4)), torch.device("cpu"), data=few)
    training.model.train()
    before = training.model.head.weight.detach().clone()
    loss = training.update(next(training.inputs()))[0]
    assert math.isfinite(loss) and not torch.equal(before, training.model.head.weight)
