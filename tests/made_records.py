"""Records as trainings would have left them, without a training."""

from dataclasses import replace
from hashlib import sha256

import numpy as np

from featuremining import records
from featuremining.recipes import Recipe
from featuremining.studies import cell
from featuremining.studies.runs import key_of

ID = "T1.resnet56.fm2"


def example(tested=(1.0, 2.0), n=100, others=None, **changes) -> records.Record:
    """A record as a training would write it, with these test accuracies, the last for all further epochs, of the network and of
    ``others``, in percent of n images. What is changed may contradict the rest, unless it is the spec or the seed."""
    spec = {"dataset": "cifar100", "network": "resnet20", "options": {}, "methods": [], "tier": "full",
            "recipe": {"epochs": 2, "batch": 128, "lr": 0.1, "precision": "fp32"}}
    spec, seed = changes.get("spec", spec), changes.get("seed", 0)
    curves = curves_of(spec, tested)
    curves |= {f"test_acc.{name}": curves_of(spec, values)["test_acc"] for name, values in (others or {}).items()}
    origin = {"commit": "a" * 40, "dirty": False, "versions": {"torch": "2"}, "device": "cpu", "threads": 1,
              "deterministic": True, "precision": "fp32", "data_sha256": "0" * 64, "seconds": 1.0, "peak_memory_mib": 1,
              "resumed": 0, "finished": "now"}
    key = key_of(spec)
    made = records.Record(records.SCHEMA, f"{key}.seed{seed}", key, seed, spec, {"parameters": 1, "methods": []},
                          records.all_metrics(curves, n), curves, "0" * 64, origin)
    other = sha256(f"{changes}".encode()).hexdigest()       # examples that differ are other networks
    made = replace(made, **{"weights": other, **changes})
    if "n_test" not in made.metrics:        # a sketch: an older record, which says of no image whether it was right
        return replace(made, schema=1)
    without = "right" in changes or "task" in made.spec
    return made if without else replace(made, right=images_of(made.metrics, made.metrics["n_test"]))


def put(record, path):
    """Write a record that nothing checks and nothing lists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(records.dumps(records.as_dict(record)))
    return path


def curves_of(spec: dict, tested) -> dict:
    """Curves of the spec's recipe."""
    recipe = Recipe(**spec["recipe"])
    tested = [*tested, *[tested[-1]] * recipe.epochs][:recipe.epochs]
    tested = [value if recipe.tests(e) else None for e, value in enumerate(tested)]
    return {"lr": [recipe.rate(e) for e in range(recipe.epochs)],
            **{name: [1.0] * recipe.epochs for name in ("loss", "ce", "train_acc")},
            "test_loss": [None if value is None else 1.0 for value in tested], "test_acc": tested}


def images_of(metrics: dict, n: int) -> dict:
    """As many of the first test images as the accuracies say."""
    found = {rule: records.pack(np.arange(n) < round(metrics[rule] * n / 100)) for rule in records.IMAGES}
    others = {name: images_of(those, n) for name, those in metrics.get("others", {}).items()}
    return {**found, **({"others": others} if others else {})}


def recorded(id_, *values, tier="full", like=None, n=100):
    """Records of a cell's training with these best accuracies, one per seed; they are whole where values and halves are a
    number of n images."""
    run, reported = cell(id_).run(tier, 0), cell(id_).reported
    made = []
    for seed, value in enumerate(values):
        curves = curves_of(run.spec(), [value - 1, value, value - 0.5])
        curves |= {f"test_acc.{reported}": curves["test_acc"]} if reported else {}
        metrics, model = records.all_metrics(curves, n), like or example()
        made.append(replace(model, id=f"{run.key}.seed{seed}", key=run.key, seed=seed, spec=run.spec(), weights=f"{seed:064x}",
                            curves=curves, metrics=metrics, right=images_of(metrics, n) if model.right else {}))
    return made


def decided():
    """Four seeds each of a number and its baseline, that agree with the paper."""
    return recorded(ID, 75.3, 75.5, 75.2, 75.4) + recorded("T1.resnet56.baseline", 73.5, 73.9, 73.7, 73.6)
