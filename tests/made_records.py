"""Records as trainings would have left them, without a training."""

from dataclasses import replace
from hashlib import sha256

from featuremining import records
from featuremining.studies import cell

ID = "T1.resnet56.fm2"


def example(**changes) -> records.Record:
    """A record as a training would write it."""
    spec = {"dataset": "cifar100", "network": "resnet20", "options": {}, "methods": [], "tier": "full",
            "recipe": {"epochs": 2, "batch": 128, "lr": 0.1, "precision": "fp32"}}
    curves = {name: [1.0, 2.0] for name in ("lr", "loss", "ce", "train_acc", "test_acc", "test_loss")}
    origin = {"commit": "a" * 40, "dirty": False, "versions": {"torch": "2"}, "device": "cpu", "threads": 1,
              "deterministic": True, "precision": "fp32", "data_sha256": "0" * 64, "seconds": 1.0, "peak_memory_mib": 1,
              "resumed": 0, "finished": "now"}
    key = "cifar100.resnet20.baseline.00000000"
    made = records.Record(records.SCHEMA, f"{key}.seed0", key, 0, spec, {"parameters": 1, "methods": []},
                          records.metrics([1.0, 2.0], 100), curves, "0" * 64, origin)
    other = sha256(f"{changes}".encode()).hexdigest()       # examples that differ are other networks
    made = replace(made, **{"weights": other, **changes})
    if "n_test" not in made.metrics:        # a sketch: an older record, which says of no image whether it was right
        return replace(made, schema=1)
    without = "right" in changes or "task" in made.spec
    return made if without else replace(made, right=images_of(made.metrics, made.metrics["n_test"]))


def images_of(metrics: dict, n: int) -> dict:
    """As many of the first test images as the accuracies say."""
    found = {rule: records.pack([i < round(metrics[rule] * n / 100) for i in range(n)]) for rule in records.IMAGES}
    others = {name: images_of(those, n) for name, those in metrics.get("others", {}).items()}
    return {**found, **({"others": others} if others else {})}


def recorded(id_, *values, tier="full", like=None):
    """Records of a cell's training with these best accuracies, one per seed."""
    run, reported = cell(id_).run(tier, 0), cell(id_).reported
    metrics = [records.metrics([value - 1, value, value - 0.5], 100) for value in values]
    return [replace(like or example(), key=run.key, seed=seed, spec=run.spec(), weights=f"{seed:064x}",
                    metrics=m | ({"others": {reported: m}} if reported else {})) for seed, m in enumerate(metrics)]


def decided():
    """Four seeds each of a number and its baseline, that agree with the paper."""
    return recorded(ID, 75.3, 75.5, 75.2, 75.4) + recorded("T1.resnet56.baseline", 73.5, 73.9, 73.7, 73.6)
