"""A record counts once, whatever the list of cells: one named twice, or cells of different tables that share a training."""

from dataclasses import replace

import pytest
from made_costs import finding, times
from made_records import recorded

from featuremining import studies
from featuremining.judging.ledger import Ledger
from featuremining.records import findings, once
from featuremining.records.findings import Finding
from featuremining.showing import figures, notebook, show, tables, trainings
from featuremining.showing.cost import cost_table

SHARED = ("T1.resnet110.baseline", "T2.resnet110.baseline")


def shared_trainings():
    """Pairs of cells of the full tier that are one training, a pair of each table."""
    by_key: dict[str, list[studies.Cell]] = {}
    for cell in studies.load_cells().values():
        by_key.setdefault(cell.run("full", 0).key, []).append(cell)
    pairs = [cells[:2] for cells in by_key.values() if len(cells) > 1]
    return list({a.table: (a.id, b.id) for a, b in pairs}.values())


def test_there_are_cells_that_share_a_training():
    assert len(shared_trainings()) > 3 and len({studies.cell(id_).run("full", 0).key for id_ in SHARED}) == 1


@pytest.mark.parametrize("ids", shared_trainings(), ids="+".join)
def test_one_run_of_a_shared_training_is_one_run(ids):
    cells = [studies.cell(id_) for id_ in ids]
    records = recorded(ids[0], 61.0)
    ledger = Ledger([*records, *records])
    assert list(ledger) == records and once([*records, *records]) == records
    assert all(ledger.ours(cell).n == 1 and len(ledger.counting(cell)) <= 1 for cell in cells)
    assert set(tables.own_runs([*cells, *cells], ledger, "full")["n"]) == {1}


@pytest.mark.parametrize("cells", [SHARED, (SHARED[0],) * 2, (*SHARED, *SHARED)], ids=str)
def test_a_page_counts_a_run_once(cells, monkeypatch):
    run, records = studies.cell(SHARED[0]).run("full", 0), recorded(SHARED[0], 70.0)
    monkeypatch.setattr(notebook.Ledger, "read", classmethod(lambda cls, tier=None: cls(records)))
    page = notebook.start("cifar", {"tier": "full", "cells": list(cells), "seeds": [0], "device": "cpu", "train": False})
    assert all(found == records for _, found in page.runs) and "± 0.00" not in show.accuracies(page.runs, "full")
    assert len(tables.costs(records * 2)) == 1 and show.time_and_memory(page.runs).count("<tr") == 2
    assert "1 run," in trainings.took(page.runs, "full")
    assert run.key == records[0].key and "n = 2" not in show.curves(page.runs, "full")


def test_figures_count_a_run_once():
    cell = studies.cell("F6.resnet56.fm2.50")
    records = recorded(cell.id, 40.0)
    twice = [(cell, records * 2)]
    for drawn in (figures.over_samples(twice * 2, "full"), figures.multiverse(twice, "full"), figures.curves(twice * 2, "full")):
        assert "n = 1" in str(drawn) and "n = 2" not in str(drawn)


def test_a_finding_counts_once(monkeypatch):
    cell = studies.cell("F2s.resnet20.fm2")
    part = {"n": 3, "chance": 25.0, "centre": 25.0, "pointing": 50.0, "energy": 50.0, "top1": 50.0,
            "each": {"pointing": "101", "energy": [0.5, 0.25, 0.75], "right": "111"}}
    made = Finding(1, "localise", "seed0", cell.run("full", 0).key, "full", {"cam": part, "grad_cam": part}, {})
    frame = tables.localisation([(cell, made)] * 2)
    assert len(frame) == 2 and "all 2" not in set(frame["seed"])
    counts = {"counts": {"a": [[1.0, 2.0]], "b": [[1.0, 3.0]]}}
    seen = replace(made, kind="activations", values={"raw": counts, "in_spreads": counts})
    assert len(tables.activations([(cell, seen)] * 3)) == 2


def test_a_cost_counts_once(monkeypatch):
    cells = [studies.cell(id_) for id_ in ("T10.resnet56.fm1", "T10.resnet56.fm2")]
    made = {cell.run("full", 0).key: finding(cell, **times(1.04, 1.03, 1.05)) for cell in cells}
    monkeypatch.setattr(findings, "read", lambda kind, run: [made[run.key]])
    from featuremining.judging import cost

    found = cost.found([*cells, *cells, cells[0]], "full")
    assert len(found) == 2 and len(cost_table(cells, found)) == 2


def test_the_order_of_a_list_stays():
    records = [*recorded("T1.resnet56.fm2", 1.0, 2.0), *recorded("T1.resnet56.fm1", 3.0)]
    assert once([*records, records[0]]) == records
