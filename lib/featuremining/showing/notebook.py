"""What the notebooks begin with, so that their cells hold no logic: check the parameters, say what runs, find what is on record.
`show` makes tables and figures of it."""

import warnings
from dataclasses import dataclass

from .. import measuring, paths, records, studies
from ..errors import UsageError, choose
from ..files import short
from ..judging import cost
from ..judging.ledger import Ledger
from ..recipes import TIERS
from ..records import findings
from . import markup, pooling, tables, trainings
from .markup import Html
from .parameters import given, is_list_of, parsed

PARAMETERS = ("tier", "cells", "seeds", "device", "train")


@dataclass(frozen=True)
class Page:
    """One run of a family notebook: its checked parameters, the trainings they stand for, and what is on record of them. What is
    shown of it, `show` makes."""

    study: str
    tier: str
    cells: list[str]
    seeds: list[int]
    device: str
    train_missing: bool

    @property
    def runs(self) -> list[tuple[studies.Cell, list[records.Record]]]:
        """The page's cells with their records of its tier and seeds."""
        ledger = self.ledger
        return [(cell, [r for r in ledger.of(cell, self.tier) if r.seed in self.seeds]) for cell in map(studies.cell, self.cells)]

    @property
    def ledger(self) -> Ledger:
        """All that is on record now: the page may just have trained."""
        return Ledger.read()

    def measured(self, kind: str) -> list[tuple[studies.Cell, findings.Finding]]:
        """What was measured of the networks of the page's cells and seeds; ``kind``: `localise`, `activations`, `detections`."""
        wanted = {f"seed{seed}" for seed in self.seeds}
        return [(cell, finding) for cell in map(studies.cell, self.cells)
                for finding in findings.read(kind, cell.run(self.tier, 0)) if finding.name in wanted]

    def measured_of_all(self, kind: str) -> list[tuple[studies.Cell, findings.Finding]]:
        """The same of every cell that belongs to this notebook, and of all seeds."""
        trainings: dict[str, studies.Cell] = {}
        for cell in studies.load_cells().values():
            if cell.notebook == self.study:
                trainings.setdefault(cell.run(self.tier, 0).key, cell)
        return [(cell, f) for cell in trainings.values() for f in findings.read(kind, cell.run(self.tier, 0))]

    @property
    def costs(self) -> tuple[list[studies.Cell], list[findings.Finding]]:
        """The page's cells, and their costs on record."""
        cells = [studies.cell(c) for c in self.cells]
        return cells, cost.found(cells, self.tier)

    @property
    def followed(self) -> pooling.Heads:
        """What was measured along short trainings of the page's networks, by method."""
        return pooling.followed(self.cells, self.tier, self.seeds)

    def plan(self) -> Html:
        """What this page runs: each training with the settings that it names, and how many of its seeds are on record."""
        done = [(cell, len(cost.found([cell], self.tier)) if cell.task == "cost" else len(found)) for cell, found in self.runs]
        frame = tables.planned(done, self.tier, self.seeds)
        return markup.html(frame, f"What this page runs; training is {'on' if self.train_missing else 'off'}", self.tier)

    def took(self) -> Html:
        """What this page's runs took so far, and what its cells take in the full tier."""
        return trainings.took(self.runs, self.tier)

    @property
    def missing(self) -> list[studies.Run]:
        """The page's trainings and measurements that are not on record yet; none where ``train`` is false."""
        planned = studies.plan(self.cells, self.tier, self.seeds) if self.train_missing else []
        return [run for cell, run in planned
                if cell.task == "cost" or not paths.record(run.tier, run.key, run.seed).exists()]

    def follow(self) -> None:
        """Follow a network of each of the page's cells along a short training, if ``train`` was asked for."""
        if self.train_missing:
            pooling.measure(self.cells, self.tier, self.seeds)

    def look(self) -> None:
        """Measure where the page's trained networks look, how large their activations are, what they detect or confuse; what is
        measured stays."""
        if self.train_missing:
            for seed in self.seeds:
                pairs = [(cell, cell.run(self.tier, seed)) for cell in map(studies.cell, self.cells)]
                if self.study == "activations":
                    from ..measuring import diagnostics

                    diagnostics.activations(pairs, seed)
                for cell, run in pairs:
                    measuring.look(cell, run)


def start(study: str, names: dict) -> Page:
    """Check a notebook's parameters, given as its ``globals()``."""
    warnings.filterwarnings("ignore", "IProgress not found")        # of tqdm, which timm imports; no bar of it is shown
    values = given(names, PARAMETERS, Page)
    choose("tier", values["tier"], TIERS)
    for name, kind, example in (("cells", str, '["X1.resnet20.fm2"]'), ("seeds", int, "[0, 1]")):
        values[name] = parsed(values[name])
        if not values[name] or not is_list_of(kind, values[name]):
            raise UsageError(f"{name} must be a list such as {example}, got {short(values[name])}.")
    values["train"] = parsed(values["train"])
    if not isinstance(values["train"], bool) or not isinstance(values["device"], str):
        raise UsageError(f"train must be true or false and device a name, got {short(values['train'])} and "
                         f"{short(values['device'])}.")
    for name in ("cells", "seeds"):
        values[name] = list(dict.fromkeys(values[name]))        # one that is named twice is shown once
    for id_ in values["cells"]:
        cell = studies.cell(id_)
        if cell.notebook != study:
            raise UsageError(f"{id_} belongs to the notebook {cell.notebook}.ipynb, not to {study}.ipynb.")
        for seed in values["seeds"]:
            cell.run(values["tier"], seed)      # whether it is a seed
    if values["train"]:
        studies.plan(values["cells"], values["tier"], values["seeds"])     # what can't be trained yet says so at once
    return Page(study, *(values[name] for name in PARAMETERS))
