"""What the benchmarks share: random data of CIFAR's shape, a training on it, a row of a table, and how it is shown and kept.

A row is a measured number with its spread over the rounds and, where there is one, the goal it is held to.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from featuremining import load_cells, paths
from featuremining.datasets import DataSet
from featuremining.measuring.cost import peak_memory
from featuremining.recipes import recipe
from featuremining.records import provenance
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
             device: str = "cpu", seed: int = 0) -> Training:
    """A training of the companion's own loop, ready for its first step."""
    run = Run("random", network, methods, replace(recipe(network, "full"), precision=precision), "full", seed)
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
    """Copies of the committed records as full-tier ones of 300 epochs: four for every training that a cell asks for, the rest
    under other keys."""
    found = [json.loads(path.read_text()) for path in sorted(paths.runs().glob("*/*/seed*.json"))]
    cells = [cell for cell in load_cells().values() if cell.task != "cost"]
    runs = {run.key: run.spec() for run in (cell.run("full", 0) for cell in cells)}
    keys = [*runs, *(f"{found[0]['key'][:-8]}{i:08x}" for i in range(n))]
    for i in range(n):
        key, seed = keys[i // 4], i % 4
        task = runs.get(key, {}).get("task")            # a detector's curves are others
        content = [one for one in found if one["spec"].get("task") == task][i % 2]
        curves = {name: (values * 300)[:300] for name, values in content["curves"].items()}
        rules = {name: content["metrics"][name] for name in ("best", "best_epoch", "last", "median10", "n_test")}
        metrics = {**content["metrics"], "others": {cell.reported: rules for cell in cells if cell.reported}}
        target = folder / "full" / key / f"seed{seed}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({**content, "id": f"{key}.seed{seed}", "key": key, "seed": seed, "curves": curves,
                                      "metrics": metrics, "spec": runs.get(key, {**content["spec"], "tier": "full"})}))


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
    old = json.loads(path.read_text())["groups"] if path.exists() else {}
    here = {**provenance.environment(device), "measured": datetime.now(UTC).isoformat(timespec="seconds")}
    for group in dict.fromkeys(row.group for row in rows):
        old[group] = {"rows": [{**asdict(r), "met": r.met} for r in rows if r.group == group], "provenance": here}
    whole = path.with_suffix(f".{os.getpid()}.tmp")      # a kill leaves what was measured before
    whole.write_text(json.dumps({"device": name, "type": device.type, "groups": old}, indent=1, ensure_ascii=False) + "\n")
    os.replace(whole, path)


def main(group) -> None:
    """A benchmark file run by itself: measure, show, keep."""
    rows = group()
    show(rows)
    keep(rows, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
