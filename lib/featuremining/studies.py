"""Cells: the numbers the papers printed, each with a stable id, and the training that would answer it. No torch here.

An id reads ``table.network.method``: ``T1.resnet56.fm2``. Tables of paper 004 are T1 to T10, our own additions X1, X2, ...
"""

import json
import tomllib
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

from . import paths
from .datasets import DATASETS
from .errors import FMError, UsageError, choose
from .methods import METHODS
from .models import known
from .recipes import SEEDS, TIERS, Recipe, as_dict, recipe


@dataclass(frozen=True)
class Run:
    """One training, resolved as far as it can be without torch."""

    dataset: str
    network: str
    methods: tuple[dict, ...]           # outermost first, each {"name": ..., settings that differ from the defaults}
    recipe: Recipe
    tier: str
    seed: int
    options: dict = field(default_factory=dict)     # of the network

    def spec(self) -> dict:
        """What is trained, apart from the seed; plain JSON values."""
        spec = {"dataset": self.dataset, "network": self.network, "options": self.options, "methods": list(self.methods),
                "recipe": as_dict(self.recipe), "tier": self.tier}
        return json.loads(json.dumps(spec))

    @property
    def key(self) -> str:
        """Readable name plus a hash of `spec`; equal for all seeds, and for cells that share a training."""
        digest = sha256(json.dumps(self.spec(), sort_keys=True).encode()).hexdigest()[:8]
        methods = "+".join(m["name"] for m in self.methods) or "baseline"
        network = self.network.replace("/", "-")           # the key names a folder
        return f"{self.dataset}.{network}.{methods}.{digest}"

    @property
    def id(self) -> str:
        return f"{self.key}.seed{self.seed}"


@dataclass(frozen=True)
class Cell:
    """One number of a table. ``published``, ``spread`` in percent top-1; None where the number is ours alone."""

    id: str
    study: str
    dataset: str
    methods: tuple[dict, ...]
    options: dict
    labels: tuple[str, str]             # network, method
    changes: dict                       # fields of the network's recipe that this cell's table sets otherwise
    reported: str = ""                  # which evaluation the number is of: "" the network's own, else one of a method's
    published: float | None = None
    spread: float | None = None
    n: int | None = None

    @property
    def table(self) -> str:
        return self.id.split(".")[0]

    @property
    def network(self) -> str:
        return self.id.split(".")[1]

    @property
    def method(self) -> str:
        return self.id.split(".")[2]

    @property
    def missing(self) -> str:
        """What the companion still lacks to train this cell; empty if nothing."""
        lacks = [f"network {self.network}"] if not known(self.network) else []
        lacks += [f"method {m['name']}" for m in self.methods if m["name"] not in METHODS]
        return " and ".join(lacks)

    def run(self, tier: str, seed: int) -> Run:
        """The training of this cell in a tier. The smoke tier always uses the embedded data."""
        choose("tier", tier, TIERS)
        if seed < 0:
            raise UsageError(f"A seed is 0 or more, got {seed}.")
        dataset = "parts" if tier == "smoke" else self.dataset
        return Run(dataset, self.network, self.methods, recipe(self.network, tier, **self.changes), tier, seed, self.options)

    def runnable(self, tier: str, seed: int) -> Run:
        """`run`, or a `UsageError` that says what is missing."""
        if self.missing:
            raise UsageError(f"{self.id} is listed but can't be trained yet: the companion still lacks the {self.missing}.")
        return self.run(tier, seed)


@cache
def load_cells() -> dict[str, Cell]:
    """All cells of ``data/studies/*.toml`` by id, in the order of the files."""
    cells: dict[str, Cell] = {}
    for path in sorted(paths.studies().glob("*.toml")):
        try:
            study = tomllib.loads(path.read_text())
            choose("data set", study["dataset"], DATASETS)
            for id_, printed in study["cells"].items():
                table, network, method = id_.split(".")
                if id_ in cells:
                    raise ValueError(f"{id_} stands in two files")
                if len(printed) not in (0, 3):
                    raise ValueError(f"{id_} needs published, spread and n, or none of them")
                cells[id_] = Cell(id_, path.stem, study["dataset"], tuple(study["methods"][method]),
                                  study["networks"][network], (study["labels"][network], study["labels"][method]),
                                  study.get("recipes", {}).get(table, {}), study.get("reported", {}).get(method, ""), **printed)
        except (KeyError, TypeError, ValueError) as error:
            raise FMError(f"{path.name} is not a valid study: {error!r}.") from None
    return cells


def cell(id_: str) -> Cell:
    """The cell with this id; `UsageError` with the nearest ids if there is none."""
    cells = load_cells()
    if id_ in cells:
        return cells[id_]
    from difflib import get_close_matches

    near = get_close_matches(id_, cells, 3, 0.4)
    hint = f"Did you mean {', '.join(near)}? " if near else ""
    raise UsageError(f"There is no cell {id_!r}. {hint}`fm status` lists all.")


def baseline(cell_: Cell) -> Cell | None:
    """The baseline of the cell's table and network; None where there is none or the cell is it."""
    found = load_cells().get(f"{cell_.table}.{cell_.network}.baseline")
    return None if found is cell_ else found


@cache
def titles() -> dict[str, str]:
    """The heading of every table by its name."""
    return {name: title for path in sorted(paths.studies().glob("*.toml"))
            for name, title in tomllib.loads(path.read_text())["tables"].items()}


def plan(ids, tier: str, seeds) -> list[tuple[Cell, Run]]:
    """The trainings of these cells and seeds, each training once even where cells share it."""
    runs = [(c, c.runnable(tier, seed)) for c in map(cell, ids) for seed in seeds]
    return list({run.id: (c, run) for c, run in reversed(runs)}.values())[::-1]


def wanted(cell_: Cell, tier: str) -> int:
    """How many seeds the cell wants in a tier."""
    return cell_.n or SEEDS[tier] if tier == "full" else SEEDS[tier]
