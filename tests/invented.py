"""Whole worlds of records, on disk as trainings would have left them, of which the truth is known. No training."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
from made_records import images_of

from featuremining import records
from featuremining.studies import load_cells, rules
from featuremining.studies.claims import load_claims

EPOCHS_SHOWN = 3        # of a curve that differ; the rest repeats the first


def cells():
    """Those that a number, an order, a gain or a rule of ours asks for, one of each training and evaluation."""
    asked = {c.id: c for claim in load_claims().values() if claim.kind in ("order", "gain") for c in claim.needs}
    asked |= {c.id: c for c in load_cells().values() if c.published is not None}
    asked |= {c.id: c for rule in rules().values() for pair in rule.pairs for c in pair}
    return list({(c.run("full", 0).key, c.reported): c for c in asked.values()}.values())


def world(folder: Path, seed: int, precise: bool = False) -> Path:
    """A folder of records: in each world, gains are a share of the printed ones, seeds are few or many, and some runs are equal,
    of uncommitted code, or of a training that went on with it. ``precise``: sixteen seeds of hardly any spread, a fifth of the
    gains."""
    rng = np.random.default_rng(seed)
    share, noise = rng.choice([-1.0, 0.0, 0.5, 1.0, 1.5]), rng.choice([0.5, 1.0, 3.0])
    level, most, even = rng.choice([0.0, 0.0, -2.0]), rng.choice([2, 4, 8, 16]), rng.random() < 0.4
    if precise:
        share, noise, level, most, even = 0.2, 0.1, 0.0, 16, True
    bases = {}
    for c in cells():
        n = int(most if even else rng.integers(0, most + 1))
        printed = 45.0 if c.published is None else float(c.published)
        base = bases.setdefault((c.table, c.network, c.condition), printed)
        spread = float(c.spread or 0.2)
        own = rng.normal(0, 1) if c.published is None and (c.methods or c.options) else 0      # gained or lost, nothing printed
        mean = base + level + share * (printed - base) + own
        values = np.round(rng.normal(mean, noise * spread, n), 2).tolist()
        for number, value in enumerate(values):
            if twin := bool(number and rng.random() < 0.05):
                value = values[number] = values[number - 1]
            _write(folder, c, number, value, rng, twin)
    return folder


def _write(folder: Path, c, seed: int, value: float, rng, twin: bool) -> None:
    run = c.run("full", seed)
    last = round(value - abs(float(rng.normal(0, 0.1))), 2)
    curve = [10.0] * (run.recipe.epochs - EPOCHS_SHOWN) + [round(value - 1, 2), value, last]
    n_test = 10_000
    log = {name: [1.0] * run.recipe.epochs for name in ("loss", "ce", "train_acc", "test_loss")}
    log["lr"] = [run.recipe.rate(epoch) for epoch in range(run.recipe.epochs)]
    measure = "test_map" if c.task == "detection" else "test_acc"
    # what the cell is not judged by is far away, so that a judge who took it would be seen
    log[measure] = [round(v / 2, 2) for v in curve] if c.reported else curve
    log |= {f"{measure}.{c.reported}": curve} if c.reported else {}
    log = {name: [v if run.recipe.tests(e) or not name.startswith("test_") else None for e, v in enumerate(values)]
           for name, values in log.items()}
    metrics = records.all_metrics(log, n_test, measure)
    dirty, went_on = rng.random() < 0.05, rng.random() < 0.1
    origin = {"commit": "a" * 40, "dirty": bool(dirty), "versions": {"torch": "2"}, "device": "cpu", "threads": 1,
              "deterministic": True, "precision": run.recipe.precision, "data_sha256": "0" * 64, "seconds": 1.0,
              "peak_memory_mib": 1, "resumed": int(went_on), "finished": "2026-01-01T00:00:00+00:00"}
    origin |= {"resumed_elsewhere": [{"epoch": 1, **{k: origin[k] for k in ("commit", "versions", "device", "threads")},
                                      "dirty": bool(rng.random() < 0.5)}]} if went_on else {}
    weights = sha256(f"{run.key} {seed - twin}".encode()).hexdigest()
    content = {"schema": records.SCHEMA, "id": run.id, "key": run.key, "seed": seed, "spec": run.spec(),
               "resolved": {"parameters": 1, "methods": []}, "metrics": metrics, "curves": log, "weights": weights,
               "provenance": origin}
    content |= {"right": images_of(metrics, n_test)} if c.task != "detection" else {}
    path = folder / "full" / run.key / f"seed{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
