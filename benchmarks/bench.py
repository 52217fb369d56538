"""What the benchmarks share: random data of CIFAR's shape, a training on it, a row of a table, and how it is shown and kept.

A row is a measured number with its spread over the rounds and, where there is one, the goal it is held to.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from featuremining import load_cells, paths
from featuremining.datasets import DataSet
from featuremining.files import put
from featuremining.measuring.cost import peak_memory
from featuremining.recipes import recipe
from featuremining.records import (
    IMAGES,
    SCHEMA,
    Record,
    all_metrics,
    as_dict,
    by_evaluation,
    dumps,
    manifest,
    pack,
    provenance,
    read_records,
)
from featuremining.studies import Run
from featuremining.training.engine import Inputs
from featuremining.training.run import Training


@dataclass(frozen=True)
class Row:
    """``low`` and ``high``: quartiles over the rounds. ``goal`` reads ">= 1.4" or "<= 1.01"."""

    group: str
    what: str
    value: float
    unit: str = "×"
    low: float | None = None
    high: float | None = None
    goal: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        if not self.goal:
            return None
        sign, bound = self.goal.split()
        return self.value >= float(bound) if sign == ">=" else self.value <= float(bound)

    @property
    def text(self) -> str:
        spread = f" ({self.low:.4g} to {self.high:.4g})" if self.low is not None else ""
        return f"{self.value:.4g} {self.unit}{spread}"


def random_data(n: int = 50_000, n_test: int = 10_000, classes: int = 100) -> DataSet:
    """Random images of CIFAR-100's size: time does not depend on what is on them."""
    g = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (n + n_test, 32, 32, 3), generator=g, dtype=torch.uint8)
    labels = torch.randint(classes, (n + n_test,), generator=g)
    return DataSet("random", pixels[:n], labels[:n], pixels[n:], labels[n:], tuple(map(str, range(classes))),
                   (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def training(data: DataSet, *methods: dict, network: str = "resnet56", precision: str = "fp32", engine: str = "auto",
             device: str = "cpu", seed: int = 0, batch: int | None = None, options: dict | None = None) -> Training:
    """A training of the companion's own loop, ready for its first step."""
    changes = {"precision": precision, **({} if batch is None else {"batch": batch})}
    run = Run("random", network, methods, replace(recipe(network, "full"), **changes), "full", seed, options or {})
    ready = Training(run, torch.device(device), engine, data=data)
    ready.model.train()
    return ready


def endless(ready: Training) -> Iterator[Inputs]:
    """Inputs of steps, epoch after epoch; the last, smaller batch of an epoch is left out."""
    while True:
        yield from (one for one in ready.inputs() if one.size >= ready.recipe.batch)


def step_memory(ready: Training, one: Inputs) -> int:
    """Bytes of a step: weights, buffers, gradients, momentum, and what is allocated on top at the peak."""
    state = [*ready.model.state_dict().values(), *ready.methods.state_dict().values()]
    state += [p.grad for p in ready.optimizer.parameters] + ready.optimizer.momenta
    return sum(t.nbytes for t in state) + peak_memory(lambda: ready.update(one), ready.device)


def synthetic_records(folder: Path, n: int) -> None:
    """Full-tier records of 300 epochs, as whole as trained ones and listed: four for every training that a cell asks for, the
    rest for trainings of other rates. Their curves are those of committed ones, over and over."""
    found = [r for r in read_records() if r.spec["recipe"].get("test_every") is None]
    cells = {cell.run("full", 0).key: cell for cell in load_cells().values() if cell.task != "cost"}
    runs = [cell.run("full", 0) for cell in cells.values()]
    runs += [replace(runs[0], recipe=replace(runs[0].recipe, lr=round(0.1 + i / 1e6, 6))) for i in range(1, n)]
    sums = {}
    for i in range(n):
        run, seed = runs[i // 4], i % 4
        like = [r for r in found if r.spec.get("task") == run.spec().get("task")]
        made = _as_if(like[i % len(like)], run, seed, [c.reported for c in cells.values() if c.reported])
        at = f"full/{run.key}/seed{seed}.json"
        put(folder / at, data := dumps(as_dict(made)).encode())
        sums[at] = sha256(data).hexdigest()
    manifest.change(folder, sums)


def _as_if(like: Record, run: Run, seed: int, reported: list[str]) -> Record:
    """The record ``like`` as if it were that of the run, with another evaluation for each name of ``reported``."""
    epochs, tested = run.recipe.epochs, "test_map" if run.task == "detection" else "test_acc"
    curves = {name: (values * epochs)[:epochs] for name, values in like.curves.items()}
    curves |= {f"{tested}.{name}": curves[tested] for name in reported if run.task != "detection"}
    curves = {name: [v if run.recipe.tests(e) or not name.startswith("test_") else None for e, v in enumerate(values)]
              for name, values in curves.items()} | {"lr": [run.recipe.rate(e) for e in range(epochs)]}
    n_test = like.metrics["n_test"]
    metrics = all_metrics(curves, n_test, tested)
    rules = {rule: pack([i < round(metrics[rule] * n_test / 100) for i in range(n_test)]) for rule in IMAGES}
    right = {} if run.task == "detection" else by_evaluation({name: rules for name in curves if name.split(".")[0] == tested})
    return replace(like, schema=SCHEMA, id=f"{run.key}.seed{seed}", key=run.key, seed=seed, spec=run.spec(), curves=curves,
                   metrics=metrics, right=right, weights=sha256(f"{run.key}{seed}".encode()).hexdigest())


def show(rows: list[Row]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("benchmark", "what", "measured", "goal", "", "note"):
        table.add_column(name)
    for row in rows:
        table.add_row(row.group, row.what, row.text, row.goal, {True: "met", False: "MISSED", None: ""}[row.met], row.note)
    Console().print(table)


def keep(rows: list[Row], device: torch.device) -> None:
    """Write ``data/benchmarks/<device>.json``, which the book's cost page shows. Rows of a group replace that group's."""
    name = provenance.device_name(device)
    path = paths.benchmarks() / f"{''.join(c if c.isalnum() else '-' for c in name.lower()).strip('-')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    old = json.loads(path.read_text(encoding="utf-8"))["groups"] if path.exists() else {}
    here = {**provenance.environment(device), "measured": datetime.now(UTC).isoformat(timespec="seconds")}
    for group in dict.fromkeys(row.group for row in rows):
        old[group] = {"rows": [{**asdict(r), "met": r.met} for r in rows if r.group == group], "provenance": here}
    whole = path.with_suffix(f".{os.getpid()}.tmp")      # a kill leaves what was measured before
    text = json.dumps({"device": name, "type": device.type, "groups": old}, indent=1, ensure_ascii=False)
    whole.write_text(text + "\n", encoding="utf-8")
    os.replace(whole, path)


def main(group) -> None:
    """A benchmark file run by itself: measure, show, keep."""
    rows = group()
    show(rows)
    keep(rows, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
