"""What the notebooks call, so that their cells hold no logic: check the parameters, train what is missing, show."""

import json
from dataclasses import dataclass
from types import ModuleType

from . import paths, studies
from .errors import UsageError, choose
from .recipes import TIERS

SHELL = {"In", "Out", "exit", "quit", "get_ipython", "open"}     # names that IPython itself defines


def _parsed(value):
    """Papermill's ``-p`` hands lists over as text; ``-y`` and another cell hand over lists."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _is_list_of(kind: type, value) -> bool:
    return isinstance(value, list) and all(isinstance(v, kind) and not isinstance(v, bool) for v in value)


@dataclass(frozen=True)
class Page:
    """One run of a family notebook: its checked parameters and the trainings they stand for."""

    study: str
    tier: str
    cells: list[str]
    seeds: list[int]
    device: str
    train_missing: bool

    @property
    def runs(self) -> list[tuple[studies.Cell, studies.Run]]:
        return studies.plan(self.cells, self.tier, self.seeds)

    def train(self) -> None:
        """Train every run that has no record yet, if ``train`` was asked for; resumable at any point."""
        for cell, run in self.runs:
            if paths.record(run.tier, run.key, run.seed).exists():
                print(f"{cell.id} seed {run.seed}: recorded")
            elif not self.train_missing:
                print(f"{cell.id} seed {run.seed}: not run (train is off)")
            else:
                from .train import train

                train(run, self.device)


def start(study: str, names: dict) -> Page:
    """Check a notebook's parameters, given as its ``globals()``; a name that is no parameter is an error."""
    known = ("tier", "cells", "seeds", "device", "train")
    given = {k: v for k, v in names.items() if not k.startswith("_") and k not in SHELL and not isinstance(v, ModuleType)}
    for name in given:
        choose("parameter", name, known)
    for name in known:
        if name not in given:
            raise UsageError(f"The parameter {name} is missing.")
    choose("tier", given["tier"], TIERS)
    for name, kind, example in (("cells", str, '["X1.resnet20.fm2"]'), ("seeds", int, "[0, 1]")):
        given[name] = _parsed(given[name])
        if not _is_list_of(kind, given[name]):
            raise UsageError(f"{name} must be a list such as {example}, got {given[name]!r}.")
    if not isinstance(given["train"], bool) or not isinstance(given["device"], str):
        raise UsageError(f"train must be true or false and device a name, got {given['train']!r} and {given['device']!r}.")
    for id_ in given["cells"]:
        cell = studies.cell(id_)
        if cell.study != study:
            raise UsageError(f"{id_} belongs to the notebook {cell.study}.ipynb, not to {study}.ipynb.")
    page = Page(study, given["tier"], given["cells"], given["seeds"], given["device"], given["train"])
    if page.train_missing:
        _ = page.runs       # cells that can't be trained yet say so before anything starts
    return page
