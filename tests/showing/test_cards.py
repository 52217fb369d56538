"""Cards and the grid of claims: what a page knows of a number."""

import json
import re
from dataclasses import replace
from urllib.parse import unquote

import pytest
from made_records import ID, decided, recorded

from featuremining import records, stats, studies
from featuremining.judging.ledger import Ledger
from featuremining.records import findings
from featuremining.showing import cards, markup, tables
from featuremining.studies import cell, load_cells
from featuremining.studies.outcomes import Standing, Status


def made(id_, found):
    (card,) = cards.cards([id_], Ledger(found)).values()
    return card


def test_a_number_that_was_not_run_says_so_and_how():
    card = made(ID, [])
    assert (card["paper"], card["n"]) == ("75.35 ± 0.07", 4) and card["verdict"]["status"] == card["gain"]["status"] == "not run"
    (full,) = card["tiers"]
    assert full["tier"] == "full" and not full["seeds"] and full["spec"] == cell(ID).run("full", 0).spec()
    assert full["rerun"] == [f"fm run {ID} --tier full --seed 0",
                             f"papermill notebooks/cifar.ipynb out.ipynb -p tier full -p cells '[\"{ID}\"]' -p seeds '[0]'"]


def test_the_card_says_what_verdicts_and_records_say():
    found = decided()
    card, expected = made(ID, found), Ledger(found).verdict(cell(ID))
    assert card["verdict"]["status"] == expected.status == "reproduced"
    assert card["verdict"]["difference"]["low"] == pytest.approx(expected.difference.low, abs=1e-4)
    assert card["gain"]["status"] == Ledger(found).gain(cell(ID)).status
    (full,) = card["tiers"]
    assert [s["seed"] for s in full["seeds"]] == [0, 1, 2, 3] and [s["best"] for s in full["seeds"]] == [75.3, 75.5, 75.2, 75.4]
    assert full["rules"]["last"]["mean"] == pytest.approx(75.35 - 0.5) and full["seeds"][0]["best_epoch"] == 2
    interval = stats.mean_interval(stats.Summary.of([75.3, 75.5, 75.2, 75.4]))
    assert (full["rules"]["best"]["low"], full["rules"]["best"]["high"]) == pytest.approx((interval.low, interval.high), abs=1e-4)


def test_tiers_never_mix():
    card = made(ID, recorded(ID, 60.0, tier="short") + recorded(ID, 30.0, tier="smoke"))
    best = {t["tier"]: [s["best"] for s in t["seeds"]] for t in card["tiers"]}
    assert list(best) == ["full", "short", "smoke"] and list(best.values()) == [[], [60.0], [30.0]]
    assert card["verdict"]["status"] == "not run"
    assert "--tier short" in card["tiers"][1]["rerun"][0]


def test_one_seed_has_no_interval_and_the_card_is_json():
    card = made(ID, recorded(ID, 75.3))
    best = card["tiers"][0]["rules"]["best"]
    assert best == {"n": 1, "mean": 75.3, "sd": None, "low": None, "high": None}
    assert json.loads(json.dumps(card, allow_nan=False)) == card


def test_seeds_with_other_settings_are_named():
    found = recorded(ID, 75.3, 75.4)
    found[1] = replace(found[1], resolved={"parameters": 2, "methods": []})
    assert made(ID, found)["tiers"][0]["differing"] == [1] and made(ID, found[:1])["tiers"][0]["differing"] == []


def test_a_number_of_an_ensemble_shows_the_ensembles():
    id_ = "T2.resnet110.byot"
    (record,) = recorded(id_, 70.0)
    record = replace(record, metrics=record.metrics | {"others": {"byot.ensemble": records.metrics([77.0, 76.0], 100)}})
    card = made(id_, [record])
    assert card["tiers"][0]["seeds"][0]["best"] == 77.0 and card["quantity"].endswith("byot.ensemble")


def test_a_cost_shows_its_findings_and_no_list(scratch):
    run = cell("T10.resnet56.fm1").run("full", 0)
    values = {"iterations": 300, "seconds": 0.5, "time_ratio": 1.04, "low": 1.03, "high": 1.05, "memory_ratio": 1.0,
              "each": "0.5 0.5"}
    findings.write("cost", run, "cpu.1t", values, {"device": "a CPU", "commit": "a" * 40, "dirty": True})
    card = made("T10.resnet56.fm1", [])
    (finding,) = card["tiers"][0]["findings"]
    assert "each" not in finding["values"] and finding["values"]["time_ratio"] == 1.04 and finding["dirty"] is True
    assert finding["verdict"] == "as printed: CPU, ratios only; memory undecided"
    assert card["tiers"][0]["rerun"][0] == "fm run T10.resnet56.fm1 --tier full"
    (row,) = cards.grid([cell("T10.resnet56.fm1")], Ledger()).to_dict("records")
    assert row["95 % interval"] == "1.030 to 1.050" and "1.040 of the baseline's" in row["ours"]


def test_cards_of_everything_are_small():
    """Four full seeds of each printed number, with all the settings that a record of two methods holds: a page of all claims."""
    cells = [c for c in load_cells().values() if c.published is not None]
    (like,) = (r for r in records.read_records("short") if r.key.startswith("cifar100.resnet20.fm+mixup"))
    once = {c.run("full", 0).key: c.id for c in cells}          # tables share trainings
    found = [record for id_ in once.values() for record in recorded(id_, 75.3, 75.5, 75.2, 75.4, like=like)]
    text = json.dumps(cards.cards([c.id for c in cells], Ledger(found)), separators=(",", ":"))
    assert '"curves"' not in text and len(text) < 400_000, len(text)
    assert cards.cards(["P.no_cell"], Ledger()) == {}


def test_the_grid_has_every_printed_number_and_the_rows_of_others(scratch):
    cells = [c for c in load_cells().values() if c.paper]
    other = {"cell": "P.above_others", "claim": "higher than all", "paper": "a sentence",
             "verdict": Standing(Status.INCONCLUSIVE)}
    frame = cards.grid(cells, Ledger(decided()), [other])
    assert sorted(frame.cell) == sorted([*(c.id for c in cells), "P.above_others"]) and len(frame) == 84
    undecided = [v.status == Status.NOT_RUN for v in frame.verdict]
    assert undecided == sorted(undecided)           # what is decided comes first
    row = frame.set_index("cell").loc[ID]
    assert (row.ours, row.n, row.verdict.status) == ("75.35", 4, Status.REPRODUCED)
    assert " to " in row["95 % interval"]
    assert {v.status for v in frame.verdict} == {"not run", "reproduced", "inconclusive"}
    assert frame.set_index("cell").loc["P.above_others"].ours == "–"


def test_a_table_names_its_cells_and_carries_its_values():
    """Rows of cells open; the CSV beside the caption holds the values without HTML; other tables have neither."""
    html = markup.html(tables.claims([cell(ID)], Ledger(decided())), 'A "table" & more', "full")
    assert f'<tr data-cell="{ID}">' in html
    (href,) = re.findall(r'download="a-table-more.csv"[^>]* href="data:text/csv;charset=utf-8,([^"]+)"', html)
    head, row = unquote(href).splitlines()
    assert head.startswith("method,verdict,gain,paper,paper spread,ours (full),") and "<" not in row
    assert row.startswith("FM (2 layers),reproduced") and ",75.35,0.07,75.35,0.13,4," in row and row.endswith(f",{ID}")
    assert html.index(">verdict<") < html.index(">paper<") < html.index(">cell<")
    matrix = markup.html(tables.matrix("T2", Ledger(decided())), "m")
    assert 'data-cell="T2.resnet110.byot"' in matrix and "download=" in matrix
    assert "download=" not in markup.html(tables.tally([cell(ID)], Ledger()), "tally")


def test_every_cell_has_a_card():
    found = cards.cards(load_cells(), Ledger(records.read_records()))
    assert list(found) == list(load_cells())
    for id_, card in found.items():
        assert card["table"] == studies.titles()[studies.cell(id_).table] and card["tiers"][0]["tier"] == "full"
        recorded = {t["tier"]: len(t["seeds"]) for t in card["tiers"]}
        for tier in ("full", "short"):
            key = cell(id_).run(tier, 0).key
            assert recorded.get(tier, 0) == sum(r.key == key for r in records.read_records(tier))
