"""Cells: the numbers the papers printed, each with a stable id (`ids`), and the training that would answer it. No torch here.

Tables of the Feature Mining paper are T1 to T10, its figures F2, F4, F6; our own additions are X1, X2, ..., and T4s, T6s, F2s,
...: the same question on what a CPU can carry, a smaller network or a subset of the data; A9s asks about open choices of the
method. No printed number is compared with those.
"""

from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import PurePath
from typing import Any

from ..errors import FMError, UsageError, choose, nearest, said
from ..methods import METHODS
from ..models import known
from ..recipes import SEEDS, TIERS, recipe
from . import forms
from .ids import CellId, Table
from .looks import Looks
from .papers import papers
from .printed import Printed
from .runs import Run

PRINTED: tuple[set[str], ...] = (set(), {"n"}, {"published", "spread", "n"}, {"published", "n"}, {"seconds", "mib"})


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
    published: Printed | None = None
    spread: Printed | None = None
    n: int | None = None
    seconds: Printed | None = None      # of an iteration
    mib: Printed | None = None          # of GPU memory

    @cached_property
    def at(self) -> CellId:
        """Where it stands, parsed."""
        return CellId.parse(self.id)

    @property
    def table(self) -> str:
        return str(self.at.table)

    @property
    def network(self) -> str:
        return self.at.network

    @property
    def method(self) -> str:
        return self.at.method

    @property
    def condition(self) -> str:
        """The last of four parts, such as the noise of Table 8; empty where an id has three."""
        return self.at.condition

    @property
    def notebook(self) -> str:
        """Which notebook trains and shows it: its study's own, or the one that the study names."""
        return read_studies()[self.study].get("notebook", self.study)

    @property
    def own(self) -> bool:
        """Whether it is ours alone: it has no printed value and stands in no figure of the paper.

        >>> [cell(id_).own for id_ in ("T1.resnet56.fm2", "F6.resnet56.fm2.50", "X1.resnet20.fm2", "F2s.resnet20.fm2")]
        [False, False, True, True]
        """
        return not self.paper and (self.at.table.own or self.at.table.kind != "F")

    @property
    def paper(self) -> str:
        """What the paper prints, as text: with its spread, without one (Table 8), seconds and memory (Table 10), nothing."""
        if self.seconds is not None:
            return f"{self.seconds} s, {self.mib} MB"
        if self.published is None:
            return ""
        return str(self.published) + ("" if self.spread is None else f" ± {self.spread}")

    @property
    def looks(self) -> Looks:
        """When runs of its paper are looked at."""
        return read_studies()[self.study]["paper"].looks

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
                   data, self.task, self.id)

    def runnable(self, tier: str, seed: int) -> Run:
        """`run`, or a `UsageError` that says what is missing."""
        if self.missing:
            raise UsageError(f"{self.id} is listed but can't be trained yet: the companion still lacks the {self.missing}.")
        return self.run(tier, seed)


@cache
def read_studies() -> dict[str, dict]:
    """The files of cells of all papers as they stand, by their name, in the order of the papers and files; beside their content
    each has its ``paper`` and how its ``file`` is called."""
    studies: dict[str, dict] = {}
    titled: dict[str, str] = {}             # table -> the study that has it
    for paper in papers().values():
        for path in paper.cells:
            study = forms.read(path, forms.Study)
            try:
                if path.stem in studies:
                    raise ValueError("two papers have a study of this name")
                _check_tables(study, paper.prefix, titled)
                _check_names(study)
            except ValueError as error:
                raise FMError(f"{forms.name_of(path)} is not valid: {said(error)}.") from None
            titled |= dict.fromkeys(study["tables"], path.name)
            studies[path.stem] = {**study, "paper": paper, "file": forms.name_of(path)}
    return studies


def _check_tables(study: dict, prefix: str, titled: dict[str, str]) -> None:
    for name in study["tables"]:
        if (table := Table.at_start_of(name)) is None or str(table) != name or not table.may_be_of(prefix):
            raise ValueError(f"tables: {name} is no table of this paper, whose ids begin with {prefix!r}")
        if name in titled:
            raise ValueError(f"tables: {name} stands in {titled[name]}, too")


def _check_names(study: dict) -> None:
    """What is set for a table, a method or a network that the study does not have would be set for nothing."""
    networks_and_methods = [*study["networks"], *study["methods"]]
    for part, of, there in (
            *((part, "table", study["tables"]) for part in ("datasets", "data", "recipes", "rules")),
            *((part, "method", study["methods"]) for part in ("options", "reported")),
            ("labels", "network or method", networks_and_methods)):
        for name in study.get(part, ()):
            if name not in there:
                raise ValueError(f"{part}: {name} is no {of} of it")
    if missing := [name for name in networks_and_methods if name not in study["labels"]]:
        raise ValueError(f"labels: {missing[0]} has none")
    if study.get("baseline", "baseline") not in study["methods"]:
        raise ValueError(f"baseline: {study.get('baseline', 'baseline')} is no method of it")


@cache
def load_cells() -> dict[str, Cell]:
    """All cells of all papers by id, in the order of the files."""
    cells: dict[str, Cell] = {}
    for name, study in read_studies().items():
        for id_, printed in study["cells"].items():
            try:
                if id_ in cells:
                    raise ValueError("it stands in two files")
                if printed.keys() not in PRINTED:
                    raise ValueError("it needs published, (spread,) n, or seconds and mib, or n alone, or none of them")
                cells[id_] = _cell(id_, name, study, printed)
            except ValueError as error:
                raise FMError(f"{study['file']} is not valid: cells.{id_}: {said(error)}.") from None
    return cells


def _cell(id_: str, name: str, study: dict, printed: dict) -> Cell:
    at = CellId.parse(id_)
    if not at.table.may_be_of(study["paper"].prefix):
        raise ValueError(f"it begins with another prefix than its paper's, {study['paper'].prefix!r}")
    choose("table of this study", str(at.table), study["tables"])
    choose("network of this study", at.network, study["networks"])
    choose("method of this study", at.method, study["methods"])
    condition = study["conditions"][choose("condition of this study", at.condition, study.get("conditions", {}))] \
        if at.condition else {}
    of_table = {key: study.get(key, {}).get(str(at.table), {}) for key in ("datasets", "data", "recipes")}
    smoke = study.get("smoke", {})
    changed = condition.get("data", {})
    label = study["labels"][at.network] + (f", {condition['label']}" if condition else "")
    numbers: dict[str, Any] = {what: value if what == "n" else Printed(value) for what, value in printed.items()}
    changes = of_table["recipes"] | condition.get("recipe", {})
    recipe(at.network, "full", **changes)       # whether it is one
    return Cell(id_, name, of_table["datasets"] or study["dataset"], tuple(study["methods"][at.method]),
                study["networks"][at.network] | study.get("options", {}).get(at.method, {}) | condition.get("options", {}),
                (label, study["labels"][at.method]),
                changes, of_table["data"] | changed,
                (smoke.get("dataset", "parts"), smoke.get("data", {}) | condition.get("smoke", changed)),
                study.get("task", "classification"), study.get("reported", {}).get(at.method, ""),
                **numbers)


def cell(id_: str) -> Cell:
    """The cell with this id; `UsageError` with the nearest ids if there is none."""
    cells = load_cells()
    if id_ in cells:
        return cells[id_]
    near = nearest(id_, cells)
    hint = f"Did you mean {', '.join(near)}? " if near else ""
    raise UsageError(f"There is no cell {id_!r}. {hint}`fm status` lists all.")


def baseline(cell_: Cell) -> Cell | None:
    """The baseline of the cell's table, network and condition; None where there is none or the cell is it. A study names the
    method that is its baseline where it is not so called."""
    base = load_cells().get(str(cell_.at.beside(read_studies()[cell_.study].get("baseline", "baseline"))))
    return None if base == cell_ else base


def teachers(cell_: Cell) -> tuple[Cell, ...]:
    """The cells whose full training leaves the weights that the cell's methods learn from, each once; a name of weights that is
    no cell's, a reader's own file, is left out."""
    trained = {PurePath(m["weights"]).parent.name for m in cell_.methods if m.get("weights")}
    return tuple(_by_key()[key] for key in sorted(trained & _by_key().keys()))


@cache
def _by_key() -> dict[str, Cell]:
    """The first cell of each full training."""
    return {c.run("full", 0).key: c for c in reversed(load_cells().values()) if c.task != "cost"}


def titles() -> dict[str, str]:
    """The heading of every table by its name."""
    return {name: title for study in read_studies().values() for name, title in study["tables"].items()}


def plan(ids, tier: str, seeds) -> list[tuple[Cell, Run]]:
    """The trainings of these cells and seeds, each training once even where cells share it."""
    runs = [(c, c.runnable(tier, seed)) for c in map(cell, ids) for seed in seeds]
    return list({run.id: (c, run) for c, run in reversed(runs)}.values())[::-1]


def wanted(cell_: Cell, tier: str) -> int:
    """How many seeds the cell wants in a tier."""
    if cell_.task == "cost":
        return 1                        # device
    return cell_.n or SEEDS[tier] if tier == "full" else SEEDS[tier]
