"""Cells: the numbers the papers printed, each with a stable id, and the training that would answer it. No torch here.

An id reads ``table.network.method``, ``T1.resnet56.fm2``, or ``table.network.method.condition``, ``T8.resnet110.fm2.pair20``.
Tables of the Feature Mining paper are T1 to T10, its figures F2, F4, F6; our own additions are X1, X2, ..., and T4s, T6s, F2s,
...: the same question on what a CPU can carry, a smaller network or a subset of the data; A9s asks about open choices of the
method. No printed number is compared with those.
"""

import json
import tomllib
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

from .. import paths
from ..datasets import DATASETS
from ..errors import FMError, UsageError, choose
from ..methods import METHODS
from ..models import known
from ..recipes import SEEDS, TIERS, Recipe, as_dict, recipe


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
    data: dict = field(default_factory=dict)        # what `datasets.load` changes: label noise, a subset, a size
    task: str = "classification"

    def spec(self) -> dict:
        """What is trained, apart from the seed; plain JSON values. What came later and is not used stays out, so that no
        record's key changes."""
        spec = {"dataset": self.dataset, "network": self.network, "options": self.options, "methods": list(self.methods),
                "recipe": as_dict(self.recipe), "tier": self.tier}
        spec |= {"data": self.data} if self.data else {}
        spec |= {"task": self.task} if self.task != "classification" else {}
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
    """One number of a table. ``published``, ``spread`` in percent (top-1, or mAP where a detector is trained); None where the
    number is ours alone, and ``spread`` where the paper prints none. Cells of costs have ``seconds`` and ``mib`` instead."""

    id: str
    study: str
    dataset: str
    methods: tuple[dict, ...]
    options: dict
    labels: tuple[str, str]             # network (and condition), method
    changes: dict                       # fields of the network's recipe that this cell's table or condition sets otherwise
    data: dict = field(default_factory=dict)        # what `datasets.load` changes
    smoke: tuple[str, dict] = ("parts", {})         # data set of the smoke tier, and what is changed of it
    task: str = "classification"
    reported: str = ""                  # which evaluation the number is of: "" the network's own, else one of a method's
    published: float | None = None
    spread: float | None = None
    n: int | None = None
    seconds: float | None = None        # of an iteration
    mib: float | None = None            # of GPU memory

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
    def condition(self) -> str:
        """The last of four parts, such as the noise of Table 8; empty where an id has three."""
        return ".".join(self.id.split(".")[3:])

    @property
    def own(self) -> bool:
        """Whether it is ours alone: it has no printed value and stands in no figure of the paper.

        >>> [cell(id_).own for id_ in ("T1.resnet56.fm2", "F6.resnet56.fm2.50", "X1.resnet20.fm2", "F2s.resnet20.fm2")]
        [False, False, True, True]
        """
        return not self.paper and (self.table[0] != "F" or self.table.endswith("s"))

    @property
    def paper(self) -> str:
        """What the paper prints, as text: with its spread, without one (Table 8), seconds and memory (Table 10), nothing."""
        if self.seconds is not None:
            return f"{self.seconds:.3f} s, {self.mib:.0f} MB"
        if self.published is None:
            return ""
        return f"{self.published:.2f}" + ("" if self.spread is None else f" ± {self.spread:.2f}")

    @property
    def missing(self) -> str:
        """What the companion still lacks to train this cell; empty if nothing."""
        lacks = [f"network {self.network}"] if not known(self.network) else []
        lacks += [f"method {m['name']}" for m in self.methods if m["name"] not in METHODS]
        return " and ".join(lacks)

    def run(self, tier: str, seed: int) -> Run:
        """The training of this cell in a tier. The smoke tier always uses the embedded data."""
        choose("tier", tier, TIERS)
        if not 0 <= seed < 2**32:
            raise UsageError(f"A seed is 0 or more and below 2^32, got {seed}.")
        dataset, data = self.smoke if tier == "smoke" else (self.dataset, self.data)
        return Run(dataset, self.network, self.methods, recipe(self.network, tier, **self.changes), tier, seed, self.options,
                   data, self.task)

    def runnable(self, tier: str, seed: int) -> Run:
        """`run`, or a `UsageError` that says what is missing."""
        if self.missing:
            raise UsageError(f"{self.id} is listed but can't be trained yet: the companion still lacks the {self.missing}.")
        return self.run(tier, seed)


@dataclass(frozen=True)
class Rule:
    """How a study of our own is judged, written into it before its first run (`comparisons.compare`)."""

    table: str
    question: str
    words: str                      # the whole rule, for readers
    outcome: str                    # the selection rule that decides
    beside: str                     # the one that is shown beside it
    level: float
    seeds: tuple[int, ...]
    family: tuple[str, ...]         # ids; each is compared with its baseline


CLAIMS = "claims.toml"
PRINTED = (set(), {"published", "spread", "n"}, {"published", "n"}, {"seconds", "mib"})


def files() -> list:
    """The studies; the paper's sentences lie beside them (`claims.load_claims`)."""
    return [path for path in sorted(paths.studies().glob("*.toml")) if path.name != CLAIMS]


@cache
def load_cells() -> dict[str, Cell]:
    """All cells of ``data/studies/*.toml`` by id, in the order of the files."""
    cells: dict[str, Cell] = {}
    for path in files():
        try:
            study = tomllib.loads(path.read_text())
            for id_, printed in study["cells"].items():
                if id_ in cells:
                    raise ValueError(f"{id_} stands in two files")
                if printed.keys() not in PRINTED:
                    raise ValueError(f"{id_} needs published, (spread,) n, or seconds and mib, or none of them")
                cells[id_] = _cell(id_, path.stem, study, printed)
        except (KeyError, TypeError, ValueError) as error:
            raise FMError(f"{path.name} is not a valid study: {error!r}.") from None
    return cells


def _cell(id_: str, name: str, study: dict, printed: dict) -> Cell:
    table, network, method, *rest = id_.split(".")
    condition = study["conditions"][rest[0]] if rest else {}
    of_table = {key: study.get(key, {}).get(table, {}) for key in ("datasets", "data", "recipes")}
    smoke = study.get("smoke", {})
    changed = condition.get("data", {})
    label = study["labels"][network] + (f", {condition['label']}" if rest else "")
    dataset = choose("data set", of_table["datasets"] or study["dataset"], DATASETS)
    small = choose("data set", smoke.get("dataset", "parts"), DATASETS)
    return Cell(id_, name, dataset, tuple(study["methods"][method]),
                study["networks"][network] | condition.get("options", {}), (label, study["labels"][method]),
                of_table["recipes"] | condition.get("recipe", {}), of_table["data"] | changed,
                (small, smoke.get("data", {}) | condition.get("smoke", changed)),
                study.get("task", "classification"), study.get("reported", {}).get(method, ""), **printed)


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
    found = load_cells().get(".".join(filter(None, (cell_.table, cell_.network, "baseline", cell_.condition))))
    return None if found == cell_ else found


@cache
def titles() -> dict[str, str]:
    """The heading of every table by its name."""
    return {name: title for path in files() for name, title in tomllib.loads(path.read_text())["tables"].items()}


@cache
def sections() -> dict[str, str]:
    """The section of the paper by the name of its study."""
    return {path.stem: tomllib.loads(path.read_text())["section"] for path in files()}


@cache
def rules() -> dict[str, Rule]:
    """The rules fixed beforehand, by the name of their table."""
    found = {}
    for path in files():
        for table, given in tomllib.loads(path.read_text()).get("rules", {}).items():
            try:
                found[table] = Rule(table, **{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})
                for id_ in found[table].family:
                    if baseline(cell(id_)) is None:
                        raise ValueError(f"{id_} has no baseline")
            except (TypeError, ValueError, UsageError) as error:
                raise FMError(f"{path.name}: the rule of {table} is not valid: {error}.") from None
    return found


def plan(ids, tier: str, seeds) -> list[tuple[Cell, Run]]:
    """The trainings of these cells and seeds, each training once even where cells share it."""
    runs = [(c, c.runnable(tier, seed)) for c in map(cell, ids) for seed in seeds]
    return list({run.id: (c, run) for c, run in reversed(runs)}.values())[::-1]


def wanted(cell_: Cell, tier: str) -> int:
    """How many seeds the cell wants in a tier."""
    if cell_.task == "cost":
        return 1                        # device
    return cell_.n or SEEDS[tier] if tier == "full" else SEEDS[tier]
